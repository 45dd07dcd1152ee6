"""Why a server refuses: the class of a 5yz reply. Kernels only.

``MAILBOX``  the address it was given is none: of the list a client works through that tells all
``POLICY``   whose mail it is, or where it comes from: a list of customers' ranges, a bad name
``CONTENT``  what stands in the message: said after DATA, and of whoever wrote it

The enhanced code says (RFC 3463): x.7.z is policy, any other class of subject is about addresses
and mailboxes. Where there is none, codes that stand for the whole transaction (521, 554, 556: RFC
5321, 4.2.2; RFC 7504) are policy, and so is a text with a word that only such refusals have.
"""

from typing import Final

import numpy as np

from sensor.base.byteorder import u8, u32be
from sensor.base.kernel import kernel, routine
from sensor.smtp.scan import DOT

__all__ = [
    "CONTENT",
    "MAILBOX",
    "POLICY",
    "STEM",
    "is_policy",
    "is_stem",
    "may_begin_stem",
    "names_policy",
]

# Classes; zero: nothing was refused.
MAILBOX: Final = 1
POLICY: Final = 2
CONTENT: Final = 3

_WHOLE: Final = (521, 554, 556)
_SECURITY: Final = 7
STEM: Final = 4
_LONGEST: Final = 256
"""Bytes of a line that are looked at."""
_STEMS = np.array(
    [int.from_bytes(stem, "big") for stem in (
        b"bloc", b"blac", b"spam", b"poli", b"dnsb", b"rbl.", b"repu", b"dyna", b"bann",
    )],
    np.int64,
)  # fmt: skip
"""Beginnings of block, blacklist, spam, policy, DNSBL, rbl., reputation, dynamic, banned."""


_FOLDS = np.array(
    [0x20202000 if stem & 0xFF == DOT else 0x20202020 for stem in _STEMS.tolist()], np.int64
)
"""Bits that make small letters of them."""
_FIRST = np.zeros(256, np.bool_)
_FIRST[[letter for stem in _STEMS.tolist() for letter in (stem >> 24, (stem >> 24) - 32)]] = True


@kernel
def may_begin_stem(byte):
    """Whether any of them begins so."""
    return _FIRST[byte]


@kernel
def is_stem(data, a, b):
    """Whether such a word begins at ``a``, before ``b``: with its first ``STEM`` bytes."""
    if a + STEM > b:
        return False
    word = u32be(data, a)
    for n in range(_STEMS.shape[0]):
        if word | _FOLDS[n] == _STEMS[n]:
            return True
    return False


@routine
def names_policy(data, a, b):
    """Whether a line of text has a word that only a refusal for policy has."""
    b = min(b, a + _LONGEST)
    for k in range(a, b - STEM + 1):
        if may_begin_stem(u8(data, k)) and is_stem(data, k, b):
            return True
    return False


@kernel
def is_policy(code, subject, named):
    """Whether a refusal is for policy.

    ``subject``: the second part of its enhanced code, over 999 where there is none; ``named``: a
    line of it has a word of policy.
    """
    if subject <= 999:
        return subject == _SECURITY
    return named or code == _WHOLE[0] or code == _WHOLE[1] or code == _WHOLE[2]
