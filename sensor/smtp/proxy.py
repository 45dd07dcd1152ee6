r"""A header of the PROXY protocol before SMTP: who it is that the proxy speaks for. Kernels only.

HAProxy and others say so in the first bytes of the connection (haproxy.org, "The PROXY protocol",
2.1 and 2.2): version 1 is one line, version 2 a signature of twelve bytes, made so that no text
protocol survives it (it holds a QUIT), four bytes more, and as many as those say. It is no SMTP,
and comes before the greeting by design. The addresses in it are not read: whoever sends it can
write what he likes.
"""

from typing import Final

import numpy as np

from sensor.base.byteorder import u8
from sensor.base.kernel import kernel
from sensor.smtp.anomalies import PROXY_HEADER, note
from sensor.smtp.scan import first_eight, word_at

__all__ = ["FIRST", "SIGNED", "is_version_1", "skip_version_2", "withheld"]

SIGNED: Final = 12
"""Bytes of the signature."""
_SIGNATURE = np.frombuffer(b"\r\n\r\n\0\r\nQUIT\n", np.uint8)
FIRST: Final = 0x0D
_HEAD: Final = 16  # with version and command, family, and the size of the rest
_LONGEST: Final = 105  # of version 1, without CR LF
_SPACE: Final = 0x20
_W_TCP4, _W_TCP6, _W_UNKNOWN = map(first_eight, ("TCP4", "TCP6", "UNKNOWN"))


@kernel
def is_version_1(data, a, b):
    """Whether what follows the word PROXY on the first line makes it a header."""
    if b - a > _LONGEST or a == b or u8(data, a) != _SPACE:
        return False
    word, after = word_at(data, a + 1, b)
    if after < b and u8(data, after) != _SPACE:
        return False
    return word == _W_TCP4 or word == _W_TCP6 or word == _W_UNKNOWN


@kernel
def skip_version_2(s, data, a, b):
    """Go on in a header; where it stopped: at its end, at ``b``, or where it turned out to be none.

    ``s.proxy_at`` tells: 0 the header is over, less than SIGNED before ``b`` it is none.
    """
    while a < b and s.proxy_at < _HEAD:
        at = np.int64(s.proxy_at)
        byte = u8(data, a)
        if at < SIGNED:
            if byte != _SIGNATURE[at]:
                return a
            if at == SIGNED - 1:
                note(s, PROXY_HEADER)
        elif at >= _HEAD - 2:
            s.proxy_left = np.int64(s.proxy_left) << 8 | byte
        s.proxy_at = at + 1
        a += 1
    if s.proxy_at == _HEAD:
        step = min(b - a, np.int64(s.proxy_left))
        s.proxy_left -= step
        a += step
        if s.proxy_left == 0:
            s.proxy_at = 0
    return a


@kernel
def withheld(s, line):
    """It was no header: put the bytes that looked like one into ``line``, and tell how many."""
    size = np.int64(s.proxy_at)
    for k in range(size):
        line[k] = _SIGNATURE[k]
    s.proxy_at = 0
    return size
