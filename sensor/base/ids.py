"""Ids that are the same whenever the same is said."""

__all__ = ["id_of"]


def id_of(text: str) -> str:
    """128 bits in hexadecimal.

    >>> id_of("")
    'cae66941d9efbd404e4d88758ea67670'
    """
    import hashlib  # not before there is one to make: it loads OpenSSL

    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
