"""What must never be blocked, whoever asks: checked when a decision is made and when it is applied.

The controller that applies a decision may be another machine, and what Kafka holds may be old or
somebody else's; so both ask here, each with its own settings.
"""

import datetime
import ipaddress
from collections.abc import Sequence
from typing import Final

from sensor.base.sentences import Sentence, sentence
from sensor.base.units import SECOND
from sensor.blocking.decision import Decision
from sensor.blocking.settings import LONGEST
from sensor.hosts.customer_key import parse_pseudonym
from sensor.hosts.subscribers import Exemption, Network, SubscriberPrefix, where

__all__ = ["Bounds"]

_SHORTEST_PREFIX: Final = {4: 32, 6: 48}
"""One subscriber is never more addresses than this."""


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def _covers(outer: Network, inner: Network) -> bool:
    return outer.version == inner.version and inner.subnet_of(outer)  # type: ignore[arg-type]


class Bounds:
    """Subscribers, own mail servers and exempt hosts, by the settings."""

    def __init__(
        self,
        prefixes: Sequence[SubscriberPrefix],
        own_mail_servers: Sequence[str],
        exempt: Sequence[Exemption],
    ) -> None:
        """Without ``prefixes`` everyone is a subscriber, as for alerts."""
        self._prefixes = [(ipaddress.ip_network(p.prefix), p) for p in prefixes]
        self._own = [ipaddress.ip_network(text) for text in own_mail_servers]
        self._customers = {e.prefix: e for e in exempt if parse_pseudonym(e.prefix)}
        places = [e for e in exempt if e.prefix not in self._customers]
        self._exempt = [(ipaddress.ip_network(e.prefix), e) for e in places]

    @property
    def subscribers(self) -> int:
        """IPv4 addresses in the subscriber prefixes; 0: not known."""
        return sum(n.num_addresses for n, _ in self._prefixes if n.version == 4)

    def objection(self, decision: Decision) -> Sentence | None:
        """Why a block must not be; None where nothing speaks against it."""
        try:
            source, ports = where(decision.host)
            named = ipaddress.ip_network(decision.source)
        except ValueError as error:
            return sentence("bounds.no_subscriber", error=str(error))
        if (source, ports) != (named, decision.ports):
            return sentence("bounds.another", host=decision.host, source=decision.source)
        if source.prefixlen < _SHORTEST_PREFIX[source.version]:
            return sentence("bounds.many", source=str(source))
        if ports and not 0 <= ports[0] <= ports[1] <= 65535:
            return sentence("bounds.no_ports", first=ports[0], last=ports[1])
        if decision.expires - decision.ts > LONGEST * SECOND:
            return sentence("bounds.too_long", days=LONGEST // 86_400)
        for own in self._own:
            if _overlap(source, own):
                return sentence("bounds.own", server=str(own))
        exempt = [(str(n), e) for n, e in self._exempt if _overlap(source, n)]
        if decision.customer in self._customers:
            exempt.append((decision.customer, self._customers[decision.customer]))
        for whose, exemption in exempt:
            end = datetime.datetime.combine(exemption.until, datetime.time.max, datetime.UTC)
            if decision.ts <= end.timestamp() * SECOND:
                return sentence(
                    "bounds.exempt", network=whose, until=str(exemption.until),
                    reason=exemption.reason,
                )  # fmt: skip
        inside = [(n, p) for n, p in self._prefixes if _covers(n, source)]
        if self._prefixes and not inside:
            return sentence("bounds.outside", source=str(source))
        if inside and max(inside, key=lambda pair: pair[0].prefixlen)[1].cgn and not ports:
            return sentence("bounds.shared", source=str(source))
        return None
