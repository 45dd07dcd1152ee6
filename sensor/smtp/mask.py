"""What an SMTP grammar lets through, and filler for all else. Kernels only.

A sensor that sends segments elsewhere sends no mail. Whatever the state of the dialogue, of the
bytes of a stream only these stay as they are:

* of a client's line: a verb, the name after HELO, ``FROM:`` and ``TO:``, the domain of a path,
  parameters without their values, an AUTH mechanism, the size of BDAT; a dot that begins a line
* of a server's line: the code, an enhanced status code of its class, a keyword of EHLO; of those
  words that tell a refusal for policy (``smtp/refusals.py``) the beginning, in one segment
* the first record of TLS where STARTTLS comes before it, or nothing does: its hello
* blanks, line ends and the brackets of paths

A local part becomes letters that depend on it and on the provider's key; without a key on nothing.
All else becomes filler of the same length and class: letters, digits, punctuation, control
characters, bytes above ASCII. So lengths, lines, verbs, codes and domains are read as they were on
the wire. A line of a message that looks like a command is treated as one: its verb and domain go
through, no more.

What a line is carries over from segment to segment as long as they come in order. After a gap, and
for what comes again or too late, a line is taken to begin. The table of streams is of fixed size;
the newest stands in a slot.

Whether a TCP checksum was right stays so: it is made anew where it was.
"""

from typing import Final

import numpy as np

from sensor.base.byteorder import u8
from sensor.base.kernel import inner_routine, kernel, mix
from sensor.decode.decoder import flow_hash
from sensor.decode.segment import RST, SYN, TCP, is_watched
from sensor.smtp.mask_line import (
    DOMAIN,
    HELLO,
    LOCAL,
    MASKED,
    MASKED_ROWS,
    NAME,
    NO_KEY,
    OFFERS,
    OPAQUE,
    PATH,
    REST,
    SIZE,
    START,
    TEXT,
    VALUE,
    VERBS,
    argument_byte,
    argument_word,
    begin_line,
    client_start,
    fill,
    filler,
    in_word,
    server_start,
    through_name,
    through_path,
    through_word,
    verb_over,
)
from sensor.smtp.refusals import STEM, is_stem, may_begin_stem
from sensor.smtp.scan import CR, CRS, DOT, LF, LFS, SPACE, find, is_digit
from sensor.tcp.checksum import checksum_is_good, sum_of

__all__ = ["MASKED", "MASKED_ROWS", "NO_KEY", "mask"]

_MOD: Final = 0xFFFFFFFF
_NEAR: Final = 1 << 30
_REFUSAL: Final = 0x35  # the first digit of a 5yz


# --- text of servers, and TLS --------------------------------------------------------------------


@kernel
def _status(row, data, a, b):
    """Where an enhanced status code that begins at ``a`` ends (RFC 3463); ``a``: there is none."""
    if u8(data, a) != row.left:
        return a
    part = 0
    digits = 0
    p = a
    while p < b:
        byte = u8(data, p)
        if is_digit(byte) and digits < (1 if part == 0 else 3):
            digits += 1
        elif byte == DOT and digits and part < 2:
            part += 1
            digits = 0
        else:
            break
        p += 1
    return p if part == 2 and digits else a


@kernel
def _text(row, data, a, b):
    """What follows a code, from ``a`` on: where it goes on."""
    byte = u8(data, a)
    if row.chars == 0:
        end = _status(row, data, a, b)
        if end > a:
            row.state = REST
            return end
        if byte == SPACE:
            return a + 1
    if in_word(byte) and row.left != _REFUSAL:
        return through_word(OFFERS, row, data, a, b, REST)
    row.state = REST
    return a


@kernel
def _rest(data, a, b, from_client):
    """Filler as far as the line goes, or behind a CR; of servers' text but for stems: its end."""
    b = find(data, a, b, LF, LFS)
    b = min(b, find(data, a, b, CR, CRS) + 1)
    if from_client:
        fill(data, a, b)
        return b
    while a < b:
        if may_begin_stem(u8(data, a)) and is_stem(data, a, b):
            a += STEM
        else:
            fill(data, a, a + 1)
            a += 1
    return b


@kernel
def _hello(row, byte):
    """A byte behind the type of the record a hello is in: version[2] length[2], and as many."""
    if row.left < 0:
        if row.left == -4 and byte != 3:  # the version of no TLS
            row.state = OPAQUE
            return filler(byte)
        if row.left >= -2:
            row.word[np.int64(row.left) + 2] = byte
        row.left += 1
        if row.left == 0:
            row.left = np.int64(row.word[0]) << 8 | np.int64(row.word[1])
            row.chars = 0
            if row.left == 0:
                row.state = OPAQUE
        return byte
    if row.chars == 0:
        row.chars = 1
        if byte != 1 and byte != 2:  # neither ClientHello nor ServerHello
            row.state = OPAQUE
            return filler(byte)
    row.left -= 1
    if row.left == 0:
        row.state = OPAQUE
    return byte


@inner_routine
def _stream(row, data, a, b, from_client, key):
    """Mask ``data[a:b]``, the next bytes of one side.

    A piece of a message is masked as lines are; behind its last byte another line begins.
    """
    while a < b:
        left = np.int64(row.octets)
        stop = min(b, a + left) if left else b
        went = _lines(row, data, a, stop, from_client, key)
        if left:
            row.octets = left - (went - a)
            if row.octets == 0:
                begin_line(row)
        a = went


@inner_routine
def _lines(row, data, a, b, from_client, key):
    """Mask ``data[a:b]``: where it stopped, before the end where a piece of a message begins."""
    first = a
    while a < b:
        byte = u8(data, a)
        state = row.state
        if state == HELLO and row.left > 0 and row.chars:
            went = min(b - a, np.int64(row.left))
            row.left -= went
            if row.left == 0:
                row.state = OPAQUE
            a += went
            continue
        elif state == HELLO:
            data[a] = _hello(row, byte)
        elif state == OPAQUE:
            fill(data, a, b)
            return b
        elif byte == LF:
            if state == START and row.chars and from_client:
                verb_over(row, byte)
            row.armed = row.armed == 2
            sized = from_client and state == SIZE and row.octets == 0
            size = np.int64(row.left) if sized else np.int64(0)
            begin_line(row)
            if size:
                row.octets = size
                return a + 1
        elif state == NAME:
            a = through_name(row, data, a, b, key)
            continue
        elif state == PATH or state == LOCAL or state == DOMAIN:
            a = through_path(row, data, a, b, key)
            continue
        elif state == TEXT:
            a = _text(row, data, a, b)
            continue
        elif state == START and from_client and in_word(byte):
            a = through_word(VERBS, row, data, a, b, REST)
            continue
        elif state == START:
            data[a] = client_start(row, byte) if from_client else server_start(row, byte)
        elif state == REST and byte == DOT and a > first and u8(data, a - 1) == CR:
            pass  # a message may end with CR . CR for some: what could end it stays
        elif state == REST:
            a = _rest(data, a, b, from_client)
            continue
        elif state != VALUE and in_word(byte):
            a = argument_word(row, data, a, b)
            continue
        else:
            data[a] = argument_byte(row, byte)
        a += 1
    return a


# --- segments ------------------------------------------------------------------------------------


@kernel
def _sum_up(data, segment):
    """Make the checksum of a whole segment right, or wrong, as ``checksum_is_good`` has it."""
    at = segment.payload - np.int64(segment.header) + 16
    data[at] = 0
    data[at + 1] = 0
    total = 0xFFFF - sum_of(data, segment)
    data[at] = total >> 8
    data[at + 1] = total & 0xFF


@kernel
def mask(rows, data, watched, seed, key, streams):
    """Mask the payloads of ``rows`` (dtype SEGMENT) in ``data``, in place; of TCP, but DNS.

    ``streams`` (dtype MASKED, ``MASKED_ROWS`` and one for work) is what is known of them, ``seed``
    that of flow hashes. ``mark`` no longer tells of the bytes, but is still the same for copies.
    """
    for k in range(rows.shape[0]):
        s = rows[k]
        s.mark = np.uint32(mix(mix(key, np.uint64(s.mark)), np.uint64(s.seq)) & np.uint64(_MOD))
        if s.kind != TCP:
            continue
        from_client = is_watched(watched, s.dport) and (
            not is_watched(watched, s.sport) or s.src_lo <= s.dst_lo
        )
        flow = mix(flow_hash(s, seed), np.uint64(from_client))
        row = streams[np.int64(flow & np.uint64(MASKED_ROWS - 1))]
        opens = s.tcp_flags & (SYN | RST) == SYN
        seq = (np.int64(s.seq) + (1 if opens else 0)) & _MOD
        if row.flow != flow or opens:
            row.flow = flow
            row.known = opens
            row.next = seq
            row.armed = opens
            row.octets = 0
            begin_line(row)
        if s.captured == 0:
            continue
        good = checksum_is_good(data, s)
        whole = s.captured == s.length
        ahead = (seq - np.int64(row.next)) & _MOD
        a = np.int64(s.payload)
        b = a + np.int64(s.captured)
        if row.known and ahead >= _NEAR:  # seen before, or too late
            saved = streams[MASKED_ROWS]
            saved.armed = 0
            saved.octets = 0
            begin_line(saved)
            _stream(saved, data, a, b, from_client, key)
        else:
            row.octets -= min(np.int64(row.octets), ahead)
            if (ahead or not row.known) and row.state != OPAQUE:
                row.armed = 0
                begin_line(row)
            _stream(row, data, a, b, from_client, key)
            row.known = 1
            row.next = (seq + np.int64(s.length)) & _MOD
            if not whole and row.state != OPAQUE:
                row.armed = 0
                begin_line(row)
        if whole and s.header >= 20:
            _sum_up(data, s)
            if not good:
                data[a - np.int64(s.header) + 17] ^= 1
