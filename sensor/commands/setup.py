"""``port25 setup``: five questions, and a first settings file."""

import argparse
import sys
from pathlib import Path
from typing import Final

from sensor.commands.doctor import traffic_arguments, traffic_from
from sensor.commands.terminal import Stop, printable

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "ask five questions; write a first settings file"
PLACE: Final = 5
_MODE: Final = 0o640


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    traffic_arguments(parser)
    parser.add_argument("output", metavar="FILE", help="settings to write, /etc/port25/port25.toml")
    parser.add_argument("--force", action="store_true", help="also over settings that are there")


def run(options: argparse.Namespace) -> int:
    """Look at the traffic, if any is named; ask; write."""
    from sensor.doctor.checks.mail_servers import candidates
    from sensor.doctor.first_settings import asked, networks, settings_text
    from sensor.settings import Settings

    path = Path(options.output)
    _may_write(path, options.force)
    traffic = traffic_from(options, Settings())
    hints: dict[str, list[str]] = {}
    if traffic is not None:
        hints["subscriber_prefixes"] = networks(traffic)
        hints["own_mail_servers"] = [said for said, _ in candidates(traffic, [])]

    def say(line: str) -> None:
        print(printable(line), file=sys.stderr)

    def ask(prompt: str) -> str:
        print(prompt, end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line

    try:
        answers = asked(ask, say, hints)
    except EOFError:
        raise Stop(
            2, "", "five answers are needed on standard input; nothing was written"
        ) from None
    text = settings_text(answers)
    try:
        # In place: an installed file keeps its owner, who may be another.
        path.touch(_MODE)
        path.write_text(text)
    except OSError as error:
        raise Stop(1, f"{path}: {error.strerror}") from None
    print(f"{printable(str(path))}: written; port25 doctor -c {path} -i IFACE looks at the rest")
    return 0


def _may_write(path: Path, force: bool) -> None:
    """Never over settings that somebody made. Raises Stop."""
    import tomllib

    try:
        said = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        said = {"unreadable": error}
    if said and not force:
        raise Stop(1, f"{path}: has settings already; name another file, or say --force")
