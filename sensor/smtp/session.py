"""What is known of one SMTP session: the row that streams and dialogue fill.

Only what the dialogue needs is kept: verbs, reply codes, the HELO name, domains, counts. No local
part of an address, no reply text, no credential and no byte of a message is ever stored.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor.base.free_list import give_row, take_row
from sensor.base.kernel import kernel, mix
from sensor.base.kernel import table as new_table
from sensor.tcp.reassembly import SLOTS, STREAM_FIELDS, drop_held, new_streams

__all__ = [
    "AUTH_ACCEPTED",
    "AUTH_ASKED",
    "AUTH_REFUSED",
    "CAPABILITIES",
    "CLIENT_CLOSED",
    "CODES",
    "DOMAIN",
    "DOMAINS",
    "DOUBT",
    "DOUBT_TLS",
    "EARLY_FORGOTTEN",
    "ENDS",
    "FOREIGN",
    "GREETED",
    "GREETING_UNSEEN",
    "IN_TLS",
    "LINE",
    "LINES",
    "MAIL_ACCEPTED",
    "MAIL_ANSWERED",
    "MAIL_SENT",
    "MAIL_UNANSWERED",
    "MECHANISM",
    "MESSAGE",
    "NAME",
    "NOT_GREETED",
    "NO_AUTH",
    "NO_DEAL",
    "NO_ENHANCED",
    "NO_MAIL",
    "NO_STARTTLS",
    "NO_TLS",
    "OCTETS",
    "OUTSTANDING",
    "PARAMETERS",
    "SECRET",
    "SERVER_CLOSED",
    "SESSION",
    "SESSIONS",
    "STARTTLS_ACCEPTED",
    "STARTTLS_ASKED",
    "STARTTLS_OFFERED",
    "STARTTLS_REFUSED",
    "STARTTLS_STATES",
    "TLS",
    "TLS_EXPECTED",
    "Sessions",
    "begin_tls",
    "free_session",
    "new_session",
    "new_sessions",
    "note_early",
    "offers_early",
]

LINE: Final = 512
"""Bytes of a line that are held: the longest command and reply of RFC 5321, 4.5.3.1. Of a longer
command what counts is kept as it comes (``long_lines``).
"""
NAME: Final = 128
"""Bytes of a HELO name, a sender's domain or a server name that are kept."""
DOMAIN: Final = 64
"""Bytes of a recipient's domain that are kept."""
DOMAINS: Final = 8
"""Recipients' domains of one session that are kept, the first ones."""
CODES: Final = 12
"""Different reply codes of one session that are counted."""
MECHANISM: Final = 16
OUTSTANDING: Final = 16
"""Runs of equal commands that may wait for their replies."""
EARLY: Final = 4096
"""Servers known to offer PIPECONNECT; of two in one place the later stands, and is counted."""

ENDS: Final = ("closed", "reset", "refused", "unanswered", "idle", "evicted", "open")
"""How a connection ended, for the sensor."""

CAPABILITIES: Final = (
    "PIPELINING",
    "SIZE",
    "8BITMIME",
    "STARTTLS",
    "AUTH",
    "CHUNKING",
    "DSN",
    "ENHANCEDSTATUSCODES",
    "SMTPUTF8",
    "BINARYMIME",
    "VRFY",
    "EXPN",
    "HELP",
    "ETRN",
    "DELIVERBY",
    "REQUIRETLS",
    "PIPECONNECT",
)
"""EHLO keywords (IANA, Mail Parameters) this sensor knows, as bits. PIPECONNECT is Exim's, also as
X_PIPE_CONNECT and PIPE_CONNECT: the next session may begin before the greeting.
"""

PARAMETERS: Final = (
    "SIZE",
    "BODY",
    "AUTH",
    "RET",
    "ENVID",
    "SMTPUTF8",
    "NOTIFY",
    "ORCPT",
    "REQUIRETLS",
    "BY",
    "MT-PRIORITY",
    "HOLDFOR",
    "HOLDUNTIL",
)
"""MAIL and RCPT parameters this sensor knows, as bits."""

SESSION = np.dtype(
    [
        *STREAM_FIELDS,
        # The streams as the dialogue reads them: [client, server].
        ("fin", np.uint32, 2),  # the sequence number of its FIN
        ("skip", np.uint8, 2),  # 1: leave out all up to the next line end
        ("mode", np.uint8, 2),  # what the bytes are: LINES ... DOUBT_TLS
        ("line_size", np.int32, 2),
        ("gaps", np.uint32, 2),
        ("lost", np.int64, 2),  # bytes in gaps
        # The dialogue.
        ("anomalies", np.int64),
        ("asked_at", np.int64),  # packet time since when a reply is awaited, ns; 0: none is
        ("slowest", np.int64),  # ns: the longest time a reply took
        ("body_bytes", np.int64),  # of messages
        ("chunk_left", np.int64),  # of BDAT
        ("chunk_fresh", np.uint8),  # 1: none of its octets has come
        ("tail", np.uint32),  # the last four bytes of a message so far, NULs in a row as one
        ("capabilities", np.uint32),
        ("parameters", np.uint32),
        ("waiting_verb", np.uint8, OUTSTANDING),
        ("waiting_times", np.uint16, OUTSTANDING),
        ("waiting_first", np.uint8),
        ("waiting_size", np.uint8),
        ("ahead", np.uint16),  # a reply that came before its command did (capture order)
        ("reply_code", np.uint16),  # of the lines of a reply so far
        ("reply_names", np.uint8),  # 1: one of them has a word of policy
        ("policy", np.uint8),  # 1: the newest reply refuses for policy
        ("banner_code", np.uint16),
        ("last_code", np.uint16),
        ("last_enhanced", np.uint16, 3),  # NO_ENHANCED: none
        ("codes", np.uint16, CODES),
        ("code_counts", np.uint32, CODES),
        ("other_codes", np.uint32),
        ("commands", np.uint32),
        ("helo_commands", np.uint16),
        ("ehlo_commands", np.uint16),
        ("mail_attempted", np.uint32),
        ("mail_rejected", np.uint32),
        ("rcpt_attempted", np.uint32),
        ("rcpt_accepted", np.uint32),
        ("rcpt_rejected", np.uint32),
        ("rcpt_deferred", np.uint32),
        ("messages_accepted", np.uint32),
        ("messages_rejected", np.uint32),
        ("messages_deferred", np.uint32),
        ("unknown_commands", np.uint32),
        # The transaction as the client speaks of it: in what order commands come.
        ("mail_open", np.uint8),  # NO_MAIL, MAIL_SENT, MAIL_ACCEPTED
        ("mail_failed", np.uint8),  # MAIL was turned down: what was sent behind it may still come
        ("rcpt_here", np.uint16),
        # The transaction as the server answers it, and what was decided and not yet counted.
        ("deal", np.uint8),  # NO_DEAL, MAIL_UNANSWERED, MAIL_ANSWERED
        ("ok_here", np.uint16),  # recipients: 2yz
        ("bad_here", np.uint16),  # 5yz
        ("policy_here", np.uint16),  # of the 5yz, those for policy
        ("later_here", np.uint8),  # 1: something in it was answered 4yz
        ("data_here", np.uint8),  # 1: DATA or BDAT was said
        ("put_off", np.uint8),  # 1: the greeting, HELO or EHLO was: what follows has no verdict
        ("accepted", np.uint8),
        ("rejected", np.uint8),
        ("refused_as", np.uint8),  # a class of refusals: of the newest transaction refused
        ("asked", np.uint8),  # 1: recipients were taken, and no DATA followed
        ("outcomes", np.uint16),  # counted for the host, in all
        # Facts.
        ("begun", np.uint8),  # 1: the client's first bytes were looked at
        ("proxy_at", np.uint8),  # bytes of a PROXY header of version 2 so far
        ("proxy_left", np.int32),
        ("answered_early", np.uint8),  # 1: the message was answered before its end
        ("early_pipelining", np.uint8),  # 1: the server offered PIPECONNECT before
        ("closing", np.uint8),  # 1: the server said that it closes, or spoke out of turn
        ("closed_at", np.int64),  # packet time of the first FIN or reset
        ("long_state", np.uint8),  # of a command longer than LINE: see long_lines
        ("long_size", np.int32),  # its bytes that are held
        ("long_mark", np.int32),  # where its name or path begins in them
        ("long_verb", np.int64),
        ("long_word", np.int64),
        ("long_letters", np.uint8),
        ("long_quoted", np.uint8),
        ("long_parameters", np.uint32),
        ("long_binary", np.uint8),
        ("long_cr", np.uint8),  # its last byte so far is CR
        ("greeted", np.uint8),  # NOT_GREETED, GREETED, GREETING_UNSEEN
        ("quit", np.uint8),
        ("pipelined", np.uint8),
        ("starttls", np.uint8),  # by its place in STARTTLS_STATES
        ("tls", np.uint8),  # NO_TLS, IN_TLS, TLS_EXPECTED
        ("tls_version", np.uint16),  # the server's choice, else the client's highest
        ("auth", np.uint8),  # NO_AUTH, AUTH_ASKED, AUTH_ACCEPTED, AUTH_REFUSED
        ("credentials_refused", np.uint8),  # 1: with 535
        ("judged", np.uint8),
        ("auth_counted", np.uint8),  # 1: the submission was
        ("closer", np.uint8),  # who closed first: CLIENT_CLOSED, SERVER_CLOSED
        ("sni_size", np.uint8),
        ("alpn_size", np.uint8),
        ("mechanism_size", np.uint8),
        ("helo_size", np.uint8),
        ("from_size", np.int16),  # -1: no MAIL yet; 0: the null reverse-path
        ("domains", np.uint8),
        ("more_domains", np.uint8),
        ("domain_sizes", np.uint8, DOMAINS),
        # TLS hellos: [client, server].
        ("flights", np.uint16),  # of the client under TLS: times it spoke after the server had
        ("spoke", np.uint8),  # who did last: CLIENT_SPOKE, SERVER_SPOKE
        ("flight", np.uint32),  # bytes of its last
        ("answer", np.uint32),  # of the server to its last that was no single short command
        ("hello_size", np.uint32),  # bytes of the client's, and of the head of its record
        ("hello_state", np.uint8, 2),
        ("hello_need", np.int32, 2),
        ("hello_got", np.uint32, 2),
        ("hello_left", np.int32, 2),
        ("hello_extension", np.int32, 2),
        ("record_left", np.int32, 2),
        ("record_head", np.int32, 2),
        # Texts.
        ("helo", np.uint8, NAME),
        ("from_", np.uint8, NAME),
        ("sni", np.uint8, NAME),
        ("alpn", np.uint8, MECHANISM),
        ("mechanism", np.uint8, MECHANISM),
        ("rcpt", np.uint8, (DOMAINS, DOMAIN)),
    ],
    align=True,
)
"""One session (some 1.5 kB, and two lines of LINE bytes)."""

NO_ENHANCED: Final = 0xFFFF

# Values of ``mode``: what the bytes of a side are.
LINES: Final = 0
MESSAGE: Final = 1  # after DATA
OCTETS: Final = 2  # of BDAT
SECRET: Final = 3  # lines of an AUTH exchange
TLS: Final = 4
FOREIGN: Final = 5  # nothing we can read
DOUBT: Final = 6  # a command, or the message that the server has answered already
DOUBT_TLS: Final = 7  # one byte has come, that of a TLS hello

# Values of ``greeted``.
NOT_GREETED: Final = 0
GREETED: Final = 1
GREETING_UNSEEN: Final = 2  # the session began before this sensor saw it

# Values of ``mail_open``.
NO_MAIL: Final = 0
MAIL_SENT: Final = 1
MAIL_ACCEPTED: Final = 2

# Values of ``deal``.
NO_DEAL: Final = 0
MAIL_UNANSWERED: Final = 1  # MAIL is the next to be answered
MAIL_ANSWERED: Final = 2

# Values of ``auth``.
NO_AUTH: Final = 0
AUTH_ASKED: Final = 1
AUTH_ACCEPTED: Final = 2
AUTH_REFUSED: Final = 3

STARTTLS_STATES: Final = ("none", "offered", "accepted", "refused", "asked")
"""Names of the values of ``starttls``."""
NO_STARTTLS, STARTTLS_OFFERED, STARTTLS_ACCEPTED, STARTTLS_REFUSED, STARTTLS_ASKED = range(
    len(STARTTLS_STATES)
)

# Values of ``tls``.
NO_TLS: Final = 0
IN_TLS: Final = 1  # the client's bytes are TLS
TLS_EXPECTED: Final = 2  # they will be, by the port

# Values of ``spoke``; zero: nobody did under TLS.
CLIENT_SPOKE: Final = 1
SERVER_SPOKE: Final = 2

# Values of ``closer``; zero: nobody did.
CLIENT_CLOSED: Final = 1
SERVER_CLOSED: Final = 2

# Slots of Sessions.meta, before those of reassembly.
SESSIONS: Final = 0  # in use
_USED: Final = 1
_FREED: Final = 2
EARLY_FORGOTTEN: Final = SLOTS  # counter: servers of ``early`` whose place another took


class Sessions(NamedTuple):
    """The table, as kernels take it; to reassembly these are Streams."""

    rows: NDArray[np.void]
    """dtype SESSION"""
    blank: NDArray[np.void]
    """[1] what a new row looks like"""
    lines: NDArray[np.uint8]
    """[sessions, 2, LINE] lines that are not complete yet"""
    free: NDArray[np.int32]
    pieces: NDArray[np.void]
    """dtype PIECE"""
    texts: NDArray[np.uint8]
    """[pieces, CHUNK] their bytes"""
    meta: NDArray[np.int64]
    early: NDArray[np.uint64]
    """[EARLY] servers that offered PIPECONNECT, each by its hash in a place of its own"""


def new_sessions(max_sessions: int, max_pieces: int) -> Sessions:
    """An empty table; memory is taken as rows are first used."""
    blank = new_table(1, SESSION)
    blank["from_size"] = -1
    blank["held"] = -1
    blank["last_enhanced"] = NO_ENHANCED
    streams = new_streams(new_table(max_sessions, SESSION), max_pieces)
    return Sessions(
        streams.rows,
        blank,
        np.zeros((max_sessions, 2, LINE), np.uint8),
        np.zeros(max_sessions, np.int32),
        streams.pieces,
        streams.texts,
        np.append(streams.meta, np.int64(0)),  # and EARLY_FORGOTTEN
        np.zeros(EARLY, np.uint64),
    )


@kernel
def begin_tls(s):
    """Both sides go on with TLS."""
    s.tls = IN_TLS
    s.mode[0] = TLS
    s.mode[1] = TLS


@kernel
def offers_early(table, hi, lo):
    """Whether the server of this address is known to offer PIPECONNECT."""
    key = mix(mix(np.uint64(1), np.uint64(hi)), np.uint64(lo))
    return table.early[np.int64(key & np.uint64(EARLY - 1))] == key


@kernel
def note_early(table, hi, lo):
    """The server of this address offers PIPECONNECT."""
    key = mix(mix(np.uint64(1), np.uint64(hi)), np.uint64(lo))
    place = np.int64(key & np.uint64(EARLY - 1))
    if table.early[place] != key and table.early[place] != np.uint64(0):
        table.meta[EARLY_FORGOTTEN] += 1
    table.early[place] = key


@kernel
def new_session(table):
    """A row for a new session, emptied; -1 when there is none left."""
    meta = table.meta
    n = take_row(table.free, meta, _USED, _FREED)
    if n < 0:
        return n
    meta[SESSIONS] += 1
    table.rows[n] = table.blank[0]
    return n


@kernel
def free_session(table, n):
    """Give a session's row back, and the pieces it holds."""
    drop_held(table, n)
    meta = table.meta
    give_row(table.free, meta, _FREED, n)
    meta[SESSIONS] -= 1
