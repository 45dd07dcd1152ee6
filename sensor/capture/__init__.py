"""Sources of frames. A source yields blocks and knows nothing of mail."""
