"""The page in a terminal: ``app`` has tables that update, ``plain`` lines to read."""
