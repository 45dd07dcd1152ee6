"""Who may tell of sessions: addresses, and the secrets they share with us."""

from collections.abc import Sequence

from sensor.base.secret_file import read_secret
from sensor.leases.listening import address_of, networks
from sensor.leases.settings import LeaseSettingsError, RadiusClient

__all__ = ["Clients"]


class Clients:
    """Those of the settings, with the secrets read."""

    def __init__(self, clients: Sequence[RadiusClient], key: str) -> None:
        """``key`` names them in errors. Raises LeaseSettingsError."""
        prefixes = networks(key, (one.prefix for one in clients))
        self._clients = list(zip(prefixes, map(_secret, clients), strict=True))

    def secret_of(self, address: str) -> bytes | None:
        """Of the client with an address; None: there is none."""
        sender = address_of(address)
        for network, secret in self._clients:
            if sender in network:
                return secret
        return None


def _secret(client: RadiusClient) -> bytes:
    try:
        return read_secret(client.secret_file)
    except OSError as error:
        raise LeaseSettingsError(str(error)) from None
