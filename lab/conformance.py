"""This sensor's session records beside what its peers expect of the same captures.

    python -m lab.conformance > docs/conformance.md

Prints a page of Markdown: how many statements of the peers were compared, how many agree, and a
table of those that do not, each argued. The captures and expectations are those of the peers' own
test suites; they lie beside a development checkout and are not part of the project.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from lab import SHARED
from lab.outputs import sessions_of
from sensor.capture.merge import Captures
from sensor.pipeline import Pipeline
from sensor.settings import Settings
from sensor.smtp.record import Session


class Statement(NamedTuple):
    """What a peer says of a capture, and what this sensor does."""

    capture: str
    peer: str
    what: str
    theirs: Any
    ours: Any

    @property
    def agrees(self) -> bool:
        return bool(self.theirs == self.ours)


def ours(path: Path) -> list[Session]:
    pipeline = Pipeline(Settings(checksums="ignore"), sessions="all")
    found = sessions_of(pipeline.run(Captures([str(path)])))
    return sorted(found, key=lambda s: s.ts)


def domain(address: str) -> str:
    return address.strip("<> ").rpartition("@")[2].lower()


# --- Zeek ----------------------------------------------------------------------------------------


def zeek_rows(log: Path) -> list[dict[str, str]]:
    lines = log.read_text().splitlines()
    fields = next(line.split("\t")[1:] for line in lines if line.startswith("#fields"))
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return [dict(zip(fields, row, strict=True)) for row in rows if len(row) == len(fields)]


def zeek(path: Path) -> Iterator[Statement]:
    for log in sorted(path.parent.glob(f"{path.name}.*.smtp.log")):
        flows: dict[tuple[str, int], list[dict[str, str]]] = {}
        for row in zeek_rows(log):
            flows.setdefault((row["id.orig_h"], int(row["id.orig_p"])), []).append(row)
        mine = {(s.src, s.sport): s for s in ours(path)}
        yield Statement(path.name, "Zeek", "SMTP sessions", len(flows), len(mine))
        for (host, port), rows in flows.items():
            s = mine[host, port]
            last = rows[-1]
            mails = [row for row in rows if row["mailfrom"] != "-"]
            recipients = [r for row in mails for r in row["rcptto"].split(",")]
            code = last["last_reply"].split(" ")[0]

            def of(what: str, theirs: Any, we: Any, at: str = f"{host}:{port}") -> Statement:
                return Statement(path.name, "Zeek", f"{what} of {at}", theirs, we)

            yield of("HELO", last["helo"], s.helo)
            yield of("messages", len(mails), s.mail_attempted)
            yield of("recipients", len(recipients), s.rcpt_attempted)
            yield of("recipients' domains", {domain(r) for r in recipients}, set(s.rcpt_domains))
            if mails:
                yield of("sender's domain", domain(mails[-1]["mailfrom"]), s.mail_from_domain)
            if code != "-":
                yield of(f"a reply {code}", True, code in s.reply_codes)
            yield of("TLS", last["tls"] == "T", s.tls)
    for log in sorted(path.parent.glob(f"{path.name}.packetfilter.conn.log")):
        rows = [row for row in zeek_rows(log) if row["id.resp_p"] == "25"]
        theirs = {(row["id.orig_h"], int(row["id.orig_p"])) for row in rows}
        yield Statement(
            path.name,
            "Zeek",
            "connections to port 25",
            theirs,
            {(s.src, s.sport) for s in ours(path)},
        )


# --- Suricata ------------------------------------------------------------------------------------

EVENTS = {"TRUNCATED_LINE": "overlong_command", "INVALID_BDAT": "bad_bdat"}


def suricata(path: Path) -> Iterator[Statement]:
    expected = yaml.safe_load((path.parent / f"{path.name}.test.yaml").read_text())
    found = ours(path)

    def of(what: str, theirs: Any, we: Any) -> Statement:
        return Statement(path.name, "Suricata", what, theirs, we)

    for check in expected.get("checks", []):
        wanted = check.get("filter")
        if not wanted or not wanted.get("count"):
            continue
        match = wanted.get("match", {})
        if helo := match.get("smtp.helo"):
            helo = helo.rstrip("\r")
            yield of(f"HELO {helo[:40]}", True, any(s.helo == helo for s in found))
        if sender := match.get("smtp.mail_from"):
            seen = {s.mail_from_domain for s in found}
            yield of(f"sender's domain {domain(sender)}", True, domain(sender) in seen)
        for key, recipient in match.items():
            if re.fullmatch(r"smtp\.rcpt_to\[\d+\]", key):
                seen = {d for s in found for d in s.rcpt_domains}
                yield of(f"recipient's domain {domain(recipient)}", True, domain(recipient) in seen)
        if anomaly := EVENTS.get(match.get("anomaly.event", "")):
            yield of(anomaly, True, any(anomaly in s.anomalies for s in found))
        if match == {"event_type": "smtp"}:
            mails = sum(max(1, s.mail_attempted) for s in found)
            yield of("transactions", wanted["count"], mails)
        if "tls.version" in match or match.get("event_type") == "tls":
            yield of("TLS", True, any(s.tls for s in found))
        if sni := match.get("tls.sni"):
            yield of(f"server name {sni}", True, any(s.tls_sni == sni for s in found))


# --- Arkime --------------------------------------------------------------------------------------


def arkime(path: Path) -> Iterator[Statement]:
    expected = json.loads((path.parent / f"{path.name}.expected.json").read_text())
    bodies = [entry["body"] for entry in expected["sessions3"]]
    bodies = [b for b in bodies if b.get("destination", {}).get("port") == 25]
    mine = {s.community_id: s for s in ours(path)}
    ids = {b["network"]["community_id"] for b in bodies}
    yield Statement(path.name, "Arkime", "Community IDs", ids, set(mine))
    for b in bodies:
        s = mine.get(b["network"]["community_id"])
        mail = b.get("email", {})
        if s is None or not b["client"]["bytes"]:
            continue

        def of(what: str, theirs: Any, we: Any, at: str = f"{s.src}:{s.sport}") -> Statement:
            return Statement(path.name, "Arkime", f"{what} of {at}", theirs, we)

        if helos := mail.get("smtpHello"):
            yield of("HELO", helos[0], (s.helo or "").lower())
        yield of("bytes of the client", b["client"]["bytes"], s.bytes_client)
        yield of("bytes of the server", b["server"]["bytes"], s.bytes_server)
        if senders := mail.get("src"):
            known = {domain(a) for a in senders}
            yield of("sender's domain known", True, s.mail_from_domain in known)
        if recipients := mail.get("dst"):
            known = {domain(a) for a in recipients}
            yield of("recipients' domains", known, set(s.rcpt_domains))


ARGUED: dict[tuple[str, str], str] = {
    ("smtp-ehlo-reset-after-rejected-data.pcap", "transactions"): (
        "Suricata opens a transaction at EHLO; here one begins with MAIL (RFC 5321, 3.3), and there"
        " was only one"
    ),
    ("smtp-long-command.pcap", "HELO"): "names are cut to 128 bytes (`long_name`); this has 1,900",
}
"""Why the statements that differ do, by capture and the beginning of what is said."""


def statements() -> list[Statement]:
    """All statements of all peers, in a fixed order."""
    found: list[Statement] = []
    for folder, read in (("arkime", arkime), ("suricata-verify", suricata), ("zeek", zeek)):
        for path in sorted((SHARED / folder).glob("*.pcap")):
            if folder != "suricata-verify" or (path.parent / f"{path.name}.test.yaml").exists():
                found += read(path)
    return found


def argument(statement: Statement) -> str | None:
    """Why a difference is one."""
    for (capture, what), why in ARGUED.items():
        if statement.capture == capture and statement.what.startswith(what):
            return why
    return None


def shown(value: Any) -> str:
    text = ", ".join(sorted(map(str, value))) if isinstance(value, set) else str(value)
    return text.replace("|", "\\|") or "none"


def page(found: list[Statement]) -> str:
    """The page."""
    lines = [
        "# Conformance: the same captures, read by others",
        "",
        "The session records of this version beside what the peers' own test suites expect of the",
        "same captures. `make conformance` makes this page anew, where those captures are at hand.",
        "As in the peers' suites, wrong TCP checksums are ignored: many of the captures were made",
        "anonymous.",
        "",
        "| peer | captures | statements compared | agree | differ |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for peer in sorted({s.peer for s in found}):
        of = [s for s in found if s.peer == peer]
        agree = sum(s.agrees for s in of)
        captures = len({s.capture for s in of})
        lines.append(f"| {peer} | {captures} | {len(of)} | {agree} | {len(of) - agree} |")
    lines += [
        "",
        "Compared are, as far as a peer states them: sessions and transactions, HELO, domains of",
        "senders and recipients, recipients counted, reply codes, TLS, bytes of each side,",
        "Community IDs, and oddities both have a name for. Local parts are not: this sensor does",
        "not tell them.",
        "",
        "| capture | peer | what | theirs | ours | why |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for s in found:
        if not s.agrees:
            why = argument(s) or "**not argued**"
            cells = (s.capture, s.peer, s.what, shown(s.theirs), shown(s.ours), why)
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(statements()), end="")
