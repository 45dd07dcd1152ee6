"""What a server's reply does to the command it answers, the first that waits. Kernels only.

:data:`EFFECT` is the whole of it: by verb, and by the first digit of the code (RFC 5321, 4.2.1).

Where DATA was answered by other than 3yz, or a piece of BDAT was refused before any of its octets
came, the client's next bytes tell what it took the reply for (mode DOUBT): a command is a command,
anything else is the message, or the piece of it. A 354 answers the first DATA that waits, wherever
in the queue, and one that answers nothing known still says that a message comes. Another reply in
the middle of a message ends it where packets are missing; else the server spoke too early, and the
client may be in the middle of sending: what comes is in doubt at the next line, and its end is not
answered again. What follows the code and is neither blank nor hyphen makes it no less a code (4.2).
"""

from typing import Final

import numpy as np

from sensor.base.byteorder import u8
from sensor.base.kernel import kernel, routine
from sensor.base.units import SECOND
from sensor.smtp.anomalies import (
    BARE_END_OF_DATA,
    MALFORMED_REPLY,
    OVERLONG_REPLY,
    UNEXPECTED_REPLY,
    note,
)
from sensor.smtp.anomalies import TARPIT as TARPIT_SEEN
from sensor.smtp.end_of_data import AT_LINE_START, NEARLY
from sensor.smtp.refusals import CONTENT, MAILBOX, POLICY, is_policy, names_policy
from sensor.smtp.scan import (
    CR,
    DOT,
    LF,
    SPACE,
    TAB,
    UNDERSCORE,
    code_at,
    first_eight,
    is_digit,
    upper,
    word_at,
)
from sensor.smtp.session import (
    AUTH_ACCEPTED,
    AUTH_REFUSED,
    CAPABILITIES,
    CODES,
    DOUBT,
    GREETED,
    GREETING_UNSEEN,
    LINE,
    LINES,
    MAIL_ACCEPTED,
    MAIL_ANSWERED,
    MAIL_SENT,
    MAIL_UNANSWERED,
    MESSAGE,
    NO_DEAL,
    NO_ENHANCED,
    NO_MAIL,
    NO_STARTTLS,
    OCTETS,
    SECRET,
    STARTTLS_ACCEPTED,
    STARTTLS_OFFERED,
    STARTTLS_REFUSED,
    begin_tls,
)
from sensor.smtp.transactions import decide, first_waits, pop, push, skip_to, turn_away
from sensor.smtp.verbs import (
    AUTH,
    BDAT,
    BDAT_LAST,
    BODY,
    DATA,
    EHLO,
    GREETING,
    HELO,
    MAIL,
    QUIT,
    RCPT,
    RSET,
    STARTTLS,
    VERBS,
)

__all__ = [
    "EFFECT",
    "EFFECTS",
    "TARPIT_SECONDS",
    "answer",
    "ask",
    "begins_reply",
    "reply_class",
    "reply_line",
]

TARPIT_SECONDS: Final = 20
"""A server that takes longer than this to answer delays on purpose, or is in trouble."""

EFFECTS: Final = (
    "nothing",
    "greeted",  # the session may begin
    "greeted, put off",  # the same, and what follows has no verdict
    "turned away",  # the same, and that is a refused transaction
    "named",  # HELO is accepted: it ends the transaction, nothing is put off any more
    "named, put off",  # what follows has no verdict
    "name refused",  # that is a refused transaction, unless only the command is not known
    "transaction over",  # without a verdict
    "sender heard",  # neither accepted nor refused
    "sender accepted",
    "sender deferred",
    "sender refused",
    "recipient accepted",
    "recipient deferred",
    "recipient refused",
    "message in doubt",  # DATA: does the client send it, or its next command?
    "message put off",  # DATA: the next are commands again
    "message turned down",  # DATA: the same, and a verdict where a recipient was taken
    "accepted",  # the message
    "deferred",
    "refused",
    "piece deferred",  # of BDAT
    "piece refused",
    "authenticated",
    "authentication denied",
    "TLS",  # on both sides
    "no TLS",
)
"""What a reply can do."""
(
    _NOTHING, _GREETED, _GREETED_PUT_OFF, _TURNED_AWAY, _NAMED, _NAMED_PUT_OFF, _NAME_REFUSED,
    _OVER, _SENDER_HEARD, _SENDER_ACCEPTED, _SENDER_DEFERRED, _SENDER_REFUSED,
    _RCPT_ACCEPTED, _RCPT_DEFERRED, _RCPT_REFUSED, _IN_DOUBT, _PUT_OFF, _TURNED_DOWN,
    _ACCEPTED, _DEFERRED, _REFUSED, _PIECE_DEFERRED, _PIECE_REFUSED,
    _AUTHENTICATED, _DENIED, _TLS, _NO_TLS,
) = range(len(EFFECTS))  # fmt: skip

# A 3yz to DATA needs none: the client's bytes are a message since it said DATA.
EFFECT = np.zeros((len(VERBS), 4), np.uint8)
"""[verb, 2yz to 5yz] the place in EFFECTS; of verbs not named here no reply does anything."""
for _verb, _effects in {
    #            2yz               3yz            4yz               5yz
    GREETING:   (_GREETED,         _GREETED,      _GREETED_PUT_OFF, _TURNED_AWAY),
    HELO:       (_NAMED,           _NOTHING,      _NAMED_PUT_OFF,   _NAME_REFUSED),
    EHLO:       (_NAMED,           _NOTHING,      _NAMED_PUT_OFF,   _NAME_REFUSED),
    MAIL:       (_SENDER_ACCEPTED, _SENDER_HEARD, _SENDER_DEFERRED, _SENDER_REFUSED),
    RCPT:       (_RCPT_ACCEPTED,   _NOTHING,      _RCPT_DEFERRED,   _RCPT_REFUSED),
    DATA:       (_IN_DOUBT,        _NOTHING,      _PUT_OFF,         _TURNED_DOWN),
    BODY:       (_ACCEPTED,        _NOTHING,      _DEFERRED,        _REFUSED),
    BDAT:       (_NOTHING,         _NOTHING,      _PIECE_DEFERRED,  _PIECE_REFUSED),
    BDAT_LAST:  (_ACCEPTED,        _NOTHING,      _PIECE_DEFERRED,  _PIECE_REFUSED),
    RSET:       (_OVER,            _NOTHING,      _NOTHING,         _NOTHING),
    QUIT:       (_OVER,            _NOTHING,      _NOTHING,         _NOTHING),
    AUTH:       (_AUTHENTICATED,   _NOTHING,      _DENIED,          _DENIED),
    STARTTLS:   (_TLS,             _NO_TLS,       _NO_TLS,          _NO_TLS),
}.items():  # fmt: skip
    EFFECT[_verb] = _effects

_W_PIPECONNECT, _W_X_PIPE, _W_PIPE = map(
    first_eight, ("PIPECONNECT", "X_PIPE_CONNECT", "PIPE_CONNECT")
)
_CAPABILITY_WORDS = np.array([first_eight(word) for word in CAPABILITIES], np.int64)
_CAN_STARTTLS: Final = 1 << CAPABILITIES.index("STARTTLS")
_HYPHEN: Final = 0x2D
_CLOSES: Final = (421, 521)
_START_MAIL_INPUT, _BAD_CREDENTIALS, _REFUSES = 354, 535, 500
_NO_NAME: Final = 550  # to HELO, which every server knows, of who says it; EHLO it may not know
_MOD: Final = 0xFFFFFFFF


@kernel
def reply_class(code):
    """The column of EFFECT; a 1yz, which there is only to DATA, counts as 2yz."""
    if code < 300:
        return 0
    if code < 400:
        return 1
    return 2 if code < 500 else 3


# --- effects -------------------------------------------------------------------------------------


@kernel
def _greet(s, effect, code):
    """The greeting came: the session may begin, or is turned away."""
    s.greeted = GREETED
    s.banner_code = code
    s.put_off = effect == _GREETED_PUT_OFF
    if effect == _TURNED_AWAY:
        turn_away(s)


@kernel
def _sender_answered(s, effect):
    """MAIL: the transaction that is answered from now on."""
    if s.deal != MAIL_UNANSWERED:  # MAIL was pipelined behind another transaction
        decide(s, 0, 0)
    s.deal = MAIL_ANSWERED
    s.later_here = s.put_off
    if effect == _SENDER_ACCEPTED:
        s.mail_open = MAIL_ACCEPTED if s.mail_open else NO_MAIL
    elif effect != _SENDER_HEARD:
        s.mail_rejected += 1
        s.mail_open = NO_MAIL
        s.mail_failed = 1
        decide(s, 0, (POLICY if s.policy else MAILBOX) if effect == _SENDER_REFUSED else 0)


@kernel
def _recipient_answered(s, effect):
    """RCPT. Recipients of a transaction that is over count for no other."""
    if effect == _RCPT_ACCEPTED:
        s.rcpt_accepted += 1
        s.ok_here = min(s.ok_here + (s.deal != NO_DEAL), 0xFFFF)
    elif effect == _RCPT_REFUSED:
        s.rcpt_rejected += 1
        s.bad_here = min(s.bad_here + (s.deal != NO_DEAL), 0xFFFF)
        s.policy_here = min(s.policy_here + (s.deal != NO_DEAL and s.policy > 0), 0xFFFF)
    else:
        s.rcpt_deferred += 1
        s.later_here = 1


@kernel
def _spoke_early(s):
    """The message was answered before its end: the client may go on with it, or not."""
    if s.tail == NEARLY:
        note(s, BARE_END_OF_DATA)
    s.answered_early = 1
    if s.tail & 0xFF == LF or s.tail & 0xFF == CR:
        s.mode[0] = DOUBT


@kernel
def _data_answered(s, effect):
    """DATA, by other than 3yz: what the client's bytes are from now on, and the verdict."""
    if s.mode[0] == MESSAGE:
        if s.tail == AT_LINE_START:
            s.mode[0] = DOUBT if effect == _IN_DOUBT else LINES
        elif effect != _IN_DOUBT:
            _spoke_early(s)
    if effect == _TURNED_DOWN:
        s.messages_rejected += s.ok_here > 0
        decide(s, 0, CONTENT if s.ok_here else 0)
    elif effect == _PUT_OFF:
        s.later_here = 1
    if effect != _IN_DOUBT and s.mail_open:
        s.mail_open = MAIL_SENT  # who knows whether it still is


@kernel
def _message_refused(s):
    """The server refused a message, or a piece of one: is that a verdict, or follows it from RCPT?

    Where recipients were not seen, it counts.
    """
    hidden = s.greeted == GREETING_UNSEEN or s.gaps[0] > 0 or s.gaps[1] > 0
    s.messages_rejected += s.ok_here > 0 or s.rcpt_attempted == 0 or hidden
    decide(s, 0, CONTENT if s.ok_here else 0)


@kernel
def _piece_answered(s, effect):
    """BDAT, by 4yz or 5yz: the client may not send the octets, if it has not begun to."""
    if s.mode[0] == OCTETS and s.chunk_fresh:
        s.mode[0] = DOUBT
    if effect == _PIECE_REFUSED:
        _message_refused(s)
    else:
        s.messages_deferred += 1
        s.later_here = 1


@kernel
def _authentication_answered(s, effect, code):
    """AUTH: the lines to come are commands again."""
    s.credentials_refused |= code == _BAD_CREDENTIALS
    s.auth = AUTH_ACCEPTED if effect == _AUTHENTICATED else AUTH_REFUSED
    if s.mode[0] == SECRET:
        s.mode[0] = LINES


@kernel
def _starttls_accepted(s):
    """STARTTLS was accepted: nothing that was asked in clear is answered any more."""
    s.starttls = STARTTLS_ACCEPTED
    begin_tls(s)
    s.waiting_size = 0
    s.asked_at = 0


@routine
def answer(s, verb, code):
    """The reply ``code`` to ``verb`` does what EFFECT says; a verb of -1 is none."""
    effect = np.int64(EFFECT[verb, reply_class(code)]) if verb >= 0 else _NOTHING
    if effect == _NOTHING:
        return
    if effect <= _TURNED_AWAY:
        _greet(s, effect, code)
    elif effect == _NAMED:
        decide(s, 0, 0)
        s.put_off = 0
    elif effect == _NAMED_PUT_OFF:
        s.put_off = 1
    elif effect == _NAME_REFUSED:
        if s.policy or (verb == HELO and code == _NO_NAME):
            turn_away(s)
    elif effect == _OVER:
        decide(s, 0, 0)
    elif effect <= _SENDER_REFUSED:
        _sender_answered(s, effect)
    elif effect <= _RCPT_REFUSED:
        _recipient_answered(s, effect)
    elif effect <= _TURNED_DOWN:
        _data_answered(s, effect)
    elif effect == _ACCEPTED:
        s.messages_accepted += 1
        decide(s, 1, 0)
    elif effect == _DEFERRED:
        s.messages_deferred += 1
        s.later_here = 1
        decide(s, 0, 0)
    elif effect == _REFUSED:
        _message_refused(s)
    elif effect <= _PIECE_REFUSED:
        _piece_answered(s, effect)
    elif effect <= _DENIED:
        _authentication_answered(s, effect, code)
    elif effect == _TLS:
        _starttls_accepted(s)
    else:
        s.starttls = STARTTLS_REFUSED


@kernel
def ask(s, verb, now):
    """The server has to answer ``verb``, unless its reply was captured before."""
    if s.ahead:
        code = np.int64(s.ahead)
        s.ahead = 0
        answer(s, verb, code)
    else:
        push(s, verb, now)


# --- lines ---------------------------------------------------------------------------------------


@kernel
def _count_code(s, code):
    """One more reply of this code."""
    for k in range(CODES):
        if s.codes[k] == code or s.codes[k] == 0:
            s.codes[k] = code
            s.code_counts[k] += 1
            return
    s.other_codes += 1


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
        byte = u8(data, a) if a < b else SPACE
        if is_digit(byte) and digits < 3:
            value = value * 10 + byte - 0x30
            digits += 1
        elif digits and byte == DOT and part < 2:
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
    if end < b and u8(data, end) == UNDERSCORE:  # Exim's, and nobody else's
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
def begins_reply(data, a, b):
    """Whether the first bytes after a gap look like the beginning of a reply."""
    code = code_at(data, a, b) if a + 4 <= b else 0
    mark = u8(data, a + 3) if code else 0
    return 200 <= code <= 599 and (mark == SPACE or mark == TAB or mark == _HYPHEN)


@routine
def reply_line(s, data, a, b, size, now, both):
    """One line of the server, without its LF: code, hyphen when more follow, text (4.2).

    ``size`` bytes were sent; what is not in ``data`` is only text.
    """
    if b > a and u8(data, b - 1) == CR:
        b -= 1
    if size >= LINE:
        note(s, OVERLONG_REPLY)
    code = code_at(data, a, b)
    # 1yz says nothing in SMTP (4.2.1), but that DATA was heard.
    preliminary = 100 <= code < 200 and first_waits(s, DATA)
    if (code < 200 or code > 599) and not preliminary:
        if s.reply_code == 0 or b > a:
            note(s, MALFORMED_REPLY)
        return
    first = s.reply_code == 0
    text = min(a + 4, b)
    if not first and code < 300 and first_waits(s, EHLO):
        _capability(s, data, text, b)
    if first:
        s.reply_names = 0
    if code >= _REFUSES and s.reply_names == 0:
        s.reply_names = names_policy(data, text, b)
    if a + 3 < b and u8(data, a + 3) == _HYPHEN:
        s.reply_code = code
        return
    s.reply_code = 0
    _enhanced(s, data, text, b, code)
    s.policy = code >= _REFUSES and is_policy(code, np.int64(s.last_enhanced[1]), s.reply_names > 0)
    s.last_code = code
    _count_code(s, code)
    _reply(s, code, now, both)


@kernel
def _reply(s, code, now, both):
    """A reply is complete: it answers what waits first, and does what that asks."""
    if s.asked_at:
        took = now - s.asked_at
        s.slowest = max(s.slowest, took)
        if took >= TARPIT_SECONDS * SECOND:
            note(s, TARPIT_SEEN)
    if code == _START_MAIL_INPUT:
        skip_to(s, DATA)
    verb = pop(s)
    s.asked_at = now if s.waiting_size else 0
    if code == _CLOSES[0] or code == _CLOSES[1] or (code == 221 and verb != QUIT):
        s.closing = 1
    if verb < 0:
        verb = _unasked(s, code, both)
    answer(s, verb, code)


@kernel
def _unasked(s, code, both):
    """A reply that nothing waits for: what it answers after all, or -1."""
    missed = s.gaps[0] > 0 or s.gaps[1] > 0 or s.greeted == GREETING_UNSEEN or not both
    acked = np.int64(s.acked[0] - s.next[0]) & _MOD
    if code == _START_MAIL_INPUT:
        s.mode[0] = MESSAGE
        s.tail = AT_LINE_START
        s.answered_early = 0
        s.line_size[0] = 0
        s.chunk_left = 0
    elif both and code != _CLOSES[0] and 0 < acked < 1 << 31:
        s.ahead = code
    elif s.mode[0] == MESSAGE and missed:
        s.mode[0] = LINES
        s.skip[0] = 0
        return BODY
    elif s.mode[0] == MESSAGE and s.answered_early == 0:
        s.closing = 1
        _spoke_early(s)
        return BODY
    elif both and not missed:
        s.closing = 1
        if code != _CLOSES[0]:
            note(s, UNEXPECTED_REPLY)
    return -1
