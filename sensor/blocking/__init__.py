"""From alerts to blocks that expire, and the feeds that carry them out."""
