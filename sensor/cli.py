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
    except PermissionError as error:
        importlib.import_module("sensor.commands").complain_of_permission(error)
        return 1
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
    verb.add_argument("--pace", metavar="10x", help="as slowly as it was, or so many times faster")
    verb.add_argument("-q", "--quiet", action="store_true", help="no summary, no progress")
    verb.add_argument(
        "--state", metavar="DIR",
        help="keep the alerts in a journal there, decide on blocks, and pass them on to Kafka"
        " (settings); print only what it did not hold before",
    )  # fmt: skip
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

    state = argparse.ArgumentParser(add_help=False)
    state.add_argument("--state", metavar="DIR", help="folder of journal and ledger")

    verb = verbs.add_parser(
        "blocklist", parents=[settings, state], help="the blocks in force, for routers and others"
    )
    verb.add_argument(
        "--format", default="plain",
        choices=["csv", "exabgp", "ipset", "json", "nftables", "plain", "rbldnsd"],
    )  # fmt: skip
    verb.add_argument("-o", dest="output", metavar="FILE", help="write there, whole or not at all")
    verb.add_argument("--follow", action="store_true", help="again whenever something changes")
    verb.add_argument("--dry-run", action="store_true", help="what a dry run would block")
    verb.add_argument("--at", metavar="TIME", help="as it was then (2026-01-31T12:00:00Z)")
    verb.set_defaults(module="blocklist")

    verb = verbs.add_parser(
        "controller", parents=[settings], help="carry out Kafka's block list with nftables"
    )
    verb.add_argument("--group", help="consumer group (port25-controller-HOSTNAME)")
    verb.add_argument("--dry-run", action="store_true", help="print what nftables would be told")
    verb.set_defaults(module="controller")

    verb = verbs.add_parser(
        "decisions", parents=[settings, state], help="every decision to block, and why"
    )
    verb.add_argument("--host", help="only of this host, as alerts name it")
    verb.add_argument("--json", action="store_true", help="JSON lines, also on a terminal")
    verb.set_defaults(module="decisions", verb="decisions")

    person = argparse.ArgumentParser(add_help=False)
    person.add_argument("--reason", required=True, help="kept in the ledger")
    person.add_argument("--by", metavar="NAME", help="who decides (your user name)")
    verb = verbs.add_parser("release", parents=[settings, state, person], help="end a block")
    verb.add_argument("host", nargs="?", metavar="HOST", help="an address of the host")
    verb.add_argument("--all", action="store_true", help="every block in force")
    verb.set_defaults(module="decisions", verb="release")
    verb = verbs.add_parser(
        "resume", parents=[settings, state, person],
        help="let blocking go on after it stopped itself",
    )  # fmt: skip
    verb.set_defaults(module="decisions", verb="resume")

    verb = verbs.add_parser(
        "report", parents=[settings, state], help="an abuse report of one alert, for others (XARF)"
    )
    verb.add_argument("alert", metavar="ALERT", help="id of the alert, or how it begins")
    verb.add_argument("--organisation", required=True, help="who reports")
    verb.add_argument("--contact", required=True, metavar="ADDRESS", help="their mail address")
    verb.set_defaults(module="report")

    verb = verbs.add_parser(
        "explain", parents=[settings], help="one host's score as a sum to check by hand"
    )
    verb.add_argument("host", metavar="HOST", help="an address of the host")
    verb.add_argument("-r", dest="files", nargs="+", required=True, metavar="FILE", help="captures")
    verb.set_defaults(module="explain")

    verb = verbs.add_parser(
        "impact", parents=[settings, state], help="who would be hit if foreign port 25 were closed"
    )
    verb.add_argument("files", nargs="*", metavar="FILE", help="captures")
    verb.add_argument("--journal", action="store_true", help="what a live sensor kept (live.usage)")
    verb.add_argument("--since", metavar="TIME", help="with --journal, from that day on")
    verb.add_argument("--format", default="text", choices=["text", "csv", "json", "html"])
    verb.add_argument("-o", dest="output", metavar="FILE", help="write there")
    verb.add_argument(
        "--date", default="[date]", help="from which it is to be closed, for the notices' text"
    )
    verb.add_argument("-q", "--quiet", action="store_true", help="no progress")
    verb.set_defaults(module="impact")

    verb = verbs.add_parser(
        "watch", parents=[settings, state], help="alerts as they come, on a terminal"
    )
    verb.add_argument("--plain", action="store_true", help="lines of text, for screen readers")
    verb.add_argument("--by", metavar="NAME", help="who is watching (your user name)")
    verb.set_defaults(module="watch")

    verb = verbs.add_parser(
        "web", parents=[settings, state], help="alerts as they come, in a browser; and an API"
    )
    verb.add_argument(
        "--listen", metavar="ADDRESS:PORT", help="in place of the settings' (127.0.0.1:8625)"
    )
    verb.add_argument(
        "--new-password", action="store_true", help="ask for one; print what the settings need"
    )
    verb.add_argument("--new-token", action="store_true", help="print one, and what they need")
    verb.set_defaults(module="web")

    verb = verbs.add_parser(
        "tune", parents=[settings, state], help="which alerts other settings would have given"
    )
    verb.add_argument("--since", metavar="TIME", help="packet time (2026-01-31T12:00:00Z)")
    verb.add_argument("--json", action="store_true", help="JSON lines, also on a terminal")
    verb.set_defaults(module="tune")

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
