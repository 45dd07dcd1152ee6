"""What a session that is over shows of its host beside how its mail fared. Kernels only.

Of every contact, not of first ones only: what is kept of it (``hosts/conduct.py``,
``hosts/identities.py``) counts each server, name and domain once a day.
"""

import numpy as np

from sensor.base.kernel import inner_routine
from sensor.hosts.conduct import KNOWN, LOGIN_REFUSED, LOGIN_TAKEN, WORDLESS, note_conduct
from sensor.hosts.identities import (
    ASKED,
    NAMES,
    SENDERS,
    hash_name,
    note_identity,
    note_mails,
)
from sensor.hosts.layout import NO_DETAIL
from sensor.hosts.meetings import make_of, visit
from sensor.smtp.manners import left_wordless
from sensor.smtp.session import AUTH_ACCEPTED
from sensor.tcp.connections import BOTH_SEEN

__all__ = ["conducted"]


@inner_routine
def conducted(hosts, meetings, connection, h, s, tick):
    """Session ``s`` of host ``h`` is over; whether there is new evidence for a detector."""
    row = hosts.rows[h]
    d = np.int64(row.detail)
    if d == NO_DETAIL:
        return False
    detail = hosts.details[d]
    hi, lo = connection.server_hi, connection.server_lo
    fresh = False
    if left_wordless(s, connection.seen == BOTH_SEEN):
        fresh |= note_conduct(detail, WORDLESS, hi, lo, tick)
    elif s.commands:
        fresh |= note_conduct(detail, KNOWN, hi, lo, tick)
        _identified(detail, s, tick)
        if connection.first and s.helo_size:
            make = make_of(s.helo, s.helo_size, s.ehlo_commands > 0, np.int64(row.syn_shape))
            fresh |= visit(meetings, hosts, h, hi, lo, make, tick)
    if s.credentials_refused:
        fresh |= note_conduct(detail, LOGIN_REFUSED, hi, lo, tick)
    if s.auth == AUTH_ACCEPTED:
        fresh |= note_conduct(detail, LOGIN_TAKEN, hi, lo, tick)
    return fresh


@inner_routine
def _identified(detail, s, tick):
    """Who the client said it is, and for whom and to whom it sends."""
    if s.helo_size:
        note_identity(detail, NAMES, hash_name(s.helo, s.helo_size), tick)
    if s.from_size > 0:
        note_identity(detail, SENDERS, hash_name(s.from_, s.from_size), tick)
    for k in range(s.domains):
        note_identity(detail, ASKED, hash_name(s.rcpt[k], s.domain_sizes[k]), tick)
    if s.mail_attempted:
        note_mails(detail, s.mail_attempted, s.rcpt_attempted, tick)
