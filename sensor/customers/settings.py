"""Settings of leases: who tells of them, how long they last unheard of, how wide they may be."""

from typing import Annotated

import msgspec

__all__ = ["CustomerSettings"]


class CustomerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose an address is, where leases are told."""

    ttl: Annotated[int, msgspec.Meta(ge=1, le=315_360_000)] = 86_400
    """seconds after which a lease without end is over, if nothing more was told of it; longer than
    the interval at which it is told again
    """
    late: Annotated[int, msgspec.Meta(ge=1, le=315_360_000)] = 3600
    """seconds; what is told of a prefix so long after something newer was is not taken"""
    widest_ipv4: Annotated[int, msgspec.Meta(ge=16, le=32)] = 24
    """length of the shortest prefix that may be one customer's"""
    widest_ipv6: Annotated[int, msgspec.Meta(ge=24, le=128)] = 40
    file: str = ""
    """a file of leases that grows, which a live sensor follows (``port25 replay`` has --leases)"""
    keep_megabytes: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1000
    """of leases a live sensor was told, for replays; then the oldest file goes"""
    key_file: str = ""
    """file with the secret from which pseudonyms are made (16 bytes or more); none: a known one,
    so that who guesses a customer's name can check his guess
    """

    @property
    def has_source(self) -> bool:
        """Whether a live sensor is told of leases."""
        return bool(self.file)
