"""A DNS resolver with a bound, where dnspython is installed. Nothing asks one for each packet."""

from typing import TYPE_CHECKING

from sensor.base.extras import missing

if TYPE_CHECKING:
    import dns.resolver

__all__ = ["NoResolverError", "resolver"]


class NoResolverError(Exception):
    """No question can be asked; the text says why."""


def resolver(server: str, patience: float) -> "dns.resolver.Resolver":
    """Who is asked: ``server`` (address, or address:port), else the system's.

    ``patience``: seconds for a question, all servers and repetitions together. Raises
    NoResolverError.
    """
    try:
        import dns.exception
        import dns.resolver
    except ModuleNotFoundError:
        raise NoResolverError(missing("dns")) from None
    address, colon, port = server.partition(":") if server.count(":") == 1 else (server, "", "")
    try:
        made = dns.resolver.Resolver(configure=not server)
        if server:
            made.nameservers = [address]
            made.port = int(port) if colon else 53
    except (dns.exception.DNSException, ValueError) as error:
        raise NoResolverError(f"resolver: {error}") from None
    made.lifetime = patience
    return made
