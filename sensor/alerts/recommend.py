"""Whether to recommend that a subscriber be cut off from port 25: the legal rule of the product.

To block a customer is an act a provider answers for, and a false one harms an innocent. So a block
is recommended in one case only:

    while the alert stands, enough is proven of the host itself, the address is one customer's, and
    what it does is of a kind that may be blocked.

A sensor that forwards, and judges alone while Kafka is away, sees its share only: it recommends
none.

Where leases tell whose an address is, it follows him: while he has none, nothing is to be blocked,
and an alert on an address that has become a known customer's is over.

*Proven* is what nobody else can have done in the host's name (``detectors/proof.py``): a SYN proves
nothing, since anyone can send it under another's address, but where the network lets nobody do that
(``blocking.source_validation``). Nor do a few proven contacts: an innocent who is framed by forged
SYNs has some of its own. What is proven must be unusual by itself, while the score is at the raise
level: nobody is to be cut off whom nobody would accuse now. Once it was, it stays so for as long as
the alert, unless the holder of the address denies it by resets.

The kind (``abuse``) is what was seen last of what it may be; ``blocking.kinds`` says which may be
blocked. Where nothing was seen that tells, nothing is recommended: proven contacts alone say that a
host speaks to many servers, which is what mail servers do.

A recommendation is words to a person or to a policy (``sensor/blocking``), never an act.
"""

from typing import NamedTuple

from detectors.detector import Finding
from sensor.alerts.abuse import Abuse, kind_in_words
from sensor.base.sentences import Sentence, sentence

__all__ = ["Recommendation", "grounds", "recommend"]


class Recommendation(NamedTuple):
    """A block is recommended, or not, and why."""

    block: bool
    reason: Sentence


def grounds(proof: Finding, missing: Sentence | None, proven: bool, enough: int) -> Sentence:
    """What a recommendation rests on, or lacks.

    ``proof`` is what is proven now, in centibans against the level ``enough``; ``missing`` what it
    lacks; ``proven``: at some time in this alert it was enough, while the score was at the raise
    level, and was not denied since.
    """
    found = Sentence(proof.code, proof.figures)
    if not proven and proof.centibans < enough:
        return sentence("proof.lacking", proven=found, missing=missing) if missing else found
    return found if proof.centibans >= enough else Sentence("proof.before")


def recommend(
    *,
    closed: bool,
    cleared: bool,
    proven: bool,
    shared: bool,
    seems_shared: Sentence | None = None,
    grounds: Sentence,
    lent: bool = False,
    away: bool = False,
    abuse: Abuse = "spam",
    allowed: bool = True,
    validated: bool = False,
    alone: bool = False,
    fallen: bool = False,
) -> Recommendation:
    """The rule, as the module says it.

    ``closed``: the alert is over; ``cleared``: because its score fell to the clear level.
    ``proven``: enough is proven of the host itself. ``shared``: many customers are behind the
    address, by what was seen of it where ``seems_shared`` says so. ``grounds``: see
    :func:`grounds`. ``lent``: the address is a known customer's now. ``away``: the customer has no
    address now. ``allowed``: ``abuse`` may be blocked. ``validated``: nobody sends under another's
    address. ``alone``: it is one of many sensors that judges, of its share, as it cannot forward.
    ``fallen``: not ``proven``, since the score was below the raise level whenever enough was.

    >>> before = Sentence("proof.before")
    >>> advice = recommend(closed=False, cleared=False, proven=True, shared=False, grounds=before)
    >>> advice.block, advice.reason.text
    (True, 'the host itself spoke to enough new destinations before')
    """
    if closed and lent:
        return Recommendation(False, Sentence("block.lent"))
    if closed and not cleared:
        return Recommendation(False, Sentence("block.silent"))
    if closed:
        return Recommendation(False, Sentence("block.lapsed"))
    if alone:
        return Recommendation(False, Sentence("block.alone"))
    if fallen:
        return Recommendation(False, sentence("block.fallen", grounds=grounds))
    if not proven:
        code = "block.little" if validated else "block.unproven"
        return Recommendation(False, sentence(code, grounds=grounds))
    if away:
        return Recommendation(False, Sentence("block.away"))
    if shared:
        return Recommendation(False, seems_shared or Sentence("block.shared"))
    if not allowed:
        code = "block.unknown" if abuse == "unknown" else "block.kind"
        return Recommendation(False, sentence(code, abuse=kind_in_words(abuse), grounds=grounds))
    return Recommendation(True, sentence("block.proven", grounds=grounds))
