"""``port25 decide``: one policy for the alerts of all sensors."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from sensor.commands.forward import connection_of
from sensor.commands.options import settings_argument, settings_from, state_argument
from sensor.commands.terminal import Stop, complain

if TYPE_CHECKING:
    from sensor.alerts.notice import Notice

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "decide on blocks by the alerts of all sensors on Kafka"
PLACE: Final = 36


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    state_argument(parser, "folder of journal and ledger, which web and watch may show")
    parser.add_argument(
        "--metrics", default="", metavar="ADDRESS:PORT", help="where Prometheus may ask (nowhere)"
    )


def _tell(one: Notice) -> None:
    complain(f"{one.kind}: {one.text}")


def run(options: argparse.Namespace) -> int:
    """Until SIGTERM or SIGINT; what happens is on standard error."""
    import msgspec

    from sensor.base.database import DatabaseError
    from sensor.service.deciding import as_decider, decide
    from sensor.service.metrics import MetricsError
    from sensor.sinks.sink import SinkSettingsError
    from sensor.state.lock import StateInUseError

    settings = settings_from(options.config)
    if settings.kafka.format != "port25":
        raise Stop(2, 'kafka.format: alerts are decided on as "port25", not as "ocsf"')
    if options.state is not None:
        live = msgspec.structs.replace(settings.live, state=options.state)
        settings = msgspec.structs.replace(settings, live=live)
    settings = as_decider(settings)
    connection = connection_of(settings)
    try:
        if not decide(settings, connection, _tell, complain, options.metrics):
            raise Stop(1, "another decides now")
    except (SinkSettingsError, MetricsError) as fault:
        raise Stop(2, str(fault)) from None
    except (DatabaseError, LookupError, StateInUseError) as fault:
        raise Stop(1, str(fault.args[0])) from None
    except PermissionError:
        raise
    except OSError as error:
        raise Stop(1, f"{error.filename or 'decide'}: {error.strerror or error}") from None
    return 0
