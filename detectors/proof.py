"""What is proven of a host: the part of the evidence that a block may rest on.

Anybody can send SYNs, and packets without proof, under another's address. Detectors read all that
was seen; whether to recommend a block is decided by what is left without the forgeable, so that no
third party can have an innocent blocked. The rule stands in :func:`proof`.

>>> import numpy as np
>>> from sensor.hosts.evidence import Count, Evidence, Fact
>>> facts = np.zeros(len(Fact), np.int64)
>>> facts[Fact.PROVEN_REFUSED], facts[Fact.PROVEN_RUDE] = 8, 5
>>> evidence = Evidence(np.zeros((len(Count), 5), np.int64), facts)
>>> finding = Proof(FanOut(), Rejections(), Dialogue()).explain(evidence)
>>> finding.centibans, finding.figures["refused"], finding.figures["rude"]
(220, 8, 5)
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.detector import Finding
from detectors.dialogue import Dialogue
from detectors.fan_out import FanOut
from detectors.fan_out import ratio as tried
from detectors.rejections import Rejections
from detectors.unusual import LARGEST
from sensor.base.kernel import kernel
from sensor.base.sentences import Sentence
from sensor.hosts.evidence import Count, Evidence, Fact

__all__ = ["Proof", "ProofTables", "proof"]

CONVICTS: Final = 200
"""Centibans (100 to 1) that refusals, and manners, must each be worth to be proof together."""
REFUSALS: Final = 5
"""Servers that must have refused."""
SPOKEN: Final = 4
"""Servers that must have been spoken to as no mail server does."""
INSISTS: Final = 10
"""Times within two minutes that a host came back to where it had been turned away."""
INSISTENT_REFUSALS: Final = 4
"""Servers that must have refused one that insists."""
INSISTENT_SPOKEN: Final = 2
"""Servers that one that insists must have spoken to as no mail server does."""

_FIRST_PROVEN: Final = int(Count.FIRST_PROVEN)
_REFUSED: Final = int(Fact.PROVEN_REFUSED)
_TAKEN: Final = int(Fact.PROVEN_TAKEN)
_RUDE: Final = int(Fact.PROVEN_RUDE)
_POLITE: Final = int(Fact.PROVEN_POLITE)
_DENIED: Final = int(Fact.DENIED)
_UNREAD: Final = int(Fact.UNREAD)
_INSISTED: Final = int(Fact.INSISTED)


class ProofTables(NamedTuple):
    """Of the detectors whose evidence can be proven."""

    fan_out: NDArray[np.int32]
    rejections: NDArray[np.int32]
    dialogue: NDArray[np.int32]
    validated: bool
    """whether the network lets nobody send under another's address"""


@kernel
def _contacts(counts, facts, worths, validated):
    most = 0
    if validated:
        most = tried(counts, facts, worths)
    for w in range(worths.shape[1]):
        n = counts[_FIRST_PROVEN, w] - facts[_DENIED]
        most = max(most, worths[0, w, max(0, min(n, LARGEST))])
    return most


@kernel
def _steps(against, in_favour, tables):
    total = against * tables[0] + in_favour * tables[1]
    return max(-tables[4], min(tables[3], total))


@kernel
def insists(facts):
    """Whether a host came back so often to where it was turned away that fewer servers do.

    ``explain`` asks it, too.
    """
    refused = facts[_REFUSED] - facts[_DENIED]
    rude = facts[_RUDE] - facts[_DENIED]
    alone = facts[_TAKEN] == 0 and facts[_POLITE] == 0
    enough = refused >= INSISTENT_REFUSALS and rude >= INSISTENT_SPOKEN
    return facts[_INSISTED] >= INSISTS and alone and enough


@kernel
def proof(counts, facts, tables):
    """What the proven part of a host's evidence is worth, in centibans: the rule for a block.

    A block is recommended where this reaches ``alerts.enough_proof``. The sum of

    * *contacts*: what so many proven first contacts would be worth as fan-out. Each handshake that
      the holder of the address denied takes one back. Where enough other subscribers are seen,
      only contacts count that ``sensor/hosts/in_use.py`` backs. Where the network lets nobody
      send under another's address (``blocking.source_validation``), a SYN is its sender's as well:
      then it is what fan-out says of all connections opened, answered or not, if that is more;
    * *refusals and manners*, the lesser of the two: of the servers the host proved to speak to, at
      least ``REFUSALS`` refused it and ``SPOKEN`` were spoken to as no mail server does, both so
      predominantly that each is worth ``CONVICTS`` by its detector's steps. Else nothing.

      Who *insists* needs fewer: a mail server that a greeting turned away for good tries again in
      half an hour at the soonest (RFC 5321, 4.5.4.1). Who came back ``INSISTS`` times within two
      minutes and left each time without QUIT, and had nothing taken and was polite to nobody, was
      spoken to as no mail server speaks: ``INSISTENT_REFUSALS`` and ``INSISTENT_SPOKEN`` servers
      are enough, and its manners are worth ``CONVICTS``.

    Neither of the two is proof by itself. Honest servers are refused: newsletters to dead
    addresses, forwarders of others' spam, addresses on a list. Honest programs speak badly:
    scripts, devices, lines that break. Who is refused by nearly all *and* speaks badly to nearly
    all is no mail server, or one whose mail nobody takes; a block keeps nothing of it from
    arriving. A refusal counts whatever it is for: that of a customer who lives in a listed range is
    as proven as any, and what it is worth against him is for the score to say. Greylisting (4yz) is
    neither refusal nor bad manners.

    Contacts are no proof where nothing is read of what is said (``privacy = "headers"``): a list
    checker, a tester, a newsletter and a bot all speak to many servers, and what tells them apart
    is not seen. So no block is recommended there.

    Below zero: the holder of the address denied all there was.
    """
    contacts = _contacts(counts, facts, tables.fan_out, tables.validated)
    if facts[_UNREAD]:
        contacts = min(np.int64(0), contacts)
    refused = facts[_REFUSED] - facts[_DENIED]
    rude = facts[_RUDE] - facts[_DENIED]
    if contacts == 0 and facts[_DENIED] > 0:
        return -facts[_DENIED]
    refusals = _steps(refused, facts[_TAKEN], tables.rejections)
    manners = _steps(rude, facts[_POLITE], tables.dialogue)
    if insists(facts):
        manners = max(manners, np.int64(CONVICTS))
    elif refused < REFUSALS or rude < SPOKEN:
        return contacts
    if refusals < CONVICTS or manners < CONVICTS:
        return contacts
    return contacts + min(refusals, manners)


class Proof:
    """See :func:`proof`."""

    def __init__(
        self,
        fan_out: FanOut,
        rejections: Rejections,
        dialogue: Dialogue,
        *,
        source_validation: bool = False,
    ) -> None:
        self._fan_out = fan_out
        self.tables = ProofTables(
            fan_out.tables, rejections.steps, dialogue.tables, source_validation
        )

    def explain(self, evidence: Evidence) -> Finding:
        """The same number, and what it is made of."""
        worth = int(proof(evidence.counts, evidence.facts, self.tables))
        found = self._fan_out.proof(evidence, tried=self.tables.validated)
        fact = evidence.fact
        figures = found.figures | {
            "refused": fact(Fact.PROVEN_REFUSED), "taken": fact(Fact.PROVEN_TAKEN),
            "rude": fact(Fact.PROVEN_RUDE), "polite": fact(Fact.PROVEN_POLITE),
            "denied": fact(Fact.DENIED),
        }  # fmt: skip
        if worth > found.centibans:
            figures |= _asked(figures)
            if insists(evidence.facts):
                figures["insisted"] = fact(Fact.INSISTED)
        if figures["denied"]:
            figures["denials"] = figures["denied"]
        code = "proof.unread" if fact(Fact.UNREAD) else found.code
        return Finding("proof", worth, code, figures)

    def missing(self, finding: Finding) -> Sentence | None:
        """What refusals and manners lack to be proof; None where there are none, or enough."""
        figures = finding.figures
        if "servers" in figures or max(figures["refused"], figures["rude"]) <= figures["denied"]:
            return None
        needed = {"servers_needed": REFUSALS, "spoken_needed": SPOKEN}
        about = {"refused": figures["refused"], "rude": figures["rude"]}
        return Sentence("proof.missing", about | _asked(figures) | needed)


def _asked(figures: dict[str, int]) -> dict[str, int]:
    """Servers that took or refused mail, and servers spoken to."""
    return {
        "servers": figures["refused"] + figures["taken"],
        "spoken": figures["rude"] + figures["polite"],
    }
