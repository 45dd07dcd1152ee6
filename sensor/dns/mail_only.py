"""Of DNS, what has to do with mail: the rest stays at the sensor. Kernels only.

What passes is a question or answer for MX; and one for an address, where who asks had asked for MX
within ``ASKED_SECONDS``, for that is how a mail program finds its server, or where the name says
that it is a mail server's (``mx``, ``mail`` or ``smtp`` in it): the question for MX may have passed
another sensor. All else people look up is nobody's business. Over TCP a segment passes where it is
one whole message.

Who asked is kept in a table of fixed size; the newest stands in a slot.
"""

from typing import Final

import numpy as np

from sensor.base.byteorder import u8, u16be
from sensor.base.kernel import kernel, mix
from sensor.base.units import SECOND
from sensor.decode.segment import DNS, UDP_HEADER
from sensor.dns.lookups import ASKED_SECONDS
from sensor.dns.wire import AAAA, HEADER, MX, A, name_hash

__all__ = ["ASKER", "ASKERS", "WITHHELD", "withhold"]

ASKERS: Final = 1 << 14
ASKER = np.dtype([("client", np.uint64), ("ts", np.int64)], align=True)
"""A client, and when it last asked for MX or was answered."""
WITHHELD: Final = -1
"""The share of a segment that goes nowhere."""

_IN_MX, _IN_MAIL, _IN_SMTP = 0x6D78, 0x6D61696C, 0x736D7470


@kernel
def _kind(data, a, b):
    """The type that the first question of a message in ``data[a:b]`` asks for; 0: none is read."""
    if b - a < HEADER + 5 or u16be(data, a + 4) == 0:
        return 0
    _, end = name_hash(data, a + HEADER, b)
    return u16be(data, end) if end > 0 and end + 4 <= b else 0


@kernel
def _is_mail(data, a, b):
    """Whether the name asked for in a message in ``data[a:b]`` says it is a mail server's."""
    word = np.int64(0)
    for k in range(a + HEADER, min(b, a + HEADER + 255)):
        byte = u8(data, k)
        if byte == 0:
            return False
        word = (word << 8 | (byte | 0x20)) & 0xFFFFFFFF
        if word & 0xFFFF == _IN_MX or word == _IN_MAIL or word == _IN_SMTP:
            return True
    return False


@kernel
def withhold(segments, data, askers, shares):
    """Set the share of each message of DNS that must not leave to WITHHELD; how many those are."""
    withheld = 0
    for k in range(segments.shape[0]):
        s = segments[k]
        if s.kind != DNS:
            continue
        a = np.int64(s.payload)
        b = a + np.int64(s.captured)
        if s.header != UDP_HEADER:
            whole = b - a >= 2 and a + 2 + u16be(data, a) == b
            a = a + 2 if whole else b
        kind = _kind(data, a, b)
        answer = kind > 0 and u16be(data, a + 2) >> 15 > 0
        hi, lo = (s.dst_hi, s.dst_lo) if answer else (s.src_hi, s.src_lo)
        client = mix(mix(np.uint64(1), hi), lo)
        slot = askers[np.int64(client & np.uint64(ASKERS - 1))]
        if kind == MX:
            slot.client = client
            slot.ts = s.ts
            continue
        recent = slot.client == client and abs(s.ts - slot.ts) <= ASKED_SECONDS * SECOND
        if (kind == A or kind == AAAA) and (recent or _is_mail(data, a, b)):
            continue
        shares[k] = WITHHELD
        withheld += 1
    return withheld
