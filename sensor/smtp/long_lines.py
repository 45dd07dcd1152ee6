"""Commands longer than the line that is held: what counts of them is kept as they come.

RFC 5321, 4.5.3.1.4 gives a command 512 bytes, and each extension its parameters more: an AUTH with
its initial response may take 12,288 (RFC 4954, 4), a MAIL with all that IANA lists some 1,200. None
of that need be held. :func:`lengthen` walks over the bytes once, in pieces of any size, and leaves
in ``line`` a short command that says the same: the verb; of a HELO name what is kept of one; of a
path the domain; of AUTH the mechanism. Parameters, control characters and a CR at the end are noted
in the session's row. A command is read so if, and only if, it is longer than LINE, wherever it is
cut; so it tells the same in one segment and in a thousand. Kernels only.
"""

from typing import Final

import numpy as np

from sensor.base.byteorder import u8
from sensor.base.kernel import kernel, routine
from sensor.smtp.scan import first_eight, is_letter, upper
from sensor.smtp.session import LINE, MECHANISM, NAME, PARAMETERS

__all__ = ["LONGEST_SECRET", "begin_long", "end_long", "lengthen", "longest"]

LONGEST_SECRET: Final = 12288
"""Bytes of a line of an AUTH exchange (RFC 4954, 4)."""
_LONGEST_MAIL: Final = 512 + 26 + 17 + 107 + 500 + 10 + 34 + 17 + 15 + 11
"""RFC 1870, 6152, 3461, 4954, 6531, 4865, 2852, 6710, 8689: what each adds."""
_LONGEST_RCPT: Final = 512 + 500
"""RFC 3461."""

_W_HELO, _W_EHLO, _W_MAIL, _W_RCPT, _W_BDAT, _W_AUTH = map(
    first_eight, ("HELO", "EHLO", "MAIL", "RCPT", "BDAT", "AUTH")
)
_PARAMETER_WORDS = np.array([first_eight(word) for word in PARAMETERS], np.int64)

# What the next byte belongs to.
_VERB: Final = 0
_BEFORE_NAME: Final = 1
_NAME: Final = 2
_BEFORE_FROM: Final = 3  # MAIL FROM: and RCPT TO:, blanks wherever they are wrong and common
_FROM: Final = 4
_AFTER_FROM: Final = 5
_BEFORE_PATH: Final = 6
_IN_BRACKETS: Final = 7
_WITHOUT_BRACKETS: Final = 8
_BEFORE_PARAMETER: Final = 9
_PARAMETER: Final = 10
_VALUE: Final = 11
_NUMBERS: Final = 12  # of BDAT
_BEFORE_MECHANISM: Final = 13
_MECHANISM: Final = 14
_REST: Final = 15  # that nobody asks for

_LF, _CR, _SPACE, _TAB = 0x0A, 0x0D, 0x20, 0x09
_QUOTE, _BACKSLASH, _AT, _LEFT, _RIGHT, _COLON = 0x22, 0x5C, 0x40, 0x3C, 0x3E, 0x3A
_OPEN, _ESCAPED = 1, 2  # of long_quoted
_KEPT_NUMBERS: Final = 64


@kernel
def longest(word):
    """Bytes a command may have, its CR LF included."""
    if word == _W_AUTH:
        return LONGEST_SECRET
    if word == _W_MAIL:
        return _LONGEST_MAIL
    return _LONGEST_RCPT if word == _W_RCPT else LINE


@kernel
def begin_long(s):
    """A command turned out to be longer than LINE."""
    s.long_state = _VERB
    s.long_size = 0
    s.long_mark = 0
    s.long_verb = 0
    s.long_word = 0
    s.long_letters = 0
    s.long_quoted = 0
    s.long_parameters = 0
    s.long_binary = 0
    s.long_cr = 0


@kernel
def _keep(s, line, byte, most):
    """Keep a byte, if fewer than ``most`` are kept since the mark."""
    if s.long_size - s.long_mark < most:
        line[s.long_size] = byte
        s.long_size += 1


@kernel
def _mark(s):
    """What is kept from here on is counted anew."""
    s.long_mark = s.long_size


@kernel
def _known(s):
    """The word of a parameter is complete."""
    for k in range(_PARAMETER_WORDS.shape[0]):
        if _PARAMETER_WORDS[k] == s.long_word:
            s.long_parameters |= 1 << k
    s.long_word = 0
    s.long_letters = 0


@kernel
def _letter(s, byte):
    """One more letter of a word, of which the first eight are compared."""
    if s.long_letters < 8:
        s.long_word = s.long_word << 8 | byte
        s.long_letters += 1


@kernel
def _after_verb(s):
    """The verb is complete: what its arguments begin with."""
    word = np.int64(s.long_word)
    s.long_verb = word if s.long_size <= 8 else 0
    s.long_word = 0
    s.long_letters = 0
    _mark(s)
    if s.long_verb == _W_HELO or s.long_verb == _W_EHLO:
        return _BEFORE_NAME
    if s.long_verb == _W_MAIL or s.long_verb == _W_RCPT:
        return _BEFORE_FROM
    if s.long_verb == _W_BDAT:
        return _NUMBERS
    return _BEFORE_MECHANISM if s.long_verb == _W_AUTH else _REST


@kernel
def _path(s, line, byte, blank):
    """A byte of a path: only what follows its last @ outside quotes is kept."""
    if s.long_quoted & _ESCAPED:
        s.long_quoted = _OPEN
    elif s.long_quoted:
        if byte == _BACKSLASH:
            s.long_quoted |= _ESCAPED
        elif byte == _QUOTE:
            s.long_quoted = 0
    elif byte == _QUOTE:
        s.long_quoted = _OPEN
    elif byte == _AT:
        s.long_size = s.long_mark
        _keep(s, line, byte, 1)
    elif byte == _RIGHT or (blank and s.long_state == _WITHOUT_BRACKETS):
        _mark(s)
        _keep(s, line, byte, 1)
        s.long_state = _BEFORE_PARAMETER
    elif s.long_size > s.long_mark:
        _keep(s, line, byte, NAME + 2)


@routine
def _byte(s, line, byte):
    """One more byte, that is no CR before the LF."""
    blank = byte == _SPACE or byte == _TAB
    if (byte < _SPACE and byte != _TAB) or byte == 0x7F:
        s.long_binary = 1
    if s.long_state == _VERB:
        capital = upper(byte)
        if is_letter(capital):
            _letter(s, capital)
            _keep(s, line, byte, 9)
            return
        s.long_state = _after_verb(s)
    state = s.long_state
    if state == _BEFORE_NAME or state == _BEFORE_MECHANISM or state == _BEFORE_FROM:
        if blank:
            _keep(s, line, byte, 1)
            return
        _mark(s)
        state += 1
        s.long_state = state
    if state == _NAME:
        if blank:
            s.long_state = _REST
            return
        if byte == _AT:
            s.long_size = s.long_mark
        _keep(s, line, byte, NAME + 1)
    elif state == _MECHANISM:
        if byte <= _SPACE:
            s.long_state = _REST
            return
        _keep(s, line, byte, MECHANISM + 1)
    elif state == _NUMBERS:
        if not blank or s.long_size == s.long_mark or line[s.long_size - 1] != _SPACE:
            _keep(s, line, _SPACE if blank else byte, _KEPT_NUMBERS)
    if state == _FROM:
        if is_letter(upper(byte)):
            _keep(s, line, byte, 8)
            return
        state = _AFTER_FROM
    if state == _AFTER_FROM:
        s.long_state = state
        if blank:
            return
        state = _BEFORE_PATH
        s.long_state = state
        if byte == _COLON:
            _mark(s)
            _keep(s, line, byte, 1)
            return
    if state == _BEFORE_PATH:
        if blank:
            return
        _mark(s)
        if byte == _LEFT:
            _keep(s, line, byte, 1)
            _mark(s)
            s.long_state = _IN_BRACKETS
            return
        state = _WITHOUT_BRACKETS
        s.long_state = state
    if state == _IN_BRACKETS or state == _WITHOUT_BRACKETS:
        _path(s, line, byte, blank)
        return
    if state == _BEFORE_PARAMETER:
        if blank:
            return
        state = _PARAMETER
        s.long_state = state
    if state == _PARAMETER:
        if is_letter(upper(byte)):
            _letter(s, upper(byte))
            return
        _known(s)
        state = _VALUE
        s.long_state = state
    if state == _VALUE and byte == _SPACE:
        s.long_state = _BEFORE_PARAMETER


@routine
def lengthen(s, line, data, a, b):
    """Walk on over ``data[a:b]``, the next bytes of the command, without its LF.

    ``data`` may be ``line`` itself: never is more kept than was read.
    """
    while a < b:
        byte = u8(data, a)
        if s.long_cr:
            _byte(s, line, _CR)
            s.long_cr = 0
        if byte == _CR:
            s.long_cr = 1
        else:
            _byte(s, line, byte)
        a += 1


@kernel
def end_long(s, line):
    """The LF has come: how many bytes of ``line`` are the short command, its CR included."""
    if s.long_state == _PARAMETER:
        _known(s)
    size = np.int64(s.long_size)
    if s.long_cr:
        line[size] = _CR
        size += 1
    return size
