"""Session records: privacy, the flow hash, the schema, and Wireshark's opinion of the fixtures."""

import json
import subprocess

import msgspec
import pytest

from lab.conversation import GOOD, Conversation
from sensor.smtp.record import Session, community_id, json_schema
from tests.conftest import PCAPS, ROOT, port25

FIXTURES = sorted(PCAPS.glob("*.pcap"))


@pytest.mark.parametrize(
    ("flow", "expected"),
    [  # the specification's own examples
        (("128.232.110.120", 34855, "66.35.250.204", 80), "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
        (("66.35.250.204", 80, "128.232.110.120", 34855), "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
    ],
)
def test_community_id(flow, expected):
    assert community_id(*flow) == expected


def test_the_published_schema_is_the_programs():
    assert json.loads((ROOT / "docs" / "session.schema.json").read_text()) == json_schema()


SECRETS = (
    "annika",
    "bobbert",
    "secret matters",
    "Dear bob",
    "joe.private",
    "hunter2",
    "aHVudGVyMg",
)


@pytest.fixture(scope="module")
def telling(tmp_path_factory):
    """A capture full of what must not be told."""
    from lab.frames import pcap

    frames = []
    for k, more in enumerate(
        (
            GOOD,
            r"S: 220 hi\r\n|C: HELO joe.private@home.example\r\n|S: 250 hello joe.private\r\n"
            r"|C: VRFY joe.private\r\n|S: 252 joe.private@home.example\r\n",
            r"S: 220 hi\r\n|C: EHLO a.example\r\n|S: 250 AUTH PLAIN\r\n"
            r"|C: AUTH PLAIN aHVudGVyMg\r\n|S: 535 no, joe.private\r\n"
            r"|C: AUTH LOGIN\r\n|S: 334 VXNl\r\n|C: hunter2\r\n|S: 535 no\r\n",
            r"S: 220 hi\r\n|C: MAIL FROM:<joe.private>\r\n|S: 250 ok\r\n"
            r"|C: RCPT TO:joe.private@x.example\r\n"
            r"|S: 550 5.1.1 <joe.private@x.example> unknown\r\n|C: joe.private\r\n|S: 500 what\r\n",
            r"S: 220 hi\r\n|C: HELO \x1b[31m\xe2\x80\xae<script>\r\n|S: 250 ok\r\n",
        )
    ):
        talk = Conversation(sport=5000 + k).open().say(more).close()
        frames += talk.frames
    path = tmp_path_factory.mktemp("telling") / "telling.pcap"
    path.write_bytes(pcap(frames))
    return str(path)


@pytest.mark.parametrize(
    "command",
    [
        ("sessions",),
        ("replay",),
        ("replay", "--json"),
        ("segments",),
        ("explain", "203.0.113.7", "-r"),
    ],
)
def test_no_output_tells_who_wrote_to_whom_or_a_password(telling, command):
    done = port25(*command, telling, check=True)
    printed = (done.stdout + done.stderr).decode().lower()
    for secret in SECRETS:
        assert secret.lower() not in printed
    assert "\x1b[31m" not in printed
    assert "\u202e" not in printed


def test_hostile_names_are_escaped(telling):
    records = [
        json.loads(line) for line in port25("sessions", telling, check=True).stdout.splitlines()
    ]
    assert records[-1]["helo"] == r"\x1b[31m\u202e<script>"
    assert records[1]["helo"] == "@home.example"


@pytest.mark.slow
def test_every_line_is_what_the_schema_says():
    for path in FIXTURES:
        lines = port25("sessions", str(path), check=True).stdout.splitlines()
        assert lines
        for line in lines:
            msgspec.json.decode(line, type=Session, strict=True)


@pytest.mark.slow
@pytest.mark.parametrize("path", FIXTURES, ids=lambda p: p.stem)
def test_fixtures_as_wireshark_reads_them(path, tshark):
    """Commands and reply codes of each connection, by tshark's SMTP dissector."""
    fields = (
        "tcp.stream",
        "smtp.req.command",
        "smtp.req.parameter",
        "smtp.response.code",
        "smtp.rsp",
    )
    words = [tshark, "-r", str(path), "-n", "-Y", "smtp", "-T", "fields", "-E", "occurrence=a"]
    for field in (
        *fields[:4],
        "tcp.srcport",
        "tcp.dstport",
        "ip.src",
        "ipv6.src",
        "ip.dst",
        "ipv6.dst",
    ):
        words += ["-e", field]
    told: dict[tuple, dict] = {}
    for line in subprocess.run(
        words, capture_output=True, check=True, text=True
    ).stdout.splitlines():
        stream, verbs, _, codes, sport, dport, v4, v6, d4, d6 = line.split("\t")
        src, dst = v4 or v6, d4 or d6
        if dport == "25":
            key = (stream, src, int(sport), dst)
        else:
            key = (stream, dst, int(dport), src)
        entry = told.setdefault(key, {"verbs": [], "codes": {}})
        entry["verbs"] += [verb.upper() for verb in verbs.split(",") if verb]
        for code in codes.split(","):
            if code:
                entry["codes"][code] = entry["codes"].get(code, 0) + 1
    records = {}
    for line in port25("sessions", str(path), check=True).stdout.splitlines():
        r = json.loads(line)
        if r["commands"] or r["reply_codes"]:
            records.setdefault((r["src"], r["sport"], r["dst"]), []).append(r)
    assert sum(map(len, records.values())) == len(told)
    for (_, *key), entry in told.items():
        mine = records[tuple(key)].pop(0)
        assert mine["mail_attempted"] == entry["verbs"].count("MAIL")
        assert mine["rcpt_attempted"] == entry["verbs"].count("RCPT")
        assert mine["quit"] == ("QUIT" in entry["verbs"])
        ehlo_lines = {"250"}  # tshark counts each line of a reply
        assert {k: v for k, v in mine["reply_codes"].items() if k not in ehlo_lines} == {
            k: v for k, v in entry["codes"].items() if k not in ehlo_lines
        }
