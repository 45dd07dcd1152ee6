"""Settings of the block list by HTTP."""

from typing import Annotated

import msgspec

__all__ = ["HttpSettings"]

Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class HttpSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``port25 blocklist --format http --follow`` goes by."""

    listen: Annotated[str, msgspec.Meta(pattern=r"^.+:\d+$")] = "127.0.0.1:8626"
    """address and port at which appliances ask"""
    tokens: tuple[Digest, ...] = ()
    """SHA-256 of what they bear (``port25 web --new-token``); none: nobody is answered"""
    certificate: str = ""
    key: str = ""
    """files (PEM) for TLS; none: without, for a proxy or a network of your own"""

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if bool(self.certificate) != bool(self.key):
            raise ValueError("certificate and key: expected both or none")
