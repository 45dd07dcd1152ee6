"""A line of SMTP masked: which of its bytes go through (``mask`` says what). Kernels only.

A row of dtype MASKED has what is known of one direction of a connection. A function is given a byte
and returns what goes out in its place, or it is given ``(data, a, b)``, masks what it knows there,
in place, and returns where that ended.
"""

from typing import Final

import numpy as np

from sensor.base.byteorder import u8
from sensor.base.kernel import kernel, mix
from sensor.smtp.scan import CR, DOT, LF, SPACE, TAB, is_digit, upper
from sensor.smtp.session import CAPABILITIES, PARAMETERS

__all__ = [
    "DOMAIN",
    "HELLO",
    "LOCAL",
    "MASKED",
    "MASKED_ROWS",
    "NAME",
    "NO_KEY",
    "OFFERS",
    "OPAQUE",
    "PATH",
    "REST",
    "SIZE",
    "START",
    "TEXT",
    "VALUE",
    "VERBS",
    "argument_byte",
    "argument_word",
    "begin_line",
    "client_start",
    "fill",
    "filler",
    "in_word",
    "server_start",
    "through_name",
    "through_path",
    "through_word",
    "verb_over",
]

MASKED_ROWS: Final = 1 << 16
NO_KEY: Final = np.uint64(0)
_WORD: Final = 16
_FIRST, _BEYOND = 0x20, 0x60
"""Characters of words lie from the one to before the other."""

MASKED = np.dtype(
    [
        ("flow", np.uint64),
        ("hashed", np.uint64),  # of the local part so far
        ("may", np.uint64),  # which words of a list the word so far may be, a bit each
        ("next", np.uint32),  # sequence number of the byte that comes next
        ("left", np.int32),  # bytes of a TLS record to come
        ("octets", np.int32),  # bytes of a piece of a message to come, behind which a line begins
        ("state", np.uint8),
        ("chars", np.uint8),  # characters of the word so far
        ("armed", np.uint8),  # 1: a TLS hello may come, 2: behind this line
        ("bracket", np.uint8),  # 1: the path has one
        ("route", np.uint8),  # 1: the path begins with those it is to pass
        ("quoted", np.uint8),  # of a local part: 1 in quotes, 2 after a backslash there
        ("known", np.uint8),  # 1: ``next`` is
        ("word", np.uint8, 4),  # digits of a reply code; version and length of a TLS record
    ],
    align=True,
)
"""One direction of a connection."""

(
    START, REST, NAME, _PATH_WORD, PATH, LOCAL, DOMAIN, _PARAMETER, VALUE, _MECHANISM,
    SIZE, _PROXY, TEXT, HELLO, OPAQUE,
) = range(15)  # fmt: skip

_AT, _QUOTE, _BACKSLASH, _LEFT, _RIGHT = 0x40, 0x22, 0x5C, 0x3C, 0x3E
_COLON, _EQUALS, _HYPHEN, _UNDERSCORE = 0x3A, 0x3D, 0x2D, 0x5F
_HANDSHAKE: Final = 0x16
_MOST_OCTETS: Final = 200_000_000
"""A BDAT of more is cut to its first digits."""


def _words(*texts):
    """A list of words, at most 64, each its bit.

    A row for each place in a word: those that have a character there, by character. In the last
    row, by length: those of that length. Of a longer word the first ``_WORD`` characters count.
    """
    table = np.zeros((_WORD + 1, _BEYOND - _FIRST), np.uint64)
    for k, text in enumerate(texts):
        bit = np.uint64(1 << k)
        characters = text.encode()[:_WORD]
        for n, character in enumerate(characters):
            table[n, character - _FIRST] |= bit
        table[_WORD, len(characters)] |= bit
    return table


VERBS = _words(
    "HELO", "EHLO", "MAIL", "RCPT", "AUTH", "BDAT", "STARTTLS", "PROXY", "DATA", "RSET", "VRFY",
    "EXPN", "HELP", "NOOP", "QUIT", "ETRN", "TURN", "XCLIENT", "XFORWARD", "GET", "POST", "HEAD",
    "PUT", "CONNECT", "OPTIONS", "TRACE", "PRI",
)  # fmt: skip
_AFTER = np.array([NAME, NAME, _PATH_WORD, _PATH_WORD, _MECHANISM, SIZE, REST, _PROXY], np.int64)
"""What follows each of the first verbs; after the others nothing goes through."""
_STARTTLS: Final = 6
_PATH_WORDS = _words("FROM", "TO")
_KEYWORDS = _words(*PARAMETERS)
_MECHANISMS = _words(
    "PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "NTLM", "GSSAPI", "XOAUTH2", "OAUTHBEARER",
    "EXTERNAL", "ANONYMOUS", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256",
    "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512",
)  # fmt: skip
_LAST = _words("LAST")
_PROXIES = _words("TCP4", "TCP6", "UNKNOWN")
OFFERS = _words(*CAPABILITIES, "X_PIPE_CONNECT", "PIPE_CONNECT")


# --- bytes ---------------------------------------------------------------------------------------


@kernel
def _is_letter(byte):
    return 0x41 <= byte <= 0x5A or 0x61 <= byte <= 0x7A


def _fillers():
    """Of each byte, another of its class."""
    table = np.full(256, 0x7E, np.uint8)
    table[0x80:] = 0xA0
    table[:SPACE] = 1
    table[0x61:0x7B] = 0x78
    table[0x41:0x5B] = 0x58
    table[0x30:0x3A] = 0x30
    # The first byte of SOCKS and of TLS tells what a connection is.
    for same in (SPACE, TAB, CR, LF, 0, 4, 5, _HANDSHAKE, 0x7F):
        table[same] = same
    return table


_FILLERS = _fillers()


@kernel
def filler(byte):
    """Another byte of the same class."""
    return np.int64(_FILLERS[byte])


@kernel
def fill(data, a, b):
    """Filler for ``data[a:b]``."""
    for k in range(np.uint64(a), np.uint64(b)):
        data[k] = _FILLERS[data[k]]


@kernel
def _grow(words, row, byte):
    """One more character of the word, if one of ``words`` begins so: whether that is."""
    n = np.int64(row.chars)
    byte = upper(byte)
    if n == _WORD or not _FIRST <= byte < _BEYOND:
        return False
    may = words[n, byte - _FIRST]
    if n:
        may &= row.may
    if may == 0:
        return False
    row.may = may
    row.chars = n + 1
    return True


@kernel
def _which(words, row):
    """The number of the word so far in ``words``, or -1."""
    if row.chars == 0:
        return -1
    whole = np.int64(row.may & words[_WORD, np.int64(row.chars)])
    if whole == 0:
        return -1
    k = 0
    while not whole >> k & 1:
        k += 1
    return k


@kernel
def in_word(byte):
    """Whether it may stand in a word."""
    return _is_letter(byte) or is_digit(byte) or byte == _HYPHEN


@kernel
def through_word(words, row, data, a, b, failed):
    """A word in ``data[a:b]`` that goes through if it is one of ``words``: where it ended.

    One that the segment's end cuts goes through as far as it may be one. Of another ``failed`` is
    the state that follows. At ``a`` is a character of a word.
    """
    p = a
    while p < b and _grow(words, row, u8(data, p)):
        p += 1
    if p == b:
        return p
    n = np.int64(row.chars)
    if p > a and _which(words, row) >= 0 and (n == _WORD or not in_word(u8(data, p))):
        if n == _WORD:
            row.state = failed
        return p
    row.state = failed
    while p < b and in_word(u8(data, p)):
        p += 1
    fill(data, a, p)
    return p


@kernel
def _is_blank(byte):
    return byte == SPACE or byte == TAB


# --- lines ---------------------------------------------------------------------------------------


@kernel
def begin_line(row):
    """What comes is the first byte of a line."""
    row.state = START
    row.left = 0
    row.chars = 0
    row.bracket = 0
    row.route = 0
    row.quoted = 0
    row.hashed = NO_KEY


@kernel
def verb_over(row, byte):
    """The byte behind a client's first word."""
    k = _which(VERBS, row)
    row.chars = 0
    row.left = 0
    row.state = REST
    if k == _STARTTLS:
        row.armed = 2
    elif k >= 0 and k < _AFTER.shape[0] and _is_blank(byte):
        row.state = _AFTER[k]
    return filler(byte)


@kernel
def client_start(row, byte):
    """A byte where a client's line begins."""
    if row.chars == 0:
        if byte == _HANDSHAKE and row.armed:
            row.state = HELLO
            row.left = -4
            return byte
        if byte == DOT:
            row.state = REST
            return byte
    return verb_over(row, byte)


@kernel
def server_start(row, byte):
    """A byte where a server's line begins: a code of three digits."""
    n = np.int64(row.chars)
    if n == 0 and byte == _HANDSHAKE and row.armed:
        row.state = HELLO
        row.left = -4
        return byte
    if n < 3 and is_digit(byte):
        row.word[n] = byte
        row.chars = n + 1
        return byte
    if n < 3 or is_digit(byte):
        row.state = REST
        return filler(byte)
    if row.word[0] == 0x32 and row.word[1] == 0x32 and row.word[2] == 0x30:
        row.armed = 2
    row.state = TEXT
    row.left = row.word[0]
    row.chars = 0
    return byte if byte == _HYPHEN else filler(byte)


@kernel
def argument_byte(row, byte):
    """A byte of what follows a verb, but for names and paths."""
    state = row.state
    if _is_blank(byte):
        if row.chars and (state == _MECHANISM or state == _PROXY):
            row.state = REST
        elif state == _PARAMETER or (state == VALUE and byte == SPACE):
            row.state = _PARAMETER
            row.chars = 0
        return byte
    if state == _PATH_WORD and (byte == _COLON or byte == _LEFT):
        row.state = PATH
        row.bracket = byte == _LEFT
        return byte
    if state == _PARAMETER and byte == _EQUALS:
        row.state = VALUE
        return byte
    if state == _MECHANISM or state == _PROXY:
        row.state = REST
    return filler(byte)


@kernel
def argument_word(row, data, a, b):
    """A word, at ``a``, of what follows a verb: where it ended."""
    state = row.state
    if state == _PATH_WORD:
        return through_word(_PATH_WORDS, row, data, a, b, _PATH_WORD)
    if state == _PARAMETER:
        return through_word(_KEYWORDS, row, data, a, b, VALUE)
    if state == _MECHANISM:
        return through_word(_MECHANISMS, row, data, a, b, REST)
    if state == _PROXY:
        return through_word(_PROXIES, row, data, a, b, REST)
    if is_digit(u8(data, a)) and row.left <= _MOST_OCTETS and row.chars == 0:
        row.left = 10 * np.int64(row.left) + u8(data, a) - 0x30
        return a + 1
    return through_word(_LAST, row, data, a, b, REST)


# --- names and paths -----------------------------------------------------------------------------


@kernel
def _domain_byte(byte):
    """A byte of a domain or an address literal."""
    if _is_letter(byte) or is_digit(byte) or byte >= 0x80 or byte == DOT or byte == _HYPHEN:
        return byte
    if byte == _COLON or byte == _UNDERSCORE or byte == 0x5B or byte == 0x5D:
        return byte
    return filler(byte)


@kernel
def _hide(row, data, a, b, key):
    """Local part, or as much as is here: letters that depend on it and the key."""
    if a >= b:
        return
    hashed = mix(key, row.hashed)
    for k in range(a, b):
        hashed = mix(hashed, np.uint64(u8(data, k)))
    row.hashed = hashed
    for k in range(a, b):
        if key == NO_KEY:
            data[k] = 0x78
        else:
            hashed = mix(hashed, np.uint64(k - a + 1))
            data[k] = 0x61 + np.int64((hashed >> np.uint64(33)) % np.uint64(26))


@kernel
def through_name(row, data, a, b, key):
    """The name after HELO in ``data[a:b]``: where it ended. Of one with an @, what follows it."""
    while a < b and _is_blank(u8(data, a)) and row.chars == 0:
        a += 1
    at = -1
    p = a
    while p < b and u8(data, p) > SPACE:
        if u8(data, p) == _AT:
            at = p
        p += 1
    if at >= 0:
        _hide(row, data, a, at, key)
        a = at + 1
    for k in range(a, p):
        data[k] = _domain_byte(u8(data, k))
    if p > a:
        row.chars = 1
    if p < b:
        row.state = REST
    return p


@kernel
def through_path(row, data, a, b, key):
    """A path in ``data[a:b]``: where it ended, its bracket included."""
    if row.state == PATH:
        while a < b and _is_blank(u8(data, a)):
            a += 1
        if a == b:
            return a
        if not row.bracket and u8(data, a) == _LEFT:
            row.bracket = 1
            a += 1
        row.state = LOCAL
    row.route |= row.hashed == NO_KEY and a < b and u8(data, a) == _AT
    at = -1
    p = a
    while p < b:
        byte = u8(data, p)
        if byte == LF or byte == CR:
            break
        if row.quoted == 2:
            row.quoted = 1
        elif row.quoted == 1:
            row.quoted = 2 if byte == _BACKSLASH else 0 if byte == _QUOTE else 1
        elif byte == _QUOTE:
            row.quoted = 1
        elif byte == _AT:
            at = p
        elif byte == _RIGHT or (not row.bracket and _is_blank(byte)):
            break
        p += 1
    if row.route and p == b:
        at = -1  # the mailbox is yet to come
    if at >= 0:
        _hide(row, data, a, at, key)
        row.state = DOMAIN
        a = at + 1
    if row.state == DOMAIN:
        for k in range(a, p):
            data[k] = _domain_byte(u8(data, k))
    else:
        _hide(row, data, a, p, key)
    if p == b:
        return p
    row.chars = 0
    row.state = REST if u8(data, p) < SPACE else _PARAMETER
    return p if row.state == REST else p + 1
