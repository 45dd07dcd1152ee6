"""SMTP: what client and server say to each other, from bytes of streams to a session's record."""
