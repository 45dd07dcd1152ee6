"""What a line of the client does when it is sent, a kernel a verb. Kernels only.

First come the faults of the line itself (:func:`_line_faults`), whatever it says; then its verb;
then it is put in the queue of what the server has to answer (RFC 5321, 4.1.1 unless said
otherwise):

    HELO EHLO  the name is kept
    MAIL       opens a transaction (one that is open is decided); the sender's domain is kept
    RCPT       counts; the domain is kept
    DATA       the client's bytes are a message from here to CR LF . CR LF, which asks for BODY
    BDAT n     the next n bytes are a piece of the message (RFC 3030)
    AUTH       the client's lines are left unread until the server has decided (RFC 4954)
    QUIT       is noted
"""

from typing import Final

import numpy as np

from sensor.base.byteorder import u8
from sensor.base.kernel import kernel, routine
from sensor.smtp.anomalies import (
    BAD_BDAT,
    BARE_LF,
    BINARY_COMMAND,
    COMMAND_AFTER_QUIT,
    COMMANDS_BEFORE_TLS,
    EARLY_TALKER,
    HTTP,
    LONG_NAME,
    OUT_OF_SEQUENCE,
    OVERLONG_COMMAND,
    PROXY_HEADER,
    UNADVERTISED_PIPELINING,
    UNKNOWN_COMMAND,
    note,
)
from sensor.smtp.end_of_data import AT_LINE_START
from sensor.smtp.long_lines import LONGEST_SECRET, longest
from sensor.smtp.proxy import is_version_1
from sensor.smtp.replies import ask
from sensor.smtp.scan import (
    COLON,
    CR,
    SPACE,
    TAB,
    blanks,
    domain_of,
    first_eight,
    is_digit,
    lower,
    upper,
    word_at,
)
from sensor.smtp.session import (
    AUTH_ASKED,
    CAPABILITIES,
    DOMAIN,
    DOMAINS,
    FOREIGN,
    GREETING_UNSEEN,
    LINES,
    MAIL_ACCEPTED,
    MAIL_SENT,
    MAIL_UNANSWERED,
    MECHANISM,
    MESSAGE,
    NAME,
    NO_MAIL,
    NOT_GREETED,
    OCTETS,
    PARAMETERS,
    SECRET,
    STARTTLS_ASKED,
)
from sensor.smtp.transactions import decide, end_of_client, excused, push
from sensor.smtp.verbs import (
    AUTH,
    BDAT,
    BDAT_LAST,
    DATA,
    EHLO,
    HELO,
    MAIL,
    NO_VERB,
    QUIT,
    RCPT,
    RSET,
    STARTTLS,
    VERB_WORDS,
    VRFY,
    W_AUTH,
    W_BDAT,
    W_DATA,
    W_EHLO,
    W_HELO,
    W_MAIL,
    W_QUIT,
    W_RCPT,
    W_RSET,
    W_STARTTLS,
)

__all__ = ["begins_command", "command", "is_command"]

_W_LAST, _W_PROXY = map(first_eight, ("LAST", "PROXY"))
_HTTP_WORDS = np.array(
    [
        first_eight(word)
        for word in ("GET", "POST", "HEAD", "PUT", "CONNECT", "OPTIONS", "TRACE", "PRI")
    ],
    np.int64,
)
_PARAMETER_WORDS = np.array([first_eight(word) for word in PARAMETERS], np.int64)
_MAY_HURRY: Final = 1 << CAPABILITIES.index("PIPELINING") | 1 << CAPABILITIES.index("PIPECONNECT")
"""Capabilities that let a client send a command before the last reply has come."""
_AT, _DELETE = 0x40, 0x7F
_MOST_DIGITS: Final = 16  # of the size of BDAT


# --- what is kept --------------------------------------------------------------------------------


@kernel
def _parameters(s, data, a, b):
    """KEYWORD[=value] ... (RFC 5321, 4.1.2)."""
    while a < b:
        a = blanks(data, a, b)
        word, a = word_at(data, a, b)
        for k in range(_PARAMETER_WORDS.shape[0]):
            if _PARAMETER_WORDS[k] == word:
                s.parameters |= 1 << k
        while a < b and u8(data, a) != SPACE:
            a += 1


@kernel
def _keep_helo(s, data, a, b):
    """The first word; of one that looks like a mailbox only what follows the @.

    A command without a name leaves the one before, as the server that refuses it does.
    """
    if a == b:
        return
    stop = a
    while stop < b and u8(data, stop) != SPACE and u8(data, stop) != TAB:
        if u8(data, stop) == _AT:
            a = stop
        stop += 1
    if stop - a > NAME:
        note(s, LONG_NAME)
    size = min(stop - a, NAME)
    for k in range(size):
        s.helo[k] = u8(data, a + k)
    s.helo_size = size


@kernel
def _keep_sender(s, data, start, stop):
    """A sender's domain, in place of the one before."""
    if stop - start > NAME:
        note(s, LONG_NAME)
    size = min(stop - start, NAME)
    for k in range(size):
        s.from_[k] = lower(u8(data, start + k))
    s.from_size = size


@kernel
def _keep_recipient(s, data, start, stop):
    """Keep a recipient's domain, unless it is kept already."""
    if stop - start > DOMAIN:
        note(s, LONG_NAME)
    size = min(stop - start, DOMAIN)
    if size == 0:
        return
    for d in range(s.domains):
        if s.domain_sizes[d] == size:
            k = 0
            while k < size and s.rcpt[d, k] == lower(u8(data, start + k)):
                k += 1
            if k == size:
                return
    if s.domains == DOMAINS:
        s.more_domains = 1
        return
    d = np.int64(s.domains)
    for k in range(size):
        s.rcpt[d, k] = lower(u8(data, start + k))
    s.domain_sizes[d] = size
    s.domains = d + 1


# --- faults --------------------------------------------------------------------------------------


@kernel
def _line_faults(s, data, a, b, word, size, crlf, now, both):
    """What is wrong with a command line, whatever its verb; a line end of CR LF is not in it."""
    free = excused(s, now)
    if both and s.greeted == NOT_GREETED and s.mode[1] != FOREIGN and not free:
        note(s, EARLY_TALKER)
    if s.quit:
        note(s, COMMAND_AFTER_QUIT)
    if s.starttls == STARTTLS_ASKED and not free:
        note(s, COMMANDS_BEFORE_TLS)
    if not crlf:
        note(s, BARE_LF)
    if size >= longest(word):
        note(s, OVERLONG_COMMAND)
    if s.long_binary:
        note(s, BINARY_COMMAND)
        s.long_binary = 0
    for k in range(a, b):
        byte = u8(data, k)
        if (byte < SPACE and byte != TAB) or byte == _DELETE:
            note(s, BINARY_COMMAND)
    if both and s.greeted and s.waiting_size:
        s.pipelined = 1
        if s.capabilities & _MAY_HURRY == 0 and not free:
            note(s, UNADVERTISED_PIPELINING)


@kernel
def _begun_unseen(s):
    """Whether something of what the client said before may not have been seen."""
    return s.greeted == GREETING_UNSEEN or s.gaps[0] > 0


@kernel
def _crossed(s):
    """Whether a command may be out of sequence because of what was not seen, or was refused.

    The server's refusal of MAIL, and what was pipelined behind it, meet on the way.
    """
    failed = s.mail_failed and s.capabilities & _MAY_HURRY != 0
    return failed or _begun_unseen(s)


# --- verbs ---------------------------------------------------------------------------------------


@kernel
def _hello(s, verb, data, rest, b):
    """HELO and EHLO (4.1.1.1): the name is kept, a transaction given up."""
    if verb == HELO:
        s.helo_commands = min(s.helo_commands + 1, 0xFFFF)
    else:
        s.ehlo_commands = min(s.ehlo_commands + 1, 0xFFFF)
    _keep_helo(s, data, rest, b)
    end_of_client(s)


@kernel
def _path(s, data, rest, b):
    """``(start, stop)`` of the domain behind "FROM:" or "TO:", and the parameters that follow.

    Blanks around the colon are wrong, and common.
    """
    _, rest = word_at(data, rest, b)
    rest = blanks(data, rest, b)
    if rest < b and u8(data, rest) == COLON:
        rest += 1
    start, stop, end = domain_of(data, rest, b)
    _parameters(s, data, end, b)
    s.parameters |= s.long_parameters
    s.long_parameters = 0
    return start, stop


@kernel
def _mail(s, data, rest, b):
    """MAIL FROM:<path> (4.1.1.2): a transaction is opened."""
    start, stop = _path(s, data, rest, b)
    named = s.helo_commands + s.ehlo_commands > 0 or _begun_unseen(s)
    if not named or s.mail_open == MAIL_ACCEPTED:
        note(s, OUT_OF_SEQUENCE)
    if s.waiting_size == 0:
        decide(s, 0, 0)
        s.deal = MAIL_UNANSWERED
        s.data_here = 0
    end_of_client(s)
    s.mail_open = MAIL_SENT
    s.mail_attempted += 1
    _keep_sender(s, data, start, stop)


@kernel
def _rcpt(s, data, rest, b):
    """RCPT TO:<path> (4.1.1.3): the transaction has one more recipient."""
    start, stop = _path(s, data, rest, b)
    if s.mail_open == NO_MAIL and not _crossed(s):
        note(s, OUT_OF_SEQUENCE)
    s.rcpt_attempted += 1
    s.rcpt_here = min(s.rcpt_here + 1, 0xFFFF)
    _keep_recipient(s, data, start, stop)


@kernel
def _needs_recipient(s):
    """DATA and BDAT come after RCPT."""
    if s.rcpt_here == 0 and not _crossed(s):
        note(s, OUT_OF_SEQUENCE)


@kernel
def _data(s):
    """DATA (4.1.1.4): what the client sends next is a message."""
    _needs_recipient(s)
    s.data_here = 1
    s.mode[0] = MESSAGE
    s.tail = AT_LINE_START
    s.answered_early = 0


@kernel
def _bdat_size(s, data, a, b):
    """The arguments of BDAT: the verb to wait for, none when the size cannot be read."""
    a = blanks(data, a, b)
    size = 0
    digits = 0
    while a < b and is_digit(u8(data, a)) and digits < _MOST_DIGITS:
        size = size * 10 + u8(data, a) - 0x30
        digits += 1
        a += 1
    blank = a == b or u8(data, a) == SPACE or u8(data, a) == TAB
    if digits == 0 or digits == _MOST_DIGITS or not blank:
        note(s, BAD_BDAT)
        return NO_VERB
    a = blanks(data, a, b)
    word, end = word_at(data, a, b)
    if a < b and (word != _W_LAST or blanks(data, end, b) < b):
        note(s, BAD_BDAT)
        return NO_VERB
    if size:
        s.chunk_left = size
        s.chunk_fresh = 1
        s.mode[0] = OCTETS
    return BDAT_LAST if word == _W_LAST else BDAT


@kernel
def _bdat(s, data, rest, b):
    """BDAT size [LAST] (RFC 3030): octets come next; the verb to wait for."""
    verb = _bdat_size(s, data, rest, b)
    _needs_recipient(s)
    s.data_here = 1
    if verb == BDAT_LAST:
        end_of_client(s)
    return verb


@kernel
def _auth(s, data, rest, b):
    """AUTH mechanism [initial response] (RFC 4954)."""
    s.auth = AUTH_ASKED
    size = 0
    while rest + size < b and size < MECHANISM and u8(data, rest + size) > SPACE:
        s.mechanism[size] = upper(u8(data, rest + size))
        size += 1
    s.mechanism_size = size
    s.mode[0] = SECRET


@kernel
def _quit(s):
    """QUIT (4.1.1.10): the client takes its leave."""
    s.quit = 1
    if s.waiting_size == 0:
        decide(s, 0, 0)


@kernel
def _other(s, word):
    """A verb that changes nothing, a request of HTTP, or a word nobody knows: the verb."""
    if word:
        for k in range(VRFY, VERB_WORDS.shape[0]):
            if VERB_WORDS[k] == word:
                return k
        for k in range(_HTTP_WORDS.shape[0]):
            if _HTTP_WORDS[k] == word:
                note(s, HTTP)
                s.mode[0] = FOREIGN
    if s.mode[0] != FOREIGN:
        s.unknown_commands += 1
        note(s, UNKNOWN_COMMAND)
    return NO_VERB


@kernel
def _does(s, word, data, rest, b):
    """The verb that ``word`` is does what it does; ``rest`` is where its arguments begin."""
    if word == W_HELO or word == W_EHLO:
        verb = HELO if word == W_HELO else EHLO
        _hello(s, verb, data, rest, b)
        return verb
    if word == W_MAIL:
        _mail(s, data, rest, b)
        return MAIL
    if word == W_RCPT:
        _rcpt(s, data, rest, b)
        return RCPT
    if word == W_DATA:
        _data(s)
        return DATA
    if word == W_BDAT:
        return _bdat(s, data, rest, b)
    if word == W_AUTH:
        _auth(s, data, rest, b)
        return AUTH
    if word == W_STARTTLS:
        s.starttls = STARTTLS_ASKED
        return STARTTLS
    if word == W_QUIT:
        _quit(s)
        return QUIT
    if word == W_RSET:
        end_of_client(s)
        return RSET
    return _other(s, word)


# --- lines ---------------------------------------------------------------------------------------


@routine
def command(s, data, a, b, size, now, both):
    """One line of the client, without its LF, which had ``size`` bytes as it was sent."""
    crlf = b > a and u8(data, b - 1) == CR
    if crlf:
        b -= 1
    word, after = word_at(data, a, b)
    if word == _W_PROXY and s.commands == 0 and crlf and is_version_1(data, after, b):
        note(s, PROXY_HEADER)
        s.begun = 0
        return
    if s.mode[0] == SECRET:
        if size >= LONGEST_SECRET:
            note(s, OVERLONG_COMMAND)
        # Where the server is not seen, only the next MAIL tells that the secrets are over.
        if both or word != W_MAIL or after >= b or u8(data, after) != SPACE:
            if both:
                push(s, AUTH, now)
            return
        s.mode[0] = LINES
    s.commands += 1
    _line_faults(s, data, a, b, word, size, crlf, now, both)
    if after - a > 8:
        word = 0  # no verb is longer
    verb = _does(s, word, data, blanks(data, after, b), b)
    if both:
        ask(s, verb, now)


@kernel
def _is_verb(word):
    """Whether it is the word of a command known here."""
    for k in range(HELO, VERB_WORDS.shape[0]):
        if VERB_WORDS[k] == word:
            return True
    return False


@kernel
def begins_command(data, a, b):
    """Whether the first bytes after a gap look like the beginning of a command."""
    word, after = word_at(data, a, b)
    if after >= b or (u8(data, after) != SPACE and u8(data, after) != CR):
        return False
    return _is_verb(word)


@kernel
def is_command(line, size):
    """Whether the first ``size`` bytes of a line are those of a command, and not of a message."""
    word, after = word_at(line, 0, size)
    rest = blanks(line, after, size)
    if word == W_MAIL or word == W_RCPT:
        word, after = word_at(line, rest, size)
        return after < size and u8(line, after) == COLON
    end = rest == size or (rest + 1 == size and u8(line, rest) == CR)
    if word == W_QUIT or word == W_RSET or word == W_DATA or word == W_STARTTLS:
        return end
    if word == W_BDAT:
        return rest < size and is_digit(u8(line, rest))
    if rest == after and not end:
        return False
    return _is_verb(word)
