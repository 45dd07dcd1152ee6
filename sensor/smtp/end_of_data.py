r"""Where a message ends, and what another server might take for its end. Kernels only.

A message ends with CR LF . CR LF and with nothing else (RFC 5321, 4.1.1.4). A dot alone between any
other line ends, CR or LF by themselves or torn apart by NULs, is no end; but some servers take it
for one, and what follows for commands: a message is smuggled in by who sends the first (Longin:
"SMTP Smuggling", SEC Consult, 2023). Of a message only its last four bytes are kept, for an end
that comes in pieces; NULs in a row count as one there, so that four are enough.
"""

from typing import Final

import numpy as np

from sensor.base.byteorder import u8
from sensor.base.kernel import kernel, routine
from sensor.smtp.anomalies import BARE_END_OF_DATA, note
from sensor.smtp.scan import find

__all__ = ["AT_LINE_START", "NEARLY", "walk_message"]

AT_LINE_START: Final = 0x0D0A
"""The tail of a message that begins."""
NEARLY: Final = 0x0D0A2E0D
"""The tail that only lacks LF: if anything else comes, it was a bare end."""

_NUL, _LF, _CR, _DOT = 0x00, 0x0A, 0x0D, 0x2E
_DOTS: Final = 0x2E2E2E2E2E2E2E2E


@kernel
def _between(byte):
    """Whether a byte may stand between the end of a text and the dot."""
    return byte == _CR or byte == _LF or byte == _NUL


@kernel
def _alone(tail):
    """Whether the last byte is a dot at the beginning of a line, by any reading."""
    if tail & 0xFF == _NUL:
        tail >>= 8
    if tail & 0xFF != _DOT:
        return False
    tail >>= 8
    if tail & 0xFF == _NUL:
        tail >>= 8
    return tail & 0xFF == _CR or tail & 0xFF == _LF


@routine
def walk_message(s, data, a, b):
    """Bytes of a message: ``(place behind its end, True)``, or ``(b, False)``."""
    tail = np.int64(s.tail)
    while True:
        calm = False
        while a < b and not calm:
            byte = u8(data, a)
            a += 1
            if tail == NEARLY:
                if byte == _LF:
                    return a, True
                note(s, BARE_END_OF_DATA)
            elif (byte == _CR or byte == _LF) and _alone(tail):
                if byte == _LF or tail & 0xFFFFFF != NEARLY >> 8:
                    note(s, BARE_END_OF_DATA)
            if byte != _NUL or tail & 0xFF != _NUL:
                tail = (tail << 8 | byte) & 0xFFFFFFFF
            calm = not (_between(byte) or byte == _DOT)
        if a == b:
            break
        # Nothing before ``a`` matters any more: on to the next dot behind a line end.
        dot = find(data, a, b, _DOT, _DOTS)
        while dot < b and not _between(u8(data, dot - 1)):
            dot = find(data, dot + 1, b, _DOT, _DOTS)
        back = dot
        while back > a and (_between(u8(data, back - 1)) or u8(data, back - 1) == _DOT):
            back -= 1
        if back > a:
            tail = u8(data, back - 1)
        a = back
    s.tail = tail
    return b, False
