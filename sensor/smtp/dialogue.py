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
    GREETING    greeted          -             put off          refused
    HELO EHLO   ends the         -             put off          -
                transaction
    MAIL        accepted         -             deferred         refused
    RCPT        accepted         -             deferred         refused
    DATA        in doubt         a message     commands again   the same, refused
                                 comes
    BODY, BDAT  accepted (for    -             deferred         refused; in doubt where
                BDAT: if LAST)                                  no octet has come yet
    RSET QUIT   ends the         -             -                -
                transaction
    AUTH        authenticated    unread lines  denied           denied
    STARTTLS    TLS on both      -             no TLS           no TLS
                sides
    others      nothing          nothing       nothing          nothing

In doubt the client's next bytes tell what it took the reply for: a command is a command, anything
else is the message, or the piece of it. A 354 answers the first DATA that waits, wherever in the
queue, and one that answers nothing known still says that a message comes. Another reply in the
middle of a message ends it where packets are missing; else the server spoke too early, and the
client may be in the middle of sending: what comes is in doubt at the next line, and its end is not
answered again. What follows the code and is neither blank nor hyphen makes it no less a code (4.2).

**A transaction is decided** once, in the order of the replies: refused when the server refused its
MAIL, more recipients than it took, or, where it took one, its DATA or its message; accepted when
the message was. DATA without a recipient has no verdict of its own: its 503 or 554 says what the
replies to RCPT have said. 4yz anywhere in it, or to the HELO before it, and it is not refused:
greylisting tells nothing of the sender, nor does what a server says to the commands that were
pipelined behind. A refused greeting is a refused transaction.

**What the client is not blamed for.** Being early, or ahead of replies, is noted only where it can
be known: not after the server has said what is no reply, or what nobody asked for, nor after it has
said that it closes, nor when it let the client wait longer than ``PATIENCE_SECONDS``.
"""

from typing import Final

import numpy as np

from sensor.base.byteorder import u8
from sensor.base.kernel import kernel, routine
from sensor.base.units import SECOND
from sensor.smtp.end_of_data import AT_LINE_START, NEARLY, walk_message
from sensor.smtp.long_lines import LONGEST_SECRET, begin_long, end_long, lengthen, longest
from sensor.smtp.proxy import FIRST, SIGNED, is_version_1, skip_version_2, withheld
from sensor.smtp.session import (
    ANOMALIES,
    AUTH_ACCEPTED,
    AUTH_ASKED,
    AUTH_REFUSED,
    BODY,
    CAPABILITIES,
    CODES,
    DOMAIN,
    DOMAINS,
    DOUBT,
    DOUBT_TLS,
    FOREIGN,
    GREETED,
    GREETING_UNSEEN,
    IN_TLS,
    LINE,
    LINES,
    MAIL_ACCEPTED,
    MAIL_ANSWERED,
    MAIL_SENT,
    MAIL_UNANSWERED,
    MECHANISM,
    NAME,
    NO_DEAL,
    NO_ENHANCED,
    NO_MAIL,
    NO_STARTTLS,
    NO_TLS,
    NOT_GREETED,
    OCTETS,
    OUTSTANDING,
    PARAMETERS,
    SECRET,
    STARTTLS_ACCEPTED,
    STARTTLS_ASKED,
    STARTTLS_OFFERED,
    STARTTLS_REFUSED,
    TLS,
    TLS_EXPECTED,
    VERBS,
    note,
)
from sensor.smtp.tls import DONE, hello
from sensor.smtp.words import blanks, find, first_eight, upper, word_at

__all__ = [
    "PATIENCE_SECONDS",
    "TARPIT_SECONDS",
    "begin",
    "conclude",
    "hear",
    "lose",
]

TARPIT_SECONDS: Final = 20
"""A server that takes longer than this to answer delays on purpose, or is in trouble."""
PATIENCE_SECONDS: Final = 120
"""The shortest time a client must wait for a reply (RFC 5321, 4.5.3.2)."""

_TELLING: Final = 10
"""Bytes that tell a command from a message: those of ``MAIL FROM:``."""

(
    _NONE, _GREETING, _HELO, _EHLO, _MAIL, _RCPT, _DATA, _BODY, _BDAT, _LAST, _RSET, _VRFY, _EXPN,
    _HELP, _NOOP, _QUIT, _AUTH, _STARTTLS, _ETRN, _TURN, _XCLIENT, _XFORWARD,
) = range(len(VERBS))  # fmt: skip

(
    _EARLY, _UNADVERTISED, _BEFORE_354, _BARE_LF, _BARE_DOT, _OVERLONG, _OVERLONG_REPLY, _UNKNOWN,
    _BINARY, _SEQUENCE, _BAD_BDAT, _BEFORE_TLS, _REPLIES_BEFORE_TLS, _HTTP, _SOCKS, _BARE_TLS,
    _PROXY, _AFTER_QUIT, _MALFORMED, _UNEXPECTED, _MANY, _TARPIT, _LONG_NAME, _GAP, _CUT, _OVERLAP,
    _CHECKSUM, _WINDOW, _HOLD, _AFTER_RESET, _RESYNC, _BINARY_CLIENT, _NOT_SMTP, _EVICTED, _URGENT,
) = range(len(ANOMALIES))  # fmt: skip


_W_HELO, _W_EHLO, _W_MAIL, _W_RCPT, _W_DATA, _W_BDAT = map(
    first_eight, ("HELO", "EHLO", "MAIL", "RCPT", "DATA", "BDAT")
)
_W_AUTH, _W_STARTTLS, _W_QUIT, _W_RSET, _W_LAST, _W_PROXY = map(
    first_eight, ("AUTH", "STARTTLS", "QUIT", "RSET", "LAST", "PROXY")
)
_W_PIPECONNECT, _W_X_PIPE, _W_PIPE = map(
    first_eight, ("PIPECONNECT", "X_PIPE_CONNECT", "PIPE_CONNECT")
)
_OTHERS = np.array([first_eight(verb) for verb in VERBS], np.int64)
_HTTP_WORDS = np.array(
    [
        first_eight(word)
        for word in ("GET", "POST", "HEAD", "PUT", "CONNECT", "OPTIONS", "TRACE", "PRI")
    ],
    np.int64,
)
_CAPABILITY_WORDS = np.array([first_eight(word) for word in CAPABILITIES], np.int64)
_PARAMETER_WORDS = np.array([first_eight(word) for word in PARAMETERS], np.int64)
_PIPELINING: Final = 1 << CAPABILITIES.index("PIPELINING")
_PIPECONNECT: Final = 1 << CAPABILITIES.index("PIPECONNECT")
_HANDSHAKE: Final = 0x16
"""The first byte of a TLS hello (RFC 8446, 5.1)."""
_CAN_STARTTLS: Final = 1 << CAPABILITIES.index("STARTTLS")

_LF, _CR, _DOT, _SPACE, _TAB, _COLON, _UNDERSCORE = 0x0A, 0x0D, 0x2E, 0x20, 0x09, 0x3A, 0x5F
_ASTRAY: Final = 1 << _MALFORMED | 1 << _UNEXPECTED
"""Replies can no longer be told to commands."""
_LFS: Final = 0x0A0A0A0A0A0A0A0A


# --- bytes ---------------------------------------------------------------------------------------


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
    if size == OUTSTANDING:  # the count of replies to come stays right
        note(s, _MANY)
        last = (s.waiting_first + size - 1) % OUTSTANDING
        s.waiting_verb[last] = _NONE
        s.waiting_times[last] += s.waiting_times[last] < 0xFFFF
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


@kernel
def _awaited(s, verb):
    """Leave out what waits before the first ``verb``, if one waits: it will not be answered."""
    for k in range(s.waiting_size):
        at = (np.int64(s.waiting_first) + k) % OUTSTANDING
        if s.waiting_verb[at] == verb:
            if k:
                note(s, _UNEXPECTED)
            s.waiting_first = at
            s.waiting_size -= k
            return


@kernel
def _excused(s, now):
    """Whether the client need not wait for the reply, or cannot be told to have waited or not."""
    return (
        s.closing == 1
        or s.anomalies & _ASTRAY != 0
        or (s.asked_at != 0 and now - s.asked_at >= PATIENCE_SECONDS * SECOND)
    )


# --- transactions --------------------------------------------------------------------------------


@kernel
def _decide(s, good, bad):
    """The transaction being answered is over: the server accepted or refused it, or neither."""
    if s.deal:
        s.accepted += good and s.bad_here <= s.ok_here
        s.rejected += s.later_here == 0 and (bad or s.bad_here > s.ok_here)
    s.deal = NO_DEAL
    s.ok_here = 0
    s.bad_here = 0
    s.later_here = 0


@kernel
def _said_all(s):
    """The client has ended its transaction, or has given it up."""
    s.mail_open = NO_MAIL
    s.mail_failed = 0
    s.rcpt_here = 0


@kernel
def conclude(s):
    """The session is over: decide what is still open."""
    if s.mode[0] == BODY and s.ahead:  # the end of the message was lost, and answered
        _answer(s, _BODY, np.int64(s.ahead))
        s.ahead = 0
    _decide(s, False, False)
    if s.mode[0] == BODY and s.tail == NEARLY:
        note(s, _BARE_DOT)


# --- the client ----------------------------------------------------------------------------------


@kernel
def _domain_of(data, a, b):
    """``(start, stop, end)`` of the domain of the path at ``a``, and where the path ends.

    ``<user@domain>``, ``<@relay:user@domain>``, a quoted local part, or without the brackets.
    """
    a = blanks(data, a, b)
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
        a = blanks(data, a, b)
        word, a = word_at(data, a, b)
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
def _bdat(s, data, a, b):
    """BDAT size [LAST] (RFC 3030): the verb to wait for, 0 when the size cannot be read."""
    a = blanks(data, a, b)
    size = 0
    digits = 0
    while a < b and 0x30 <= u8(data, a) <= 0x39 and digits < 16:
        size = size * 10 + u8(data, a) - 0x30
        digits += 1
        a += 1
    if digits == 0 or digits == 16 or (a < b and u8(data, a) != _SPACE and u8(data, a) != _TAB):
        note(s, _BAD_BDAT)
        return _NONE
    a = blanks(data, a, b)
    word, end = word_at(data, a, b)
    if a < b and (word != _W_LAST or blanks(data, end, b) < b):
        note(s, _BAD_BDAT)
        return _NONE
    if size:
        s.chunk_left = size
        s.chunk_fresh = 1
        s.mode[0] = OCTETS
    return _LAST if word == _W_LAST else _BDAT


@kernel
def _crossed(s):
    """Whether a command may be out of sequence because of what was not seen, or was refused.

    The server's refusal of MAIL, and what was pipelined behind it, meet on the way.
    """
    failed = s.mail_failed and s.capabilities & (_PIPELINING | _PIPECONNECT) != 0
    return failed or s.greeted == GREETING_UNSEEN or s.gaps[0] > 0


@routine
def _command(s, data, a, b, size, now, both):
    """One line of the client, without its LF, which had ``size`` bytes as it was sent."""
    crlf = b > a and u8(data, b - 1) == _CR
    if crlf:
        b -= 1
    word, after = word_at(data, a, b)
    if word == _W_PROXY and s.commands == 0 and crlf and is_version_1(data, after, b):
        note(s, _PROXY)
        s.begun = 0
        return
    if s.mode[0] == SECRET:
        if size >= LONGEST_SECRET:
            note(s, _OVERLONG)
        # Where the server is not seen, only the next MAIL tells that the secrets are over.
        if both or word != _W_MAIL or after >= b or u8(data, after) != _SPACE:
            if both:
                _push(s, _AUTH, now)
            return
        s.mode[0] = LINES
    s.commands += 1
    excused = _excused(s, now)
    if both and s.greeted == NOT_GREETED and s.mode[1] != FOREIGN and not excused:
        note(s, _EARLY)
    if s.quit:
        note(s, _AFTER_QUIT)
    if s.starttls == STARTTLS_ASKED and not excused:
        note(s, _BEFORE_TLS)
    if not crlf:
        note(s, _BARE_LF)
    if size >= longest(word):
        note(s, _OVERLONG)
    if s.long_binary:
        note(s, _BINARY)
        s.long_binary = 0
    for k in range(a, b):
        byte = u8(data, k)
        if (byte < _SPACE and byte != _TAB) or byte == 0x7F:
            note(s, _BINARY)
    if both and s.greeted and s.waiting_size:
        s.pipelined = 1
        if s.capabilities & (_PIPELINING | _PIPECONNECT) == 0 and not excused:
            note(s, _UNADVERTISED)
    if after - a > 8:
        word = 0  # no verb is longer
    verb = _NONE
    rest = blanks(data, after, b)
    known = s.helo_commands + s.ehlo_commands > 0 or s.greeted == GREETING_UNSEEN or s.gaps[0] > 0
    if word == _W_HELO or word == _W_EHLO:
        verb = _HELO if word == _W_HELO else _EHLO
        if word == _W_HELO:
            s.helo_commands = min(s.helo_commands + 1, 0xFFFF)
        else:
            s.ehlo_commands = min(s.ehlo_commands + 1, 0xFFFF)
        _keep_helo(s, data, rest, b)
        _said_all(s)
    elif word == _W_MAIL or word == _W_RCPT:
        # "FROM:" or "TO:"; blanks around the colon are wrong, and common
        _, rest = word_at(data, rest, b)
        rest = blanks(data, rest, b)
        if rest < b and u8(data, rest) == 0x3A:
            rest += 1
        start, stop, end = _domain_of(data, rest, b)
        _parameters(s, data, end, b)
        s.parameters |= s.long_parameters
        s.long_parameters = 0
        if word == _W_MAIL:
            verb = _MAIL
            if not known or s.mail_open == MAIL_ACCEPTED:
                note(s, _SEQUENCE)
            if s.waiting_size == 0:
                _decide(s, False, False)
                s.deal = MAIL_UNANSWERED
            _said_all(s)
            s.mail_open = MAIL_SENT
            s.mail_attempted += 1
            _keep_sender(s, data, start, stop)
        else:
            verb = _RCPT
            if s.mail_open == NO_MAIL and not _crossed(s):
                note(s, _SEQUENCE)
            s.rcpt_attempted += 1
            s.rcpt_here = min(s.rcpt_here + 1, 0xFFFF)
            _keep_recipient(s, data, start, stop)
    elif word == _W_DATA:
        verb = _DATA
        if s.rcpt_here == 0 and not _crossed(s):
            note(s, _SEQUENCE)
        s.mode[0] = BODY
        s.tail = AT_LINE_START
        s.answered_early = 0
    elif word == _W_BDAT:
        verb = _bdat(s, data, rest, b)
        if s.rcpt_here == 0 and not _crossed(s):
            note(s, _SEQUENCE)
        if verb == _LAST:
            _said_all(s)
    elif word == _W_AUTH:
        verb = _AUTH
        s.auth = AUTH_ASKED
        size = 0
        while rest + size < b and size < MECHANISM and u8(data, rest + size) > _SPACE:
            s.mechanism[size] = upper(u8(data, rest + size))
            size += 1
        s.mechanism_size = size
        s.mode[0] = SECRET
    elif word == _W_STARTTLS:
        verb = _STARTTLS
        s.starttls = STARTTLS_ASKED
    elif word == _W_QUIT:
        verb = _QUIT
        s.quit = 1
        if s.waiting_size == 0:
            _decide(s, False, False)
    elif word == _W_RSET:
        verb = _RSET
        _said_all(s)
    else:
        if word:
            for k in range(_VRFY, _OTHERS.shape[0]):
                if _OTHERS[k] == word:
                    verb = k
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

    Nothing of it is kept.
    """
    if both and _waits(s, _DATA) and s.greeted and not _excused(s, now):
        note(s, _BEFORE_354)
    end, ended = walk_message(s, data, a, b)
    s.body_bytes += end - a
    if ended:
        s.mode[0] = LINES
        _said_all(s)
        if both and s.answered_early == 0:
            if s.ahead:
                code = np.int64(s.ahead)
                s.ahead = 0
                _answer(s, _BODY, code)
            else:
                _push(s, _BODY, now)
        s.answered_early = 0
    return end


@kernel
def _first_bytes(s, byte, second):
    """What protocol is this? Decided by the first two bytes of the client."""
    if byte == _HANDSHAKE and second == 3:
        if s.tls != TLS_EXPECTED:
            note(s, _BARE_TLS)
        s.tls = IN_TLS
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


@kernel
def _message_refused(s):
    """The server refused a message, or a piece of one: is that a verdict, or follows it from RCPT?

    Where recipients were not seen, it counts.
    """
    unseen = s.rcpt_attempted == 0 or s.greeted == GREETING_UNSEEN or s.gaps[0] > 0 or s.gaps[1] > 0
    s.messages_rejected += s.ok_here > 0 or unseen
    _decide(s, False, s.ok_here > 0)


@kernel
def _data_answered(s, code):
    """What the client's bytes are from now on, when DATA was answered by other than 3yz."""
    if s.mode[0] != BODY:
        return
    if s.tail == AT_LINE_START:
        s.mode[0] = DOUBT if code < 300 else LINES
    elif code >= 400:
        _spoke_early(s)


@kernel
def _spoke_early(s):
    """The message was answered before its end: the client may go on with it, or not."""
    if s.tail == NEARLY:
        note(s, _BARE_DOT)
    s.answered_early = 1
    if s.tail & 0xFF == _LF or s.tail & 0xFF == _CR:
        s.mode[0] = DOUBT


@kernel
def _recipient_answered(s, code):
    """Recipients of a transaction that is over count for no other."""
    if code < 300:
        s.rcpt_accepted += 1
        s.ok_here = min(s.ok_here + (s.deal != NO_DEAL), 0xFFFF)
    elif code >= 500:
        s.rcpt_rejected += 1
        s.bad_here = min(s.bad_here + (s.deal != NO_DEAL), 0xFFFF)
    elif code >= 400:
        s.rcpt_deferred += 1
        s.later_here = 1


@kernel
def _sender_answered(s, code):
    if s.deal != MAIL_UNANSWERED:  # MAIL was pipelined behind another transaction
        _decide(s, False, False)
    s.deal = MAIL_ANSWERED
    s.later_here = s.put_off
    if code < 300:
        s.mail_open = MAIL_ACCEPTED if s.mail_open else NO_MAIL
    elif code >= 400:
        s.mail_rejected += 1
        s.mail_open = NO_MAIL
        s.mail_failed = 1
        _decide(s, False, code >= 500)


@routine
def _answer(s, verb, code):
    """A reply to ``verb``: the table above."""
    good = code < 300
    refused = code >= 500
    deferred = code >= 400 and not refused
    if verb == _GREETING:
        s.greeted = GREETED
        s.banner_code = code
        s.put_off = 1 if deferred else 0
        if refused:
            s.rejected += 1
    elif verb == _HELO or verb == _EHLO:
        if good:
            _decide(s, False, False)
        if good or deferred:
            s.put_off = 1 if deferred else 0
    elif verb == _RSET or verb == _QUIT:
        if good:
            _decide(s, False, False)
    elif verb == _MAIL:
        _sender_answered(s, code)
    elif verb == _RCPT:
        _recipient_answered(s, code)
    elif verb == _DATA:
        if good or code >= 400:
            _data_answered(s, code)
        if refused:
            s.messages_rejected += s.ok_here > 0
            _decide(s, False, s.ok_here > 0)
        elif deferred:
            s.later_here = 1
        if code >= 400 and s.mail_open:
            s.mail_open = MAIL_SENT  # who knows whether it still is
    elif verb == _BODY or verb == _LAST or verb == _BDAT:
        if verb != _BODY and code >= 400 and s.mode[0] == OCTETS and s.chunk_fresh:
            s.mode[0] = DOUBT
        if good:
            if verb != _BDAT:
                s.messages_accepted += 1
                _decide(s, True, False)
        elif refused:
            _message_refused(s)
        elif deferred:
            s.messages_deferred += 1
            s.later_here = 1
            if verb == _BODY:
                _decide(s, False, False)
    elif verb == _AUTH:
        if good:
            s.auth = AUTH_ACCEPTED
        elif code >= 400:
            s.auth = AUTH_REFUSED
        if (good or code >= 400) and s.mode[0] == SECRET:
            s.mode[0] = LINES
    elif verb == _STARTTLS:
        if good:
            s.starttls = STARTTLS_ACCEPTED
            s.tls = IN_TLS
            s.mode[0] = TLS
            s.mode[1] = TLS
            s.waiting_size = 0
            s.asked_at = 0
        else:
            s.starttls = STARTTLS_REFUSED


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
    word, end = word_at(data, a, b)
    if end < b and u8(data, end) == _UNDERSCORE:  # Exim's, and nobody else's
        word = 0
        for k in range(a, min(a + 8, b)):
            word = word << 8 | upper(u8(data, k))
        if word == _W_X_PIPE or word == _W_PIPE:
            word = _W_PIPECONNECT
    for k in range(_CAPABILITY_WORDS.shape[0]):
        if _CAPABILITY_WORDS[k] == word:
            s.capabilities |= 1 << k
            if 1 << k == _CAN_STARTTLS and s.starttls == NO_STARTTLS:
                s.starttls = STARTTLS_OFFERED


@kernel
def _code_at(data, a, b):
    """The three digits at ``a``, or 0; whatever follows them, unless it is a fourth."""
    code = 0
    for k in range(3):
        digit = u8(data, a + k) - 0x30 if a + k < b else -1
        if not 0 <= digit <= 9:
            return 0
        code = code * 10 + digit
    if a + 3 < b and 0x30 <= u8(data, a + 3) <= 0x39:
        return 0
    return code


@routine
def _reply(s, data, a, b, size, now, both):
    """One line of the server, without its LF: code, hyphen when more follow, text (4.2).

    ``size`` bytes were sent; what is not in ``data`` is only text.
    """
    if b > a and u8(data, b - 1) == _CR:
        b -= 1
    if size >= LINE:
        note(s, _OVERLONG_REPLY)
    code = _code_at(data, a, b)
    # 1yz says nothing in SMTP (4.2.1), but that DATA was heard.
    preliminary = 100 <= code < 200 and s.waiting_size and s.waiting_verb[s.waiting_first] == _DATA
    if (code < 200 or code > 599) and not preliminary:
        if s.reply_code == 0 or b > a:
            note(s, _MALFORMED)
        return
    first = s.reply_code == 0
    text = min(a + 4, b)
    if not first and s.waiting_size and s.waiting_verb[s.waiting_first] == _EHLO and code < 300:
        _capability(s, data, text, b)
    if a + 3 < b and u8(data, a + 3) == 0x2D:
        s.reply_code = code
        return
    s.reply_code = 0
    _enhanced(s, data, text, b, code)
    s.last_code = code
    _count_code(s, code)
    if s.asked_at:
        took = now - s.asked_at
        s.slowest = max(s.slowest, took)
        if took >= TARPIT_SECONDS * SECOND:
            note(s, _TARPIT)
    if code == 354:
        _awaited(s, _DATA)
    verb = _pop(s)
    s.asked_at = now if s.waiting_size else 0
    if code == 421 or code == 521 or (code == 221 and verb != _QUIT):
        s.closing = 1
    if verb < 0:
        verb = _unasked(s, code, both)
    _answer(s, verb, code)


@kernel
def _unasked(s, code, both):
    """A reply that nothing waits for: what it answers after all, or -1."""
    missed = s.gaps[0] > 0 or s.gaps[1] > 0 or s.greeted == GREETING_UNSEEN or not both
    acked = np.int64(s.acked[0] - s.next[0]) & 0xFFFFFFFF
    if code == 354:
        s.mode[0] = BODY
        s.tail = AT_LINE_START
        s.answered_early = 0
        s.line_size[0] = 0
        s.chunk_left = 0
    elif both and code != 421 and 0 < acked < 1 << 31:
        s.ahead = code
    elif s.mode[0] == BODY and missed:
        s.mode[0] = LINES
        s.skip[0] = 0
        return _BODY
    elif s.mode[0] == BODY and s.answered_early == 0:
        s.closing = 1
        _spoke_early(s)
        return _BODY
    elif both and not missed:
        s.closing = 1
        if code != 421:
            note(s, _UNEXPECTED)
    return -1


@kernel
def _line_begins(data, a, b, side):
    """Whether the first bytes after a gap look like the beginning of a line."""
    if side == 1:
        code = _code_at(data, a, b) if a + 4 <= b else 0
        mark = u8(data, a + 3) if code else 0
        return 200 <= code <= 599 and (mark == _SPACE or mark == _TAB or mark == 0x2D)
    word, after = word_at(data, a, b)
    if after >= b or (u8(data, after) != _SPACE and u8(data, after) != _CR):
        return False
    for k in range(_HELO, _OTHERS.shape[0]):
        if _OTHERS[k] == word:
            return True
    return False


@kernel
def _commands(line, size):
    """Whether the first bytes of a line, all of it or _TELLING, are those of a command."""
    word, after = word_at(line, 0, size)
    rest = blanks(line, after, size)
    if word == _W_MAIL or word == _W_RCPT:
        word, after = word_at(line, rest, size)
        return after < size and u8(line, after) == _COLON
    end = rest == size or (rest + 1 == size and u8(line, rest) == _CR)
    if word == _W_QUIT or word == _W_RSET or word == _W_DATA or word == _W_STARTTLS:
        return end
    if word == _W_BDAT:
        return rest < size and 0x30 <= u8(line, rest) <= 0x39
    if rest == after and not end:
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
        s.greeted = GREETING_UNSEEN
    if implicit_tls:
        s.tls = TLS_EXPECTED


@routine
def _doubted(s, line, data, a, b, now, both):
    """Bytes in doubt: gathered in ``line`` until they tell; where it stopped."""
    size = np.int64(s.line_size[0])
    while a < b and size < _TELLING and u8(data, a) != _LF:
        line[size] = u8(data, a)
        size += 1
        a += 1
    s.line_size[0] = size
    if a == b and size < _TELLING:
        return a
    if _commands(line, size):
        s.mode[0] = LINES
        s.chunk_left = 0
        s.answered_early = 0
        return a
    taken = size  # of them, by the message
    if s.chunk_left:
        s.mode[0] = OCTETS
        taken = _octets(s, size)
    else:
        s.mode[0] = BODY
        if size:
            _message(s, line, 0, size, now, both)
    for k in range(taken, size):
        line[k - taken] = line[k]
    for k in range(size - taken, size):
        line[k] = 0
    s.line_size[0] = size - taken
    return a


@kernel
def _octets(s, count):
    """Octets of a piece: how many of ``count`` are."""
    step = min(count, np.int64(s.chunk_left))
    if step:
        s.chunk_fresh = 0
    s.chunk_left -= step
    s.body_bytes += step
    if s.chunk_left == 0:
        s.mode[0] = LINES
    return step


@kernel
def _begins_clear(s, byte):
    """Whether the server's first byte where TLS should begin is a character."""
    return (
        s.hello_state[1] == 0
        and s.hello_need[1] == 0
        and (_SPACE <= byte < 0x7F or byte == _CR or byte == _LF)
    )


@routine
def _encrypted(s, side, data, a, b):
    """Bytes where TLS should be; where it stopped: at ``b``, or where they are lines after all."""
    if side == 0 and s.starttls == STARTTLS_ACCEPTED and s.hello_state[0] == 0 and s.tls == IN_TLS:
        if s.hello_need[0] == 0 and u8(data, a) >= 0x41:
            # Letters where a hello should be: decrypted on the way, or never encrypted.
            s.tls = NO_TLS
            s.mode[0] = LINES
            s.mode[1] = LINES
            return a
    if side == 1 and s.starttls == STARTTLS_ACCEPTED:
        while a < b and (s.skip[1] or _begins_clear(s, u8(data, a))):
            note(s, _REPLIES_BEFORE_TLS)
            a = find(data, a, b, _LF, _LFS)
            s.skip[1] = a == b
            a = min(a + 1, b)
    if a < b:
        hello(s, side, data, a, b)
    return b


@routine
def _line(s, line, side, data, a, end, b, now, both):
    """Bytes up to ``end``, where the LF is, or ``b``, where it has not come."""
    size = np.int64(s.line_size[side])
    long = size + end - a > LINE
    if side == 0 and long:
        if size <= LINE:
            begin_long(s)
            lengthen(s, line, line, 0, size)
            for k in range(np.int64(s.long_size), size):
                line[k] = 0
        lengthen(s, line, data, a, end)
    elif size or end == b:
        for k in range(min(end - a, LINE - size)):
            line[size + k] = u8(data, a + k)
    if end == b:
        s.line_size[side] = min(size + end - a, 1 << 30)
        return
    s.line_size[side] = 0
    sent = size + end - a
    held = end_long(s, line) if side == 0 and long else min(sent, LINE)
    if side == 0:
        secret = s.mode[0] == SECRET
        if size or long:
            _command(s, line, 0, held, sent, now, both)
        else:
            _command(s, data, a, end, sent, now, both)
        if (size or long) and (secret or s.mode[0] == SECRET):
            for k in range(min(sent, LINE)):
                line[k] = 0
    elif size:
        _server_line(s, line, 0, held, sent, now, both)
    else:
        _server_line(s, data, a, a + held, sent, now, both)


@routine
def _server_line(s, data, a, b, size, now, both):
    """One line of the server; one that is no SMTP at the very beginning is none to the end."""
    fresh = s.greeted == NOT_GREETED and s.banner_code == 0 and s.reply_code == 0
    if fresh and a < b and u8(data, a) != _CR and not (0x30 <= u8(data, a) <= 0x39):
        note(s, _NOT_SMTP)
        s.mode[1] = FOREIGN
    else:
        _reply(s, data, a, b, size, now, both)


@routine
def _hear(s, line, side, data, a, b, now, both):
    while a < b:
        mode = s.mode[side]
        if mode == FOREIGN:
            return a
        if mode == LINES and side == 0 and s.begun == 0:
            return a
        if mode == TLS:
            a = _encrypted(s, side, data, a, b)
            continue
        if mode == BODY:
            a = _message(s, data, a, b, now, both)
            continue
        if mode == OCTETS:
            a += _octets(s, b - a)
            continue
        if mode == DOUBT:
            a = _doubted(s, line, data, a, b, now, both)
            continue
        if (
            side == 0
            and not both
            and s.starttls == STARTTLS_ASKED
            and s.line_size[0] == 0
            and u8(data, a) == _HANDSHAKE
        ):
            # The answer is not seen, but a client that goes on with a hello had a yes.
            s.starttls = STARTTLS_ACCEPTED
            s.tls = IN_TLS
            s.mode[0] = TLS
            s.mode[1] = TLS
            continue
        end = find(data, a, b, _LF, _LFS)
        if s.skip[side] and _line_begins(data, a, b, side):
            s.skip[side] = 0
            note(s, _RESYNC)
        if s.skip[side]:
            if end < b:
                s.skip[side] = 0
                note(s, _RESYNC)
        else:
            _line(s, line, side, data, a, end, b, now, both)
        a = min(end + 1, b)
    return b


@routine
def hear(s, line, side, data, a, b, now, both):
    """The next bytes of one side, ``data[a:b]``, in a packet of time ``now`` (ns).

    ``line`` (uint8[LINE]) holds what came of an incomplete line; ``both`` tells whether both sides
    are seen, so that what did not come was not said.
    """
    while a < b:
        if side == 0 and s.mode[0] == DOUBT_TLS:
            s.mode[0] = LINES
            s.begun = 1
            s.line_size[0] = 0
            _first_bytes(s, _HANDSHAKE, u8(data, a))
            _hear(s, line, 0, line, 0, 1, now, both)
        elif side == 1 or s.begun or s.mode[0] != LINES:
            a = _hear(s, line, side, data, a, b, now, both)
            if s.mode[side] == FOREIGN:
                return
        elif s.proxy_at or u8(data, a) == FIRST:
            a = skip_version_2(s, data, a, b)
            if a < b and 0 < s.proxy_at < SIGNED:
                s.begun = 1
                _hear(s, line, 0, line, 0, withheld(s, line), now, both)
        elif (
            s.begun == 0
            and u8(data, a) == _HANDSHAKE
            and b - a < 2
            and s.greeted != GREETING_UNSEEN
        ):
            line[0] = _HANDSHAKE  # one byte is not enough to know TLS by
            s.line_size[0] = 1
            s.mode[0] = DOUBT_TLS
            a = b
        else:
            s.begun = 1
            if s.greeted != GREETING_UNSEEN:
                _first_bytes(s, u8(data, a), u8(data, a + 1) if a + 1 < b else -1)


@routine
def lose(s, side, count):
    """``count`` bytes of one side will never come: go on at the next line end."""
    note(s, _GAP)
    s.gaps[side] += 1
    s.lost[side] += count
    s.line_size[side] = 0
    mode = s.mode[side]
    if side == 0:
        s.begun = 1
        s.proxy_at = 0
    if mode == LINES or mode == SECRET or mode == DOUBT:
        s.mode[side] = LINES
        s.skip[side] = 1
    elif mode == BODY and s.ahead:  # its end was lost, and answered
        s.mode[0] = LINES
        s.skip[0] = 1
        _said_all(s)
        _answer(s, _BODY, np.int64(s.ahead))
    elif mode == BODY:
        s.tail = 0
    elif mode == OCTETS:
        s.chunk_fresh = 0
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
        s.greeted = max(np.int64(s.greeted), GREETED)
