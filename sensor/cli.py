"""The command ``port25``: what it takes and which verb does it.

Nothing heavy is imported here, so that ``--help`` answers at once. Each verb lives in
``sensor/commands/`` and is imported when it is called.

Exit codes: 0 fine, 1 failed at work, 2 wrong usage or settings.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from sensor import __version__

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; the exit code."""
    options = _parser().parse_args(arguments)
    command = importlib.import_module(f"sensor.commands.{options.module}")
    try:
        code: int = command.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="port25", description="Who sends mail past the mail servers: a port-25 abuse sensor."
    )
    parser.add_argument("--version", action="version", version=f"port25 {__version__}")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    settings = argparse.ArgumentParser(add_help=False)
    settings.add_argument("-c", "--config", metavar="FILE", help="settings (TOML)")

    verb = verbs.add_parser(
        "replay", parents=[settings], help="run capture files through the sensor; print the alerts"
    )
    verb.add_argument(
        "files", nargs="+", metavar="FILE", help="pcap, pcapng, .gz, .zst; - is stdin"
    )
    verb.add_argument(
        "--json", action="store_true", help="alerts as JSON lines, also on a terminal"
    )
    verb.add_argument("--follow", action="store_true", help="wait for the file to grow")
    verb.add_argument("-q", "--quiet", action="store_true", help="no summary, no progress")
    verb.set_defaults(module="replay")

    verb = verbs.add_parser(
        "live", parents=[settings], help="watch interfaces; print the alerts as they come"
    )
    verb.add_argument(
        "-i", dest="interfaces", action="append", required=True, metavar="IFACE",
        help="interface; several may be named",
    )  # fmt: skip
    verb.add_argument(
        "-f", "--bpf", metavar="EXPRESSION", help="filter as in tcpdump, in place of the sensor's"
    )
    verb.add_argument(
        "-w", dest="record", metavar="FILE", help="write all that is captured, as tcpdump does"
    )
    verb.add_argument("--json", action="store_true", help="JSON lines, also on a terminal")
    verb.add_argument("--state", metavar="DIR", help="folder of journal, snapshot and evidence")
    verb.add_argument("--user", help="whom root becomes once the ring is open (port25)")
    verb.add_argument("--metrics", metavar="ADDRESS:PORT", help="for Prometheus; '' for none")
    verb.set_defaults(module="live")

    verb = verbs.add_parser(
        "evidence", parents=[settings], help="the packets that made an alert, for Wireshark"
    )
    verb.add_argument("alert", metavar="ALERT", help="id of the alert, or how it begins")
    verb.add_argument("-w", dest="output", required=True, metavar="FILE", help="pcapng to write")
    verb.add_argument("--state", metavar="DIR", help="folder of journal and evidence")
    verb.set_defaults(module="evidence")

    verb = verbs.add_parser(
        "explain", parents=[settings], help="one host's score as a sum to check by hand"
    )
    verb.add_argument("host", metavar="HOST", help="an address of the host")
    verb.add_argument("-r", dest="files", nargs="+", required=True, metavar="FILE", help="captures")
    verb.set_defaults(module="explain")

    verb = verbs.add_parser(
        "sessions", parents=[settings], help="print what was said in each connection as JSON lines"
    )
    verb.add_argument("files", nargs="+", metavar="FILE")
    verb.add_argument("-p", "--ports", help="watched ports, comma-separated (the settings' ports)")
    verb.set_defaults(module="sessions")

    verb = verbs.add_parser("segments", help="print the decoded TCP segments as JSON lines")
    verb.add_argument("files", nargs="+", metavar="FILE")
    verb.add_argument(
        "-p", "--ports", default="25", help="watched ports, comma-separated, or 'any' (25)"
    )
    verb.set_defaults(module="segments")

    verb = verbs.add_parser("check-config", help="check a settings file")
    verb.add_argument("config", metavar="FILE", help="settings (TOML)")
    verb.set_defaults(module="check_config")
    return parser
