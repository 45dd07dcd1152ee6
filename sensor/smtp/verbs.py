"""The verbs of SMTP: what a reply may answer, and the words of a command line they are told by."""

from typing import Final

import numpy as np

from sensor.smtp.scan import first_eight

__all__ = [
    "AUTH",
    "BDAT",
    "BDAT_LAST",
    "BODY",
    "DATA",
    "EHLO",
    "ETRN",
    "EXPN",
    "GREETING",
    "HELO",
    "HELP",
    "MAIL",
    "NOOP",
    "NO_VERB",
    "QUIT",
    "RCPT",
    "RSET",
    "STARTTLS",
    "TURN",
    "VERBS",
    "VERB_WORDS",
    "VRFY",
    "W_AUTH",
    "W_BDAT",
    "W_DATA",
    "W_EHLO",
    "W_HELO",
    "W_MAIL",
    "W_QUIT",
    "W_RCPT",
    "W_RSET",
    "W_STARTTLS",
    "XCLIENT",
    "XFORWARD",
]

VERBS: Final = (
    "",  # none, or one this sensor does not know
    "GREETING",  # not a command: the server speaks first
    "HELO",
    "EHLO",
    "MAIL",
    "RCPT",
    "DATA",
    "BODY",  # not a command: the end of the message after DATA
    "BDAT",
    "BDAT LAST",
    "RSET",
    "VRFY",
    "EXPN",
    "HELP",
    "NOOP",
    "QUIT",
    "AUTH",
    "STARTTLS",
    "ETRN",
    "TURN",
    "XCLIENT",
    "XFORWARD",
)
"""What a reply may answer."""

(
    NO_VERB, GREETING, HELO, EHLO, MAIL, RCPT, DATA, BODY, BDAT, BDAT_LAST, RSET, VRFY, EXPN, HELP,
    NOOP, QUIT, AUTH, STARTTLS, ETRN, TURN, XCLIENT, XFORWARD,
) = range(len(VERBS))  # fmt: skip

VERB_WORDS = np.array([first_eight(verb) for verb in VERBS], np.int64)
"""The first word of each as ``scan.word_at`` reads it."""

W_HELO, W_EHLO, W_MAIL, W_RCPT, W_DATA, W_BDAT, W_AUTH, W_STARTTLS, W_QUIT, W_RSET = map(
    first_eight,
    ("HELO", "EHLO", "MAIL", "RCPT", "DATA", "BDAT", "AUTH", "STARTTLS", "QUIT", "RSET"),
)
