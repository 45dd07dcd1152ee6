"""The key of a host that is a known customer, and not an address.

A customer's name, as the source of leases has it, becomes a *pseudonym*: a keyed hash of 95 bits,
written ``c-`` and 24 hexadecimal digits. It takes the place of an address in the key of a host:
such keys lie in ff00::/8, which is multicast and sends nothing. So the table of hosts and all that
follows need know nothing of customers, and outside the state folder nobody learns a name.
"""

import re
from typing import Final

import numpy as np

from sensor.base.kernel import kernel

__all__ = ["customer_key", "is_customer", "parse_pseudonym", "pseudonym"]

_PERSON: Final = b"port25.customer"
_HIGHEST_BYTE = np.uint64(56)
_MULTICAST = np.uint64(0xFF)
_LOW: Final = 0xFFFFFFFF
_PSEUDONYM: Final = re.compile("c-([0-9a-f]{8})([89a-f][0-9a-f]{15})")


@kernel
def is_customer(hi):
    """Whether a key with this upper half is a customer's."""
    return hi >> _HIGHEST_BYTE == _MULTICAST


def customer_key(name: str, secret: bytes) -> tuple[int, int]:
    """The key ``(hi, lo)`` of the customer of a name, by a secret of at most 64 bytes.

    >>> hi, lo = customer_key("alice@isp.example", b"")
    >>> hi >> 32 == 0xFF000000 and lo >> 63 == 1
    True
    """
    import hashlib  # loads OpenSSL

    digest = hashlib.blake2b(name.encode(), digest_size=12, key=secret, person=_PERSON).digest()
    hi = 0xFF << 56 | int.from_bytes(digest[:4])
    # The highest bit keeps the lower half apart from IPv4 addresses, which begin with zeros.
    return hi, int.from_bytes(digest[4:]) | 1 << 63


def pseudonym(hi: int, lo: int) -> str:
    """The pseudonym that a customer's key is.

    >>> pseudonym(0xFF00000001234567, 0x89ABCDEF01234567)
    'c-0123456789abcdef01234567'
    """
    return f"c-{hi & _LOW:08x}{lo:016x}"


def parse_pseudonym(text: str) -> tuple[int, int] | None:
    """The key of a pseudonym; None where ``text`` is none.

    >>> parse_pseudonym("c-0123456789abcdef01234567") == (0xFF00000001234567, 0x89ABCDEF01234567)
    True
    """
    found = _PSEUDONYM.fullmatch(text)
    return (0xFF << 56 | int(found[1], 16), int(found[2], 16)) if found else None
