"""Is there what the settings ask for beyond the sensor's own?"""

from collections.abc import Iterator
from typing import Final

from sensor.base.extras import how_to_get, is_there
from sensor.doctor.finding import Finding, Patient
from sensor.settings import Settings

__all__ = ["PLACE", "look"]

PLACE: Final = 15


def look(patient: Patient) -> Iterator[Finding]:
    """Each package that a setting needs."""
    lacking = [(name, one) for name, one in _asked(patient.settings) if not is_there(one)]
    for name, package in lacking:
        yield Finding(
            "packages", "wrong", f"{name} needs {package}, which is not installed",
            how_to_get(package),
        )  # fmt: skip
    if not lacking:
        yield Finding("packages", "fine", "what the settings ask for is installed")


def _asked(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.kafka.bootstrap:
        yield "kafka.bootstrap", "kafka"
    if settings.customers.radius.listen:
        yield "customers.radius", "pyrad"
    if settings.blocking.coa.nas:
        yield "blocking.coa", "pyrad"
    if settings.notify.chat:
        yield "notify.chat", "apprise"
    if settings.web.oidc.issuer:
        yield "web.oidc", "authlib"
    if settings.web.users:
        yield "web.users", "argon2"
    if settings.web.asn_table.endswith(".mmdb"):
        yield "web.asn_table", "maxminddb"
    if settings.web.ptr:
        yield "web.ptr", "dns"
    if settings.complaints.zones:
        yield "complaints.zones", "dns"
