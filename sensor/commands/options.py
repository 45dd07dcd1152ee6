"""Options that several verbs take, and what they mean."""

import argparse
import datetime
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sensor.commands.terminal import Stop

if TYPE_CHECKING:
    from sensor.alerts.alert import Alert
    from sensor.blocking.ledger import Ledger
    from sensor.leases.file import LeaseFile
    from sensor.pipeline import Pipeline
    from sensor.service.following import Following
    from sensor.settings import Settings

__all__ = [
    "Found",
    "alert_argument",
    "find_alert",
    "leases_argument",
    "leases_from",
    "ledger_from",
    "lend",
    "moment",
    "person",
    "person_arguments",
    "settings_argument",
    "settings_from",
    "since_from",
    "state_argument",
    "state_from",
]


def settings_argument(parser: argparse.ArgumentParser) -> None:
    """``--config``; see :func:`settings_from`."""
    parser.add_argument("-c", "--config", metavar="FILE", help="settings (TOML)")


def settings_from(path: str | None) -> "Settings":
    """The settings in a file, or the defaults. Raises Stop, with every mistake."""
    from sensor.settings import SettingsError, load_settings

    try:
        return load_settings(path)
    except SettingsError as error:
        raise Stop(2, *error.mistakes) from None


def leases_argument(parser: argparse.ArgumentParser) -> None:
    """``--leases``; see :func:`leases_from`."""
    parser.add_argument(
        "--leases", metavar="FILE", help="whose an address was, and when: CSV or JSON lines"
    )


def leases_from(options: argparse.Namespace, settings: "Settings") -> "LeaseFile | None":
    """The leases of a file, None without one. Raises Stop."""
    if options.leases is None:
        return None
    from sensor.leases.file import LeaseFile, LeaseFileError

    try:
        return LeaseFile(options.leases, settings.customers)
    except LeaseFileError as fault:
        raise Stop(1, str(fault)) from None


def lend(pipeline: "Pipeline", leases: "LeaseFile | None", settings: "Settings") -> None:
    """Tell a pipeline the leases of a file, and those that rules give. Raises Stop."""
    if settings.customers.has_rules and not (leases is not None and leases.is_kept):
        import numpy as np

        from sensor.customers.layout import CHANGE, UNFIT
        from sensor.leases.computed import Computed
        from sensor.leases.file import LeaseFileError
        from sensor.leases.settings import LeaseSettingsError

        try:
            rules = Computed(settings.customers, settings.limits.max_leases)
        except (LeaseFileError, LeaseSettingsError) as fault:
            raise Stop(2, str(fault)) from None
        pipeline.lend(np.frombuffer(rules.tell_all(), CHANGE), dict.fromkeys(UNFIT, 0))
    if leases is not None:
        pipeline.lend(leases.changes, leases.counters)


def customer_from(text: str, settings: "Settings") -> str:
    """The pseudonym of a customer, given as that or by his name. Raises Stop."""
    from sensor.hosts.customer_key import customer_key, parse_pseudonym, pseudonym
    from sensor.leases.file import LeaseFileError, secret_of

    if parse_pseudonym(text) is not None:
        return text
    try:
        return pseudonym(*customer_key(text, secret_of(settings.customers)))
    except LeaseFileError as fault:
        raise Stop(1, str(fault)) from None


def complain_of(leases: "LeaseFile | None", pipeline: "Pipeline") -> None:
    """Say which leases of a file were not taken, a line a reason."""
    from sensor.base.terminal import complain

    if leases is not None:
        for said in leases.faults(pipeline.leases_refused, pipeline.counters()["customers"]):
            complain(said.text)


def state_argument(
    parser: argparse.ArgumentParser, text: str = "folder of journal and ledger"
) -> None:
    """``--state``; see :func:`state_from`."""
    parser.add_argument("--state", metavar="DIR", help=text)


def state_from(options: argparse.Namespace, settings: "Settings") -> Path:
    """The state folder: of ``--state``, else of the settings.

    Raises PermissionError for one that may not be read.
    """
    from sensor.base.permission import denied
    from sensor.settings import state_folder

    state = Path(options.state) if options.state else state_folder(settings)
    if denied(state):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(state))
    return state


def from_kafka_argument(parser: argparse.ArgumentParser) -> None:
    """``--from-kafka``; see :func:`following`."""
    parser.add_argument(
        "--from-kafka",
        action="store_true",
        help="build the state folder, one of its own, from Kafka's topics, and show that",
    )


def following(options: argparse.Namespace, settings: "Settings", state: Path) -> "Following | None":
    """What builds ``state`` from topics, None where that was not asked for. Raises Stop."""
    if not options.from_kafka:
        return None
    from sensor.base.database import DatabaseError
    from sensor.commands.forward import connection_of
    from sensor.service.following import Following

    if settings.kafka.format != "port25":
        raise Stop(2, 'kafka.format: alerts are followed as "port25", not as "ocsf"')
    connection = connection_of(settings)
    try:
        return Following(settings, connection, state)
    except (DatabaseError, LookupError) as fault:
        raise Stop(1, str(fault.args[0])) from None


def ledger_from(options: argparse.Namespace, read_only: bool = False) -> "Ledger":
    """The decisions in the state folder. Raises DatabaseError, and Stop where settings are bad."""
    from sensor.base.database import DatabaseError
    from sensor.blocking.ledger import Ledger
    from sensor.state.folder import StateFolder

    path = StateFolder(state_from(options, settings_from(options.config))).ledger
    if not path.exists():
        raise DatabaseError(f"{path}: there is no ledger; no sensor ran here")
    return Ledger(path, read_only)


def person_arguments(parser: argparse.ArgumentParser) -> None:
    """``--reason`` and ``--by``: who decides, and why."""
    parser.add_argument("--reason", required=True, help="kept in the ledger")
    parser.add_argument("--by", metavar="NAME", help="who decides (your user name)")


def person() -> str:
    """The name of who runs the command, also behind sudo."""
    import getpass

    return os.environ.get("SUDO_USER") or getpass.getuser()


def moment(text: str) -> int:
    """A time as people write it (RFC 3339; UTC where nothing is said), ns since 1970.

    Raises ValueError.
    """
    from sensor.base.units import SECOND

    time = datetime.datetime.fromisoformat(text)
    if time.tzinfo is None:
        time = time.replace(tzinfo=datetime.UTC)
    return int(time.timestamp()) * SECOND


def since_from(options: argparse.Namespace) -> int:
    """``--since``, ns since 1970, 0 without it. Raises Stop."""
    try:
        return moment(options.since) if options.since else 0
    except ValueError as error:
        raise Stop(2, f"--since: {error}") from None


def alert_argument(parser: argparse.ArgumentParser) -> None:
    """``ALERT``; see :func:`find_alert`."""
    parser.add_argument("alert", metavar="ALERT", help="id of the alert, or how it begins")


class Found(NamedTuple):
    """An alert's last message and the folder of the worker that raised it."""

    alert: "Alert"
    folder: Path


def find_alert(state: Path, id_: str) -> Found:
    """The one alert whose id begins with ``id_``. Raises Stop."""
    from sensor.base.database import DatabaseError
    from sensor.state.folder import StateFolder
    from sensor.state.journal import Journal

    found: dict[str, Found] = {}
    try:
        for path in StateFolder(state).journals_to_read:
            for alert in Journal(path, read_only=True).find(id_):
                found[alert.id] = Found(alert, path.parent)
    except DatabaseError as error:
        raise Stop(1, str(error)) from None
    if len(found) != 1:
        raise Stop(1, f"{id_}: {'several alerts have' if found else 'no alert has'} this id")
    return next(iter(found.values()))
