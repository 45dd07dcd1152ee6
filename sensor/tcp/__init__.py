"""TCP: who opened a connection and what became of it, and the bytes of its streams in order."""
