"""What became of an alert's recommendation to block: the ledger's word, not the alert's."""

from typing import Final, Literal

import msgspec

from sensor.base.sentences import Sentence
from sensor.blocking.decision import Decision

__all__ = ["STANDING", "Block", "BlockState", "block_of"]

BlockState = Literal[
    "blocked", "would_block", "lookup", "expired", "released", "refused", "undecided",
    "not_recommended",
]  # fmt: skip

STANDING: Final = """coalesce(
    (SELECT CASE WHEN s.action = 'lookup' THEN 'lookup' WHEN s.enforced THEN 'blocked'
        ELSE 'would_block' END FROM ledger.standing AS s WHERE s.host = heads.host
        AND heads.customer IN ('', CAST(s.message AS TEXT) ->> 'customer') AND s.action IN
        ('block', 'lookup') AND s.expires > ? ORDER BY s.enforced DESC LIMIT 1),
    (SELECT CASE d.action WHEN 'refuse' THEN 'refused' WHEN 'release' THEN
        CASE CAST(d.message AS TEXT) ->> 'by' WHEN 'port25' THEN 'expired' ELSE 'released' END
        ELSE 'expired' END FROM ledger.decisions AS d WHERE d.host = heads.host AND
        heads.customer IN ('', d.customer)
        AND d.action IN ('block', 'lookup', 'release', 'refuse') ORDER BY d.number DESC LIMIT 1),
    CASE heads.recommended WHEN 1 THEN 'undecided' ELSE 'not_recommended' END)"""
"""The same in SQL, on ``heads`` and an attached ledger, for lists; its value is packet time, ns."""


class Block(msgspec.Struct, frozen=True):
    """What became of an alert's recommendation, by the ledger."""

    state: BlockState
    """would_block: in a dry run; lookup: a person is to tell who it is behind a shared address;
    expired: it had its end; undecided: recommended, but no policy was at work
    """
    until: int = 0
    """when a block or lookup ends or ended, ns of packet time; 0: there is none"""
    reason: str = ""
    """of a refusal or release"""
    cause: Sentence | None = None
    """the same as code and figures, unless it is in a person's words"""


def _why(word: Decision) -> tuple[str, Sentence | None]:
    """The first of a decision's reasons."""
    return "; ".join(word.reasons[:1]), next(iter(word.causes), None)


def block_of(recommended: bool, word: Decision | None, ts: int) -> Block:
    """What became of an alert on a host, of which the ledger's last ``word`` is known.

    >>> block_of(False, None, 0).state, block_of(True, None, 0).state
    ('not_recommended', 'undecided')
    """
    if word is None:
        return Block("undecided" if recommended else "not_recommended")
    if word.action == "refuse":
        return Block("refused", 0, *_why(word))
    if word.action == "release":
        by_itself = word.by == "port25"
        return Block("expired" if by_itself else "released", word.ts, *_why(word))
    if not word.in_force(ts):
        return Block("expired", word.expires)
    if word.action == "lookup":
        return Block("lookup", word.expires)
    return Block("blocked" if word.enforced else "would_block", word.expires)
