"""Whether to recommend that a subscriber be cut off from port 25: the legal rule of the product.

To block a customer is an act a provider answers for, and a false one harms an innocent. So a block
is recommended in one case only:

    while the alert stands, enough is proven of the host itself, and the address is one customer's.

*Proven* is what nobody else can have done in the host's name (``detectors/proof.py``): a SYN proves
nothing, since anyone can send it under another's address. Nor do a few proven contacts: an innocent
who is framed by forged SYNs has some of its own. What is proven must be unusual by itself. Once it
was, it stays so for as long as the alert, unless the holder of the address denies it by resets.

A recommendation is words to a person or to a policy (``sensor/blocking``), never an act.
"""

from typing import NamedTuple

from detectors.detector import Finding

__all__ = ["Recommendation", "grounds", "recommend"]


class Recommendation(NamedTuple):
    """A block is recommended, or not, and why."""

    block: bool
    reason: str


def grounds(proof: Finding, missing: str, proven: bool, enough: int) -> str:
    """What a recommendation rests on, or lacks, in words.

    ``proof`` is what is proven now, in centibans against the level ``enough``; ``missing`` what it
    lacks; ``proven``: at some time in this alert it was enough and was not denied since.
    """
    if not proven:
        return f"{proof.reason}; {missing}" if missing else proof.reason
    return proof.reason if proof.centibans >= enough else "enough new destinations before"


def recommend(
    *, closed: bool, cleared: bool, proven: bool, shared: bool, grounds: str
) -> Recommendation:
    """The rule, as the module says it.

    ``closed``: the alert is over; ``cleared``: because its score fell to the clear level.
    ``proven``: enough is proven of the host itself. ``shared``: many customers are behind the
    address. ``grounds``: see :func:`grounds`.

    >>> recommend(closed=False, cleared=False, proven=True, shared=False, grounds="40 networks")
    Recommendation(block=True, reason='the host itself spoke to 40 networks')
    """
    if closed and not cleared:
        return Recommendation(
            False, "nothing of it was proven, and it fell silent in a flood of forged SYNs"
        )
    if closed:
        return Recommendation(False, "the evidence has lapsed")
    if not proven:
        return Recommendation(
            False, f"SYNs can be forged, and what is proven is not enough: {grounds}"
        )
    if shared:
        return Recommendation(False, "shared address: look up the customer by port and time")
    return Recommendation(True, f"the host itself spoke to {grounds}")
