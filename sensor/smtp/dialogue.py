"""What client and server say to each other: bytes of both streams in, facts of the session out.

Sans-IO: no socket, no clock; :func:`hear` is given the bytes of one side in order, as many at a
time as there are, and the packet's time; :func:`lose` is told of bytes that never came. Both fill a
row of dtype SESSION. Kernels only.

**What a command does when it is sent.** It is put in the queue of what the server has to answer.
Beyond that (RFC 5321, 4.1.1 unless said otherwise):

    HELO EHLO  the name is kept
    MAIL       opens a transaction (one that is open is decided); the sender's domain is kept
    RCPT       counts; the domain is kept
    DATA       the client's bytes are a message from here to CR LF . CR LF, which asks for BODY
    BDAT n     the next n bytes are a piece of the message (RFC 3030)
    AUTH       the client's lines are left unread until the server has decided (RFC 4954)
    QUIT       is noted

**What a reply does** to the command it answers, the first that waits:

    answers     2yz              3yz           4yz              5yz
    GREETING    greeted          -             turned away      refused
    HELO EHLO   aborts the       -             -                -
                transaction
    MAIL        accepted         -             deferred         refused
    RCPT        accepted         -             deferred         refused
    DATA        a message comes  the same      commands again   the same, refused
    BODY, BDAT  accepted (for    -             deferred         refused
                BDAT: if LAST)
    RSET        aborts the       -             -                -
                transaction
    AUTH        authenticated    unread lines  denied           denied
    STARTTLS    TLS on both      -             no TLS           no TLS
                sides
    others      nothing          nothing       nothing          nothing

A 354 that answers nothing known still says that a message comes, and another reply in the middle of
a message that it has ended: so the dialogue is found again where packets are missing.

**A transaction is decided** once: refused when the server refused its MAIL, every one of its
recipients, its DATA or its message, or more recipients than it took; accepted when the message was.
4yz decides nothing: greylisting tells nothing of the sender. A refused greeting is a refused
transaction.
"""

from typing import Final

import numpy as np

from sensor.kernel import kernel, routine
from sensor.loads import u8, u64le
from sensor.smtp.session import (
    ANOMALIES,
    CAPABILITIES,
    CODES,
    DOMAIN,
    DOMAINS,
    LINE,
    MECHANISM,
    NAME,
    NO_ENHANCED,
    OUTSTANDING,
    PARAMETERS,
    VERBS,
    note,
)
from sensor.smtp.tls import DONE, hello

__all__ = ["LINES", "STARTTLS", "TARPIT_SECONDS", "begin", "conclude", "hear", "lose"]

TARPIT_SECONDS: Final = 20
"""A server that takes longer than this to answer delays on purpose, or is in trouble."""
_SECOND: Final = 1_000_000_000

# What the bytes of a side are.
LINES: Final = 0
BODY: Final = 1  # a message after DATA
PIECE: Final = 2  # of BDAT
SECRET: Final = 3  # lines of an AUTH exchange
TLS: Final = 4
FOREIGN: Final = 5  # nothing we can read

STARTTLS: Final = ("none", "offered", "accepted", "refused", "asked")
_OFFERED, _ACCEPTED, _REFUSED, _ASKED = 1, 2, 3, 4

(
    _NONE, _GREETING, _HELO, _EHLO, _MAIL, _RCPT, _DATA, _BODY, _BDAT, _LAST, _RSET, _VRFY, _EXPN,
    _HELP, _NOOP, _QUIT, _AUTH, _STARTTLS, _ETRN, _TURN, _XCLIENT, _XFORWARD,
) = range(len(VERBS))  # fmt: skip

(
    _EARLY, _UNADVERTISED, _BEFORE_354, _BARE_LF, _BARE_DOT, _OVERLONG, _OVERLONG_REPLY, _UNKNOWN,
    _BINARY, _SEQUENCE, _BAD_BDAT, _BEFORE_TLS, _HTTP, _SOCKS, _BARE_TLS, _AFTER_QUIT, _MALFORMED,
    _UNEXPECTED, _MANY, _TARPIT, _LONG_NAME, _GAP, _CUT, _OVERLAP, _CHECKSUM, _WINDOW, _HOLD,
    _AFTER_RESET, _RESYNC, _BINARY_CLIENT, _NOT_SMTP, _EVICTED, _URGENT,
) = range(len(ANOMALIES))  # fmt: skip


def _word(text: str) -> int:
    """The first eight characters as one integer, the form keywords are compared in."""
    return int.from_bytes(text[:8].encode(), "big")


_W_HELO, _W_EHLO, _W_MAIL, _W_RCPT, _W_DATA, _W_BDAT = map(
    _word, ("HELO", "EHLO", "MAIL", "RCPT", "DATA", "BDAT")
)
_W_AUTH, _W_STARTTLS, _W_QUIT, _W_RSET, _W_LAST = map(
    _word, ("AUTH", "STARTTLS", "QUIT", "RSET", "LAST")
)
_OTHERS = np.array([_word(verb) for verb in VERBS], np.int64)
_HTTP_WORDS = np.array(
    [_word(word) for word in ("GET", "POST", "HEAD", "PUT", "CONNECT", "OPTIONS", "TRACE", "PRI")],
    np.int64,
)
_CAPABILITY_WORDS = np.array([_word(word) for word in CAPABILITIES], np.int64)
_PARAMETER_WORDS = np.array([_word(word) for word in PARAMETERS], np.int64)
_PIPELINING: Final = 1 << CAPABILITIES.index("PIPELINING")
_HANDSHAKE: Final = 0x16
"""The first byte of a TLS hello (RFC 8446, 5.1)."""
_CAN_STARTTLS: Final = 1 << CAPABILITIES.index("STARTTLS")

_LF, _CR, _DOT, _SPACE, _TAB = 0x0A, 0x0D, 0x2E, 0x20, 0x09
_CRLF: Final = 0x0D0A
_ONES: Final = 0x0101010101010101
_HIGHS: Final = -0x7F7F7F7F7F7F7F80  # 0x8080808080808080
_LFS: Final = 0x0A0A0A0A0A0A0A0A
_DOTS: Final = 0x2E2E2E2E2E2E2E2E


# --- bytes ---------------------------------------------------------------------------------------


@kernel
def _find(data, a, b, byte, pattern):
    """The place of ``byte`` in ``data[a:b]``, or ``b``; ``pattern`` is eight of it."""
    while a + 8 <= b:
        x = np.int64(u64le(data, a)) ^ pattern
        if (x - _ONES) & ~x & _HIGHS:
            break
        a += 8
    while a < b and u8(data, a) != byte:
        a += 1
    return a


@kernel
def _upper(byte):
    return byte - 32 if 0x61 <= byte <= 0x7A else byte


@kernel
def _word_at(data, a, b):
    """The keyword (letters, digits, hyphen) at ``a``: its first eight as an integer, its end."""
    word = 0
    n = 0
    while a < b:
        byte = _upper(u8(data, a))
        if not (0x41 <= byte <= 0x5A or 0x30 <= byte <= 0x39 or byte == 0x2D):
            break
        if n < 8:
            word = word << 8 | byte
            n += 1
        a += 1
    return word, a


@kernel
def _blanks(data, a, b):
    """Where the blanks at ``a`` end."""
    while a < b and (u8(data, a) == _SPACE or u8(data, a) == _TAB):
        a += 1
    return a


@kernel
def _lower(byte):
    return byte + 32 if 0x41 <= byte <= 0x5A else byte


# --- the queue of what waits for a reply ---------------------------------------------------------


@kernel
def _push(s, verb, now):
    """A command that the server has to answer."""
    size = np.int64(s.waiting_size)
    if size == 0:
        s.asked_at = now
    else:
        last = (s.waiting_first + size - 1) % OUTSTANDING
        if s.waiting_verb[last] == verb and s.waiting_times[last] < 0xFFFF:
            s.waiting_times[last] += 1
            return
    if size == OUTSTANDING:
        note(s, _MANY)
        return
    last = (s.waiting_first + size) % OUTSTANDING
    s.waiting_verb[last] = verb
    s.waiting_times[last] = 1
    s.waiting_size = size + 1


@kernel
def _pop(s):
    """What the next reply answers; -1 when nothing waits."""
    if s.waiting_size == 0:
        return -1
    first = np.int64(s.waiting_first)
    s.waiting_times[first] -= 1
    if s.waiting_times[first] == 0:
        s.waiting_first = (first + 1) % OUTSTANDING
        s.waiting_size -= 1
    return np.int64(s.waiting_verb[first])


@kernel
def _waits(s, verb):
    """Whether ``verb`` is what was asked last and not yet answered."""
    if s.waiting_size == 0:
        return False
    return s.waiting_verb[(s.waiting_first + s.waiting_size - 1) % OUTSTANDING] == verb


# --- transactions --------------------------------------------------------------------------------


@kernel
def _decide(s, good, bad):
    """The open transaction is over: the server accepted or refused it, or neither."""
    if s.mail_open:
        s.accepted += good and s.bad_here <= s.ok_here
        s.rejected += bad or (s.bad_here > s.ok_here)
    _abort(s)


@kernel
def _abort(s):
    s.mail_open = 0
    s.ok_here = 0
    s.bad_here = 0
    s.rcpt_here = 0


@kernel
def _answered(s, good, bad):
    """The message just sent was accepted or refused, or neither."""
    if s.sent:
        s.accepted += good and s.sent == 1
        s.rejected += bad or s.sent == 2
        s.sent = 0
    else:
        _decide(s, good, bad)


@kernel
def conclude(s):
    """The session is over: decide what is still open."""
    _decide(s, False, False)


# --- the client ----------------------------------------------------------------------------------


@kernel
def _domain_of(data, a, b):
    """``(start, stop, end)`` of the domain of the path at ``a``, and where the path ends.

    ``<user@domain>``, ``<@relay:user@domain>``, a quoted local part, or without the brackets.
    """
    a = _blanks(data, a, b)
    bracket = a < b and u8(data, a) == 0x3C
    if bracket:
        a += 1
    start = -1
    quoted = False
    p = a
    while p < b:
        byte = u8(data, p)
        if quoted:
            if byte == 0x5C:
                p += 1
            elif byte == 0x22:
                quoted = False
        elif byte == 0x22:
            quoted = True
        elif byte == 0x40:
            start = p + 1
        elif byte == 0x3E or (not bracket and (byte == _SPACE or byte == _TAB)):
            break
        p += 1
    p = min(p, b)
    if start < 0:
        start = p
    stop = p
    while stop > start and (u8(data, stop - 1) == _SPACE or u8(data, stop - 1) == _DOT):
        stop -= 1
    return start, stop, min(p + 1, b)


@kernel
def _parameters(s, data, a, b):
    """KEYWORD[=value] ... (RFC 5321, 4.1.2)."""
    while a < b:
        a = _blanks(data, a, b)
        word, a = _word_at(data, a, b)
        for k in range(_PARAMETER_WORDS.shape[0]):
            if _PARAMETER_WORDS[k] == word:
                s.parameters |= 1 << k
        while a < b and u8(data, a) != _SPACE:
            a += 1


@kernel
def _keep_helo(s, data, a, b):
    """The first word; of one that looks like a mailbox only what follows the @.

    A command without a name leaves the one before, as the server that refuses it does.
    """
    if a == b:
        return
    stop = a
    while stop < b and u8(data, stop) != _SPACE and u8(data, stop) != _TAB:
        if u8(data, stop) == 0x40:
            a = stop
        stop += 1
    if stop - a > NAME:
        note(s, _LONG_NAME)
    size = min(stop - a, NAME)
    for k in range(size):
        s.helo[k] = u8(data, a + k)
    s.helo_size = size


@kernel
def _keep_sender(s, data, start, stop):
    if stop - start > NAME:
        note(s, _LONG_NAME)
    size = min(stop - start, NAME)
    for k in range(size):
        s.from_[k] = _lower(u8(data, start + k))
    s.from_size = size


@kernel
def _keep_recipient(s, data, start, stop):
    """A recipient's domain, once."""
    if stop - start > DOMAIN:
        note(s, _LONG_NAME)
    size = min(stop - start, DOMAIN)
    if size == 0:
        return
    for d in range(s.domains):
        if s.domain_sizes[d] == size:
            k = 0
            while k < size and s.rcpt[d, k] == _lower(u8(data, start + k)):
                k += 1
            if k == size:
                return
    if s.domains == DOMAINS:
        s.more_domains = 1
        return
    d = np.int64(s.domains)
    for k in range(size):
        s.rcpt[d, k] = _lower(u8(data, start + k))
    s.domain_sizes[d] = size
    s.domains = d + 1


@kernel
def _bdat(s, data, a, b, now):
    """BDAT size [LAST] (RFC 3030): the verb to wait for, 0 when the size cannot be read."""
    a = _blanks(data, a, b)
    size = 0
    digits = 0
    while a < b and 0x30 <= u8(data, a) <= 0x39 and digits < 16:
        size = size * 10 + u8(data, a) - 0x30
        digits += 1
        a += 1
    if digits == 0 or digits == 16 or (a < b and u8(data, a) != _SPACE and u8(data, a) != _TAB):
        note(s, _BAD_BDAT)
        return _NONE
    a = _blanks(data, a, b)
    word, end = _word_at(data, a, b)
    if a < b and (word != _W_LAST or _blanks(data, end, b) < b):
        note(s, _BAD_BDAT)
        return _NONE
    if size:
        s.chunk_left = size
        s.mode[0] = PIECE
    return _LAST if word == _W_LAST else _BDAT


@routine
def _command(s, data, a, b, now, both):
    """One line of the client, without its LF."""
    crlf = b > a and u8(data, b - 1) == _CR
    if crlf:
        b -= 1
    word, after = _word_at(data, a, b)
    if s.mode[0] == SECRET:
        # Where the server is not seen, only the next MAIL tells that the secrets are over.
        if both or word != _W_MAIL or after >= b or u8(data, after) != _SPACE:
            if both:
                _push(s, _AUTH, now)
            return
        s.mode[0] = LINES
    s.commands += 1
    if both and s.greeted == 0:
        note(s, _EARLY)
    if s.quit:
        note(s, _AFTER_QUIT)
    if s.starttls == _ASKED:
        note(s, _BEFORE_TLS)
    if not crlf:
        note(s, _BARE_LF)
    if b - a > LINE - 2 and word != _W_AUTH:
        note(s, _OVERLONG)
    for k in range(a, b):
        byte = u8(data, k)
        if (byte < _SPACE and byte != _TAB) or byte == 0x7F:
            note(s, _BINARY)
    if both and s.greeted and s.waiting_size:
        s.pipelined = 1
        if s.capabilities & _PIPELINING == 0:
            note(s, _UNADVERTISED)
    if after - a > 8:
        word = 0  # no verb is longer
    verb = _NONE
    rest = _blanks(data, after, b)
    known = s.helo_commands + s.ehlo_commands > 0 or s.greeted == 2 or s.gaps[0] > 0
    if word == _W_HELO or word == _W_EHLO:
        verb = _HELO if word == _W_HELO else _EHLO
        if word == _W_HELO:
            s.helo_commands = min(s.helo_commands + 1, 0xFFFF)
        else:
            s.ehlo_commands = min(s.ehlo_commands + 1, 0xFFFF)
        _keep_helo(s, data, rest, b)
    elif word == _W_MAIL or word == _W_RCPT:
        # "FROM:" or "TO:"; blanks around the colon are wrong, and common
        _, rest = _word_at(data, rest, b)
        rest = _blanks(data, rest, b)
        if rest < b and u8(data, rest) == 0x3A:
            rest += 1
        start, stop, end = _domain_of(data, rest, b)
        _parameters(s, data, end, b)
        if word == _W_MAIL:
            verb = _MAIL
            if not known or s.mail_open == 2:
                note(s, _SEQUENCE)
            if s.mail_open:
                _decide(s, False, False)
            s.mail_open = 1
            s.mail_attempted += 1
            _keep_sender(s, data, start, stop)
        else:
            verb = _RCPT
            if s.mail_open == 0 and s.greeted != 2 and s.gaps[0] == 0:
                note(s, _SEQUENCE)
            s.rcpt_attempted += 1
            s.rcpt_here = min(s.rcpt_here + 1, 0xFFFF)
            _keep_recipient(s, data, start, stop)
    elif word == _W_DATA:
        verb = _DATA
        if s.rcpt_here == 0 and s.greeted != 2 and s.gaps[0] == 0:
            note(s, _SEQUENCE)
        s.mode[0] = BODY
        s.tail = _CRLF
    elif word == _W_BDAT:
        verb = _bdat(s, data, rest, b, now)
        if s.rcpt_here == 0 and s.greeted != 2 and s.gaps[0] == 0:
            note(s, _SEQUENCE)
    elif word == _W_AUTH:
        verb = _AUTH
        s.auth = 1
        size = 0
        while rest + size < b and size < MECHANISM and u8(data, rest + size) > _SPACE:
            s.mechanism[size] = _upper(u8(data, rest + size))
            size += 1
        s.mechanism_size = size
        s.mode[0] = SECRET
    elif word == _W_STARTTLS:
        verb = _STARTTLS
        s.starttls = _ASKED
    elif word == _W_QUIT:
        verb = _QUIT
        s.quit = 1
        _decide(s, False, False)
    elif word == _W_RSET:
        verb = _RSET
        s.rsets += 1
        if not both:
            _decide(s, False, False)
    else:
        if word:
            for k in range(_VRFY, _OTHERS.shape[0]):
                if _OTHERS[k] == word:
                    verb = k
            if verb == _VRFY or verb == _EXPN:
                s.vrfys += 1
        if verb == _NONE:
            for k in range(_HTTP_WORDS.shape[0]):
                if _HTTP_WORDS[k] == word and word:
                    note(s, _HTTP)
                    s.mode[0] = FOREIGN
            if s.mode[0] != FOREIGN:
                s.unknown_commands += 1
                note(s, _UNKNOWN)
    if both:
        if s.ahead:  # the reply was captured before its command
            code = np.int64(s.ahead)
            s.ahead = 0
            _answer(s, verb, code)
        else:
            _push(s, verb, now)


@kernel
def _message(s, data, a, b, now, both):
    """Bytes of a message: where it ended, after CR LF . CR LF, else ``b``.

    Nothing of it is kept but the last four bytes, for an end that comes in pieces.
    """
    if both and _waits(s, _DATA) and s.greeted:
        note(s, _BEFORE_354)
    begin = a
    tail = np.int64(s.tail)
    stop = min(a + 4, b)
    ended = False
    while a < stop and not ended:  # ends that began in earlier pieces
        byte = u8(data, a)
        if byte == _LF:
            ended = tail == 0x0D0A2E0D
            if not ended and (tail & 0xFFFF == 0x0A2E or tail & 0xFFFFFF == 0x0A2E0D):
                note(s, _BARE_DOT)
        tail = (tail << 8 | byte) & 0xFFFFFFFF
        a += 1
    p = max(begin + 2, begin)
    while not ended and p < b:
        p = _find(data, p, b, _DOT, _DOTS)
        if p + 1 >= b:
            break
        if u8(data, p - 1) == _LF:
            lf = u8(data, p + 1) == _LF
            crlf = u8(data, p + 1) == _CR and p + 2 < b and u8(data, p + 2) == _LF
            if crlf and u8(data, p - 2) == _CR:
                ended = True
                a = p + 3
                break
            if lf or crlf:
                note(s, _BARE_DOT)
        p += 1
    if ended:
        s.mode[0] = LINES
        s.body_bytes += a - begin
        if s.mail_open:  # the next transaction may begin before this one is answered
            s.sent = 2 if s.bad_here > s.ok_here else 1
            _abort(s)
        if both:
            if s.ahead:
                code = np.int64(s.ahead)
                s.ahead = 0
                _answer(s, _BODY, code)
            else:
                _push(s, _BODY, now)
        return a
    for k in range(max(begin, b - 4, begin + 4), b):
        tail = (tail << 8 | u8(data, k)) & 0xFFFFFFFF
    s.tail = tail
    s.body_bytes += b - begin
    return b


@kernel
def _first_bytes(s, data, a, b):
    """What protocol is this? Decided by the first bytes of the client."""
    byte = u8(data, a)
    if byte == _HANDSHAKE and (b - a < 2 or u8(data, a + 1) == 3):
        if s.tls != 2:
            note(s, _BARE_TLS)
        s.tls = 1
        s.mode[0] = TLS
        s.mode[1] = TLS
    elif byte == 4 or byte == 5:
        note(s, _SOCKS)
        s.mode[0] = FOREIGN
    elif byte >= 0x80 or (byte < _SPACE and byte != _CR and byte != _LF and byte != _TAB):
        note(s, _BINARY_CLIENT)
        s.mode[0] = FOREIGN


# --- the server ----------------------------------------------------------------------------------


@kernel
def _count_code(s, code):
    for k in range(CODES):
        if s.codes[k] == code or s.codes[k] == 0:
            s.codes[k] = code
            s.code_counts[k] += 1
            return
    s.other_codes += 1


@routine
def _answer(s, verb, code):
    """A reply to ``verb``: the table above."""
    good = code < 300
    refused = code >= 500
    deferred = code >= 400 and not refused
    if verb == _GREETING:
        s.greeted = 1
        s.banner_code = code
        if refused:
            s.rejected += 1
    elif verb == _HELO or verb == _EHLO or verb == _RSET:
        if good:
            _decide(s, False, False)
    elif verb == _MAIL:
        if good and s.mail_open:
            s.mail_open = 2
        elif code >= 400:
            s.mail_rejected += 1
            _decide(s, False, refused)
    elif verb == _RCPT:
        if good:
            s.rcpt_accepted += 1
            s.ok_here = min(s.ok_here + 1, 0xFFFF)
        elif refused:
            s.rcpt_rejected += 1
            s.bad_here = min(s.bad_here + 1, 0xFFFF)
        elif deferred:
            s.rcpt_deferred += 1
    elif verb == _DATA:
        if code >= 400:
            if s.mode[0] == BODY:
                s.mode[0] = LINES
            if refused:
                s.messages_rejected += s.ok_here > 0
                _decide(s, False, True)
    elif verb == _BODY or verb == _LAST or verb == _BDAT:
        if good:
            if verb != _BDAT:
                s.messages_accepted += 1
                _answered(s, True, False)
        elif refused:
            s.messages_rejected += 1
            _answered(s, False, True)
        elif deferred:
            s.messages_deferred += 1
            _answered(s, False, False)
    elif verb == _AUTH:
        if good:
            s.auth = 2
        elif code >= 400:
            s.auth = 3
        if (good or code >= 400) and s.mode[0] == SECRET:
            s.mode[0] = LINES
    elif verb == _STARTTLS:
        if good:
            s.starttls = _ACCEPTED
            s.tls = 1
            s.mode[0] = TLS
            s.mode[1] = TLS
            s.waiting_size = 0
            s.asked_at = 0
        else:
            s.starttls = _REFUSED


@kernel
def _enhanced(s, data, a, b, code):
    """class.subject.detail at ``a`` (RFC 3463), when its class is the code's."""
    for k in range(3):
        s.last_enhanced[k] = NO_ENHANCED
    part = 0
    digits = 0
    value = 0
    first = 0
    second = 0
    while True:
        byte = u8(data, a) if a < b else _SPACE
        if 0x30 <= byte <= 0x39 and digits < 3:
            value = value * 10 + byte - 0x30
            digits += 1
        elif digits and byte == _DOT and part < 2:
            if part == 0:
                first = value
            else:
                second = value
            part += 1
            digits = 0
            value = 0
        else:
            break
        a += 1
    if part == 2 and digits and first == code // 100:
        s.last_enhanced[0] = first
        s.last_enhanced[1] = second
        s.last_enhanced[2] = value


@kernel
def _capability(s, data, a, b):
    """One line of the reply to EHLO: a keyword and its parameters (RFC 5321, 4.1.1.1)."""
    word, _ = _word_at(data, a, b)
    for k in range(_CAPABILITY_WORDS.shape[0]):
        if _CAPABILITY_WORDS[k] == word:
            s.capabilities |= 1 << k
            if 1 << k == _CAN_STARTTLS and s.starttls == 0:
                s.starttls = _OFFERED


@routine
def _reply(s, data, a, b, now, both):
    """One line of the server, without its LF: code, hyphen when more follow, text (4.2)."""
    if b > a and u8(data, b - 1) == _CR:
        b -= 1
    if b - a > LINE - 2:
        note(s, _OVERLONG_REPLY)
    code = 0
    digits = 0
    while digits < 3 and a + digits < b and 0x30 <= u8(data, a + digits) <= 0x39:
        code = code * 10 + u8(data, a + digits) - 0x30
        digits += 1
    mark = u8(data, a + 3) if a + 3 < b else _SPACE
    if digits < 3 or code < 200 or code > 599 or (mark != _SPACE and mark != 0x2D):
        if s.reply_code == 0 or b > a:
            note(s, _MALFORMED)
        return
    first = s.reply_code == 0
    text = min(a + 4, b)
    if not first and s.waiting_size and s.waiting_verb[s.waiting_first] == _EHLO and code < 300:
        _capability(s, data, text, b)
    if mark == 0x2D:
        s.reply_code = code
        return
    s.reply_code = 0
    _enhanced(s, data, text, b, code)
    s.last_code = code
    _count_code(s, code)
    if s.asked_at:
        took = now - s.asked_at
        s.slowest = max(s.slowest, took)
        if took >= TARPIT_SECONDS * _SECOND:
            note(s, _TARPIT)
    verb = _pop(s)
    s.asked_at = now if s.waiting_size else 0
    if verb < 0:
        if code == 354:
            s.mode[0] = BODY
            s.tail = _CRLF
        elif s.mode[0] == BODY:
            s.mode[0] = LINES
            s.skip[0] = 0
            verb = _BODY
        elif both and code != 421:
            if np.int64(s.acked[0] - s.next[0]) & 0xFFFFFFFF < 1 << 31 and s.acked[0] != s.next[0]:
                s.ahead = code
            elif s.gaps[0] == 0 and s.gaps[1] == 0 and s.greeted != 2:
                note(s, _UNEXPECTED)
    _answer(s, verb, code)


@kernel
def _line_begins(data, a, b, side):
    """Whether the first bytes after a gap look like the beginning of a line."""
    if side == 1:
        code = a + 4 <= b and 0x32 <= u8(data, a) <= 0x35
        mark = u8(data, a + 3) if code else 0
        return code and (mark == _SPACE or mark == 0x2D)
    word, after = _word_at(data, a, b)
    if after >= b or (u8(data, after) != _SPACE and u8(data, after) != _CR):
        return False
    for k in range(_HELO, _OTHERS.shape[0]):
        if _OTHERS[k] == word:
            return True
    return False


# --- both ----------------------------------------------------------------------------------------


@kernel
def begin(s, greeting, opened, implicit_tls):
    """A session begins: with the server's greeting to come, or in the middle of things."""
    if greeting:
        _push(s, _GREETING, opened)
    else:
        s.greeted = 2
    if implicit_tls:
        s.tls = 2


@routine
def hear(s, line, side, data, a, b, now, both):
    """The next bytes of one side, ``data[a:b]``, in a packet of time ``now`` (ns).

    ``line`` (uint8[LINE]) holds what came of an incomplete line; ``both`` tells whether both sides
    are seen, so that what did not come was not said.
    """
    if side == 0 and s.bytes[0] == 0 and a < b and s.greeted != 2:
        _first_bytes(s, data, a, b)
    while a < b:
        mode = s.mode[side]
        if mode == FOREIGN:
            return
        if mode == TLS:
            if side == 0 and s.starttls == _ACCEPTED and s.hello_state[0] == 0 and s.tls == 1:
                if s.hello_need[0] == 0 and u8(data, a) >= 0x41:
                    # Letters where a hello should be: decrypted on the way, or never encrypted.
                    s.tls = 0
                    s.mode[0] = LINES
                    s.mode[1] = LINES
                    continue
            hello(s, side, data, a, b)
            return
        if mode == BODY:
            a = _message(s, data, a, b, now, both)
            continue
        if mode == PIECE:
            step = min(b - a, s.chunk_left)
            s.chunk_left -= step
            s.body_bytes += step
            a += step
            if s.chunk_left == 0:
                s.mode[0] = LINES
            continue
        if (
            side == 0
            and not both
            and s.starttls == _ASKED
            and s.line_size[0] == 0
            and u8(data, a) == _HANDSHAKE
        ):
            # The answer is not seen, but a client that goes on with a hello had a yes.
            s.starttls = _ACCEPTED
            s.tls = 1
            s.mode[0] = TLS
            s.mode[1] = TLS
            continue
        end = _find(data, a, b, _LF, _LFS)
        if s.skip[side] and _line_begins(data, a, b, side):
            s.skip[side] = 0
            note(s, _RESYNC)
        if s.skip[side]:
            if end < b:
                s.skip[side] = 0
                note(s, _RESYNC)
            a = end + 1
            continue
        size = np.int64(s.line_size[side])
        if size or end == b:
            keep = min(end - a, LINE - size)
            for k in range(keep):
                line[size + k] = u8(data, a + k)
            size = min(size + end - a, LINE)
            s.line_size[side] = size
            if size == LINE:
                note(s, _OVERLONG if side == 0 else _OVERLONG_REPLY)
            if end == b:
                return
            s.line_size[side] = 0
            source, start, stop = line, 0, size
        else:
            source, start, stop = data, a, end
        a = end + 1
        if side == 0:
            secret = s.mode[0] == SECRET
            _command(s, source, start, stop, now, both)
            if size and (secret or s.mode[0] == SECRET):
                for k in range(size):
                    line[k] = 0
        elif (
            s.greeted == 0
            and s.banner_code == 0
            and s.reply_code == 0
            and start < stop
            and not (0x30 <= u8(source, start) <= 0x39)
        ):
            note(s, _NOT_SMTP)
            s.mode[1] = FOREIGN
        else:
            _reply(s, source, start, stop, now, both)


@routine
def lose(s, side, count):
    """``count`` bytes of one side will never come: go on at the next line end."""
    note(s, _GAP)
    s.gaps[side] += 1
    s.lost[side] += count
    s.line_size[side] = 0
    mode = s.mode[side]
    if mode == LINES or mode == SECRET:
        s.mode[side] = LINES
        s.skip[side] = 1
    elif mode == BODY:
        s.tail = 0
    elif mode == PIECE:
        s.chunk_left -= count
        if s.chunk_left <= 0:
            s.mode[0] = LINES
            s.skip[0] = s.chunk_left < 0
            s.chunk_left = 0
    elif mode == TLS:
        s.hello_state[side] = DONE
    s.ahead = 0
    if side == 1:
        s.reply_code = 0
        s.waiting_size = 0
        s.asked_at = 0
        s.greeted = max(np.int64(s.greeted), 1)
