"""What is out of the ordinary in a session: the names, and the numbers kernels know them by."""

from typing import Final

from sensor.base.kernel import kernel

__all__ = [
    "AFTER_RESET",
    "ANOMALIES",
    "BAD_BDAT",
    "BAD_CHECKSUM",
    "BARE_END_OF_DATA",
    "BARE_LF",
    "BINARY_CLIENT",
    "BINARY_COMMAND",
    "COMMANDS_BEFORE_TLS",
    "COMMAND_AFTER_QUIT",
    "CUT",
    "DATA_BEFORE_354",
    "EARLY_TALKER",
    "EVICTED",
    "GAP",
    "HOLD_OVERFLOW",
    "HTTP",
    "LONG_NAME",
    "MALFORMED_REPLY",
    "MANY_OUTSTANDING",
    "NOT_SMTP_SERVER",
    "OUT_OF_SEQUENCE",
    "OUT_OF_WINDOW",
    "OVERLAP_CONFLICT",
    "OVERLONG_COMMAND",
    "OVERLONG_REPLY",
    "PROXY_HEADER",
    "REPLIES_BEFORE_TLS",
    "RESYNCHRONISED",
    "SOCKS",
    "TARPIT",
    "TLS_WITHOUT_STARTTLS",
    "UNADVERTISED_PIPELINING",
    "UNEXPECTED_REPLY",
    "UNKNOWN_COMMAND",
    "URGENT_DATA",
    "note",
]

ANOMALIES: Final = (
    "early_talker",  # the client spoke before the greeting was complete
    "unadvertised_pipelining",  # another command before the reply, where PIPELINING was not offered
    "data_before_354",  # the message came before the server had asked for it
    "bare_lf",  # a command line that ends in LF alone
    "bare_end_of_data",  # a dot between line ends of which one is not CR LF: smuggling
    "overlong_command",  # more than RFC 5321 and its extensions allow for the verb
    "overlong_reply",
    "unknown_command",
    "binary_command",  # control characters in a command line
    "out_of_sequence",  # MAIL before HELO, RCPT before MAIL, DATA before RCPT
    "bad_bdat",  # BDAT without a size that can be read
    "commands_before_tls",  # commands in clear behind STARTTLS, for the server to take as secret
    "replies_before_tls",  # replies in clear behind the 220 of STARTTLS, for the client to believe
    "http",
    "socks",
    "tls_without_starttls",
    "proxy_header",  # a PROXY protocol header before SMTP: the client is a proxy
    "command_after_quit",
    "malformed_reply",  # the server's line has no reply code
    "unexpected_reply",  # a reply to nothing that was asked
    "many_outstanding",  # more commands wait for replies than are told apart
    "tarpit",  # the server took its time on purpose: TARPIT_SECONDS or more for a reply
    "long_name",  # a name longer than what is kept
    "gap",  # bytes that neither came nor will
    "cut",  # bytes that the capture's snap length left out
    "overlap_conflict",  # the same bytes of the stream twice, and different
    "bad_checksum",  # a segment whose TCP checksum is wrong, left out
    "out_of_window",  # a segment far from where the stream is, left out
    "hold_overflow",  # more out of order than is held: the hole was given up
    "after_reset",  # bytes went on after a reset: it was forged, or late
    "resynchronised",  # after a gap the dialogue was found again at the next line
    "binary_client",  # the client speaks no protocol known here
    "not_smtp_server",  # the server's first line has no reply code
    "evicted",  # the session's memory was needed for others
    "urgent_data",  # bytes marked urgent: receivers differ on whether one is of the stream
    "old_timestamp",  # bytes or a FIN whose timestamp their receiver drops them for (RFC 7323)
)
"""Names of the bits of ``anomalies``, the lowest first."""

(
    EARLY_TALKER,
    UNADVERTISED_PIPELINING,
    DATA_BEFORE_354,
    BARE_LF,
    BARE_END_OF_DATA,
    OVERLONG_COMMAND,
    OVERLONG_REPLY,
    UNKNOWN_COMMAND,
    BINARY_COMMAND,
    OUT_OF_SEQUENCE,
    BAD_BDAT,
    COMMANDS_BEFORE_TLS,
    REPLIES_BEFORE_TLS,
    HTTP,
    SOCKS,
    TLS_WITHOUT_STARTTLS,
    PROXY_HEADER,
    COMMAND_AFTER_QUIT,
    MALFORMED_REPLY,
    UNEXPECTED_REPLY,
    MANY_OUTSTANDING,
    TARPIT,
    LONG_NAME,
    GAP,
    CUT,
    OVERLAP_CONFLICT,
    BAD_CHECKSUM,
    OUT_OF_WINDOW,
    HOLD_OVERFLOW,
    AFTER_RESET,
    RESYNCHRONISED,
    BINARY_CLIENT,
    NOT_SMTP_SERVER,
    EVICTED,
    URGENT_DATA,
    OLD_TIMESTAMP,
) = range(len(ANOMALIES))


@kernel
def note(s, anomaly):
    """Note an anomaly, by its place in ANOMALIES."""
    s.anomalies |= 1 << anomaly
