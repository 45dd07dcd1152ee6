"""Settings of flow records as a source of connections."""

from typing import Annotated

import msgspec

__all__ = ["FlowSettings"]


class FlowSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``port25 flows`` goes by."""

    listen: Annotated[str, msgspec.Meta(pattern=r"^.+:\d+$")] = "127.0.0.1:2055"
    """address and port at which exporters send, by UDP"""
    senders: tuple[str, ...] = ()
    """addresses and prefixes of exporters; live, nobody else is heard"""
    max_connections: Annotated[int, msgspec.Meta(ge=16, le=10_000_000)] = 262_144
    """remembered, so that more records of one are no more connections; those heard of longest ago
    go first; some 300 bytes each
    """
