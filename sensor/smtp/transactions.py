"""What waits for a reply, and what becomes of a transaction. Kernels only.

**The queue** holds what the server has to answer, in order (RFC 2920, 3.1): runs of equal commands,
``OUTSTANDING`` at most; of what goes beyond only the number is kept.

**A transaction is decided** once, in the order of the replies: refused when the server refused its
MAIL, more recipients than it took, or, where it took one, its DATA or its message; accepted when
the message was. DATA without a recipient has no verdict of its own: its 503 or 554 says what the
replies to RCPT have said. 4yz anywhere in it, or to the HELO before it, and it is not refused:
greylisting tells nothing of the sender, nor does what a server says to the commands that were
pipelined behind. A refused greeting is a refused transaction, and so is a HELO or EHLO refused for
policy: the client never came to what it wanted. Where recipients were taken and no
DATA followed, the client had only asked; so it had where the sender was null and the recipient no
mailbox: so one asks whether a sender is real, and so bounces go to forged ones.

**What the client is not blamed for.** Being early, or ahead of replies, is noted only where it can
be known: not after the server has said what is no reply, or what nobody asked for, nor after it has
said that it closes, nor when it let the client wait longer than ``PATIENCE_SECONDS``.
"""

from typing import Final

import numpy as np

from sensor.base.kernel import kernel
from sensor.base.units import SECOND
from sensor.smtp.anomalies import MALFORMED_REPLY, MANY_OUTSTANDING, UNEXPECTED_REPLY, note
from sensor.smtp.refusals import MAILBOX, POLICY
from sensor.smtp.session import NO_DEAL, NO_MAIL, OUTSTANDING
from sensor.smtp.verbs import NO_VERB

__all__ = [
    "PATIENCE_SECONDS",
    "decide",
    "end_of_client",
    "excused",
    "first_waits",
    "pop",
    "push",
    "skip_to",
    "turn_away",
    "waits",
]

PATIENCE_SECONDS: Final = 120
"""The shortest time a client must wait for a reply (RFC 5321, 4.5.3.2)."""
_ASTRAY: Final = 1 << MALFORMED_REPLY | 1 << UNEXPECTED_REPLY
"""Replies can no longer be told to commands."""


@kernel
def push(s, verb, now):
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
        note(s, MANY_OUTSTANDING)
        last = (s.waiting_first + size - 1) % OUTSTANDING
        s.waiting_verb[last] = NO_VERB
        s.waiting_times[last] += s.waiting_times[last] < 0xFFFF
        return
    last = (s.waiting_first + size) % OUTSTANDING
    s.waiting_verb[last] = verb
    s.waiting_times[last] = 1
    s.waiting_size = size + 1


@kernel
def pop(s):
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
def waits(s, verb):
    """Whether ``verb`` is what was asked last and not yet answered."""
    if s.waiting_size == 0:
        return False
    return s.waiting_verb[(s.waiting_first + s.waiting_size - 1) % OUTSTANDING] == verb


@kernel
def first_waits(s, verb):
    """Whether ``verb`` is what the next reply answers."""
    return s.waiting_size > 0 and s.waiting_verb[s.waiting_first] == verb


@kernel
def skip_to(s, verb):
    """Leave out what waits before the first ``verb``, if one waits: it will not be answered."""
    for k in range(s.waiting_size):
        at = (np.int64(s.waiting_first) + k) % OUTSTANDING
        if s.waiting_verb[at] == verb:
            if k:
                note(s, UNEXPECTED_REPLY)
            s.waiting_first = at
            s.waiting_size -= k
            return


@kernel
def excused(s, now):
    """Whether the client need not wait for the reply, or cannot be told to have waited or not."""
    return (
        s.closing == 1
        or s.anomalies & _ASTRAY != 0
        or (s.asked_at != 0 and now - s.asked_at >= PATIENCE_SECONDS * SECOND)
    )


@kernel
def decide(s, good, bad):
    """The transaction being answered is over: the server accepted or refused it, or neither.

    ``bad``: the class of the refusal; zero: its message was not refused.
    """
    if s.deal:
        unwanted = s.bad_here > s.ok_here
        s.accepted += good and not unwanted
        if s.later_here == 0 and (bad or unwanted):
            refused_as = bad
            if unwanted:
                refused_as = POLICY if s.policy_here * 2 >= s.bad_here else MAILBOX
            if unwanted and refused_as == MAILBOX and s.from_size == 0:
                s.asked = 1
            else:
                s.rejected += 1
                s.refused_as = refused_as
        whole = s.gaps[0] == 0 and s.gaps[1] == 0
        if not good and not bad and not unwanted and s.ok_here and s.later_here == 0 and whole:
            s.asked = s.data_here == 0
    s.deal = NO_DEAL
    s.ok_here = 0
    s.bad_here = 0
    s.policy_here = 0
    s.later_here = 0


@kernel
def turn_away(s):
    """The client is refused for who it is, before there was a transaction."""
    if s.rejected == 0:
        s.rejected = 1
        s.refused_as = POLICY


@kernel
def end_of_client(s):
    """The client has ended its transaction, or has given it up."""
    s.mail_open = NO_MAIL
    s.mail_failed = 0
    s.rcpt_here = 0
