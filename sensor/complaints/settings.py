"""Section ``[complaints]`` of the settings: where complaints come from."""

from typing import Annotated

import msgspec

__all__ = ["ComplaintSettings"]


class ComplaintSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``port25 complaints`` reads; none of it raises, scores or blocks."""

    maildir: str = ""
    """mail folder (Maildir) that reports of abuse are delivered to (RFC 5965)"""
    listings: str = ""
    """file of lists that own addresses are on: ``address,list[,since[,words]]``"""
    zones: Annotated[tuple[str, ...], msgspec.Meta(max_length=20)] = ()
    """lists to ask by DNS about hosts with an open alert; needs dnspython"""
    resolver: str = ""
    """address or address:port of the name server to ask; empty: those of the system"""
    lookups: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 500
    """questions a round, of all lists together"""
    around: Annotated[int, msgspec.Meta(ge=1, le=90)] = 7
    """days before and after an alert whose complaints are shown beside it"""
