"""What client and server say to each other: bytes of both streams in, facts of the session out.

Sans-IO: no socket, no clock; :func:`hear` is given the bytes of one side in order, as many at a
time as there are, and the packet's time; :func:`lose` is told how many never came. Both fill a row
of dtype SESSION. Kernels only.

What the bytes of a side are is its *mode* (see ``session``):

    LINES SECRET  up to the next LF: ``commands`` says what one of the client does, ``replies`` one
                  of the server
    MESSAGE       up to CR LF . CR LF (``end_of_data``), OCTETS so many bytes: nothing is kept
    DOUBT         the server answered where none was due: the next bytes tell whether the client
                  goes on with its message or with commands
    TLS           the hellos are read (``tls``)
    FOREIGN       nothing is
    DOUBT_TLS     the client's first byte is that of a TLS hello, and may be no more than that

The client's very first bytes may be those of another protocol, or of a PROXY header (``proxy``).
"""

from typing import Final

import numpy as np

from sensor.base.byteorder import u8
from sensor.base.kernel import kernel, routine
from sensor.smtp.anomalies import (
    BARE_END_OF_DATA,
    BINARY_CLIENT,
    DATA_BEFORE_354,
    GAP,
    NOT_SMTP_SERVER,
    REPLIES_BEFORE_TLS,
    RESYNCHRONISED,
    SOCKS,
    TLS_WITHOUT_STARTTLS,
    note,
)
from sensor.smtp.commands import begins_command, command, is_command
from sensor.smtp.end_of_data import NEARLY, walk_message
from sensor.smtp.long_lines import begin_long, end_long, lengthen
from sensor.smtp.proxy import FIRST, SIGNED, skip_version_2, withheld
from sensor.smtp.replies import answer, ask, begins_reply, reply_line
from sensor.smtp.scan import CR, LF, LFS, SPACE, TAB, find, is_digit
from sensor.smtp.session import (
    DOUBT,
    DOUBT_TLS,
    FOREIGN,
    GREETED,
    GREETING_UNSEEN,
    IN_TLS,
    LINE,
    LINES,
    MESSAGE,
    NO_TLS,
    NOT_GREETED,
    OCTETS,
    SECRET,
    STARTTLS_ACCEPTED,
    STARTTLS_ASKED,
    TLS,
    TLS_EXPECTED,
    begin_tls,
)
from sensor.smtp.tls import DONE, hello
from sensor.smtp.transactions import decide, end_of_client, excused, push, waits
from sensor.smtp.verbs import BODY, DATA, GREETING

__all__ = ["begin", "conclude", "hear", "lose"]

_TELLING: Final = 10
"""Bytes that tell a command from a message: those of ``MAIL FROM:``."""
_HANDSHAKE: Final = 0x16
"""The first byte of a TLS hello (RFC 8446, 5.1)."""
_SOCKS_4, _SOCKS_5 = 4, 5
_LONGEST_LINE: Final = 1 << 30  # that is counted


@kernel
def begin(s, greeting, opened, implicit_tls):
    """A session begins: with the server's greeting to come, or in the middle of things."""
    if greeting:
        push(s, GREETING, opened)
    else:
        s.greeted = GREETING_UNSEEN
    if implicit_tls:
        s.tls = TLS_EXPECTED


@kernel
def conclude(s):
    """The session is over: decide what is still open."""
    if s.mode[0] == MESSAGE and s.ahead:  # the end of the message was lost, and answered
        answer(s, BODY, np.int64(s.ahead))
        s.ahead = 0
    decide(s, 0, 0)
    if s.mode[0] == MESSAGE and s.tail == NEARLY:
        note(s, BARE_END_OF_DATA)


# --- messages ------------------------------------------------------------------------------------


@kernel
def _message(s, data, a, b, now, both):
    """Bytes of a message: where it ended, after CR LF . CR LF, else ``b``."""
    if both and waits(s, DATA) and s.greeted and not excused(s, now):
        note(s, DATA_BEFORE_354)
    end, ended = walk_message(s, data, a, b)
    s.body_bytes += end - a
    if ended:
        s.mode[0] = LINES
        end_of_client(s)
        if both and s.answered_early == 0:
            ask(s, BODY, now)
        s.answered_early = 0
    return end


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


@routine
def _doubted(s, line, data, a, b, now, both):
    """Bytes in doubt: gathered in ``line`` until they tell; where it stopped."""
    size = np.int64(s.line_size[0])
    while a < b and size < _TELLING and u8(data, a) != LF:
        line[size] = u8(data, a)
        size += 1
        a += 1
    s.line_size[0] = size
    if a == b and size < _TELLING:
        return a
    if is_command(line, size):
        s.mode[0] = LINES
        s.chunk_left = 0
        s.answered_early = 0
        return a
    taken = size  # of them, by the message
    if s.chunk_left:
        s.mode[0] = OCTETS
        taken = _octets(s, size)
    else:
        s.mode[0] = MESSAGE
        if size:
            _message(s, line, 0, size, now, both)
    for k in range(taken, size):
        line[k - taken] = line[k]
    for k in range(size - taken, size):
        line[k] = 0
    s.line_size[0] = size - taken
    return a


# --- TLS -----------------------------------------------------------------------------------------


@kernel
def _begins_clear(s, byte):
    """Whether the server's first byte where TLS should begin is a character."""
    return (
        s.hello_state[1] == 0
        and s.hello_need[1] == 0
        and (SPACE <= byte < 0x7F or byte == CR or byte == LF)
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
            note(s, REPLIES_BEFORE_TLS)
            a = find(data, a, b, LF, LFS)
            s.skip[1] = a == b
            a = min(a + 1, b)
    if a < b:
        hello(s, side, data, a, b)
    return b


# --- lines ---------------------------------------------------------------------------------------


@routine
def _server_line(s, data, a, b, size, now, both):
    """One line of the server; one that is no SMTP at the very beginning is none to the end."""
    fresh = s.greeted == NOT_GREETED and s.banner_code == 0 and s.reply_code == 0
    if fresh and a < b and u8(data, a) != CR and not is_digit(u8(data, a)):
        note(s, NOT_SMTP_SERVER)
        s.mode[1] = FOREIGN
    else:
        reply_line(s, data, a, b, size, now, both)


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
        s.line_size[side] = min(size + end - a, _LONGEST_LINE)
        return
    s.line_size[side] = 0
    sent = size + end - a
    held = end_long(s, line) if side == 0 and long else min(sent, LINE)
    if side == 0:
        secret = s.mode[0] == SECRET
        if size or long:
            command(s, line, 0, held, sent, now, both)
        else:
            command(s, data, a, end, sent, now, both)
        if (size or long) and (secret or s.mode[0] == SECRET):
            for k in range(min(sent, LINE)):
                line[k] = 0
    elif size:
        _server_line(s, line, 0, held, sent, now, both)
    else:
        _server_line(s, data, a, a + held, sent, now, both)


@kernel
def _next_line(s, line, side, data, a, b, now, both):
    """Bytes up to the next line end, or ``b``; after a gap, from where a line begins again."""
    end = find(data, a, b, LF, LFS)
    if s.skip[side]:
        begins = begins_reply(data, a, b) if side == 1 else begins_command(data, a, b)
        if begins:
            s.skip[side] = 0
            note(s, RESYNCHRONISED)
    if s.skip[side]:
        if end < b:
            s.skip[side] = 0
            note(s, RESYNCHRONISED)
    else:
        _line(s, line, side, data, a, end, b, now, both)
    return min(end + 1, b)


# --- bytes ---------------------------------------------------------------------------------------


@kernel
def _began_tls(s, side, both, byte):
    """Whether a client goes on with a hello, and so had a yes, where the server is not seen."""
    return (
        side == 0
        and not both
        and s.starttls == STARTTLS_ASKED
        and s.line_size[0] == 0
        and byte == _HANDSHAKE
    )


@routine
def _hear(s, line, side, data, a, b, now, both):
    """Bytes of one side, by its mode: where it stopped."""
    while a < b:
        mode = s.mode[side]
        if mode == FOREIGN:
            return a
        if mode == LINES and side == 0 and s.begun == 0:
            return a
        if mode == TLS:
            a = _encrypted(s, side, data, a, b)
        elif mode == MESSAGE:
            a = _message(s, data, a, b, now, both)
        elif mode == OCTETS:
            a += _octets(s, b - a)
        elif mode == DOUBT:
            a = _doubted(s, line, data, a, b, now, both)
        elif _began_tls(s, side, both, u8(data, a)):
            s.starttls = STARTTLS_ACCEPTED
            begin_tls(s)
        else:
            a = _next_line(s, line, side, data, a, b, now, both)
    return b


@kernel
def _first_bytes(s, byte, second):
    """What protocol is this? Decided by the first two bytes of the client."""
    if byte == _HANDSHAKE and second == 3:
        if s.tls != TLS_EXPECTED:
            note(s, TLS_WITHOUT_STARTTLS)
        begin_tls(s)
    elif byte == _SOCKS_4 or byte == _SOCKS_5:
        note(s, SOCKS)
        s.mode[0] = FOREIGN
    elif byte >= 0x80 or (byte < SPACE and byte != CR and byte != LF and byte != TAB):
        note(s, BINARY_CLIENT)
        s.mode[0] = FOREIGN


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
        elif u8(data, a) == _HANDSHAKE and b - a < 2 and s.greeted != GREETING_UNSEEN:
            line[0] = _HANDSHAKE  # one byte is not enough to know TLS by
            s.line_size[0] = 1
            s.mode[0] = DOUBT_TLS
            a = b
        else:
            s.begun = 1
            if s.greeted != GREETING_UNSEEN:
                _first_bytes(s, u8(data, a), u8(data, a + 1) if a + 1 < b else -1)


@kernel
def _lose_message(s):
    """Bytes of a message are lost, its end perhaps: then the server has answered it."""
    if s.ahead:
        s.mode[0] = LINES
        s.skip[0] = 1
        end_of_client(s)
        answer(s, BODY, np.int64(s.ahead))
    else:
        s.tail = 0


@kernel
def _lose_octets(s, count):
    """So many bytes are lost where a piece of BDAT was to come."""
    s.chunk_fresh = 0
    s.chunk_left -= count
    if s.chunk_left <= 0:
        s.mode[0] = LINES
        s.skip[0] = s.chunk_left < 0
        s.chunk_left = 0


@routine
def lose(s, side, count):
    """``count`` bytes of one side will never come: go on at the next line end."""
    note(s, GAP)
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
    elif mode == MESSAGE:
        _lose_message(s)
    elif mode == OCTETS:
        _lose_octets(s, count)
    elif mode == TLS:
        s.hello_state[side] = DONE
    s.ahead = 0
    if side == 1:  # replies can no longer be told to commands
        s.reply_code = 0
        s.waiting_size = 0
        s.asked_at = 0
        s.greeted = max(np.int64(s.greeted), GREETED)
