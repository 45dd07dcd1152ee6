"""Sessions of real servers and clients, as this sensor and Wireshark read them from tcpdump."""

import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lab import mail_clients, mail_servers
from lab.network import Laboratory
from tests.conftest import ROOT, in_a_process, port25

pytestmark = pytest.mark.xdist_group("mail servers")  # OpenSMTPD runs once on a machine

FIRST_PORT = 40_000
MANY_LINES = ("250", "214")
"""Replies to EHLO and HELP."""


def by_wireshark(path: Path, tshark: str) -> dict[int, dict[str, Any]]:
    """Verbs, reply codes, SNI and TLS versions of each connection, by its client's port."""
    import pyshark

    told: dict[int, dict[str, Any]] = {}
    capture = pyshark.FileCapture(
        str(path), display_filter="smtp or tls.handshake", tshark_path=tshark
    )
    with capture:
        for packet in capture:
            ports = int(packet.tcp.srcport), int(packet.tcp.dstport)
            of = told.setdefault(
                max(ports), {"verbs": Counter(), "codes": Counter(), "sni": None, "version": 0}
            )
            for layer in packet.layers:
                if layer.layer_name == "smtp":
                    for what, name in (("verbs", "req_command"), ("codes", "response_code")):
                        field = layer.get(name)
                        if field is not None:
                            values = [f.get_default_value() for f in field.all_fields]
                            of[what].update(value.upper() for value in values)
                elif layer.layer_name == "tls":
                    if (sni := layer.get("handshake_extensions_server_name")) is not None:
                        of["sni"] = str(sni)
                    if str(layer.get("handshake_type")) == "2":
                        chosen = layer.get("handshake_extensions_supported_version")
                        of["version"] = int(str(chosen or layer.get("handshake_version")), 16)
    return told


@pytest.fixture(scope="module", params=mail_servers.SERVERS)
def recorded(request, tshark):
    """Each conversation with one server: the capture, and which port was whose."""
    name = request.param
    ports: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as made, Laboratory() as lab:
        folder = Path(made)
        folder.chmod(0o755)  # servers run as users of their own
        path = folder / "live.pcap"
        mail_servers.start(lab, name, folder / "server", address := "198.51.100.25")
        tcpdump = lab.capture(lab.outside, path, "tcp")
        for k, conversation in enumerate(mail_clients.CONVERSATIONS):
            if name in mail_clients.ONLY.get(conversation, (name,)):
                ports[conversation] = FIRST_PORT + k
                words = mail_clients.words(conversation, address, FIRST_PORT + k)
                done = lab.run(lab.inside, *words, check=False, cwd=ROOT)
                print(conversation, done.returncode, done.stdout, done.stderr)
        time.sleep(1)  # the last packets reach tcpdump
        lab.end_capture(tcpdump, path)
        records = [
            json.loads(line)
            for line in port25("sessions", str(path), check=True).stdout.splitlines()
        ]
        return name, ports, records, in_a_process(by_wireshark, path, tshark)


def test_each_connection_has_its_record(recorded):
    _, ports, records, _ = recorded
    mine = Counter(r["sport"] for r in records)
    assert all(mine[port] == 1 for port in ports.values())
    assert {r["handshake"] for r in records} == {"complete"}
    assert {r["directions"] for r in records} == {"both"}
    assert all(r["gaps"] == r["bytes_missed"] == 0 for r in records)
    assert all(r["banner_code"] == 220 for r in records)


def test_what_the_client_did_is_in_the_record(recorded):
    name, ports, records, _ = recorded
    by_port = {r["sport"]: r for r in records}
    for conversation, port in ports.items():
        record = by_port[port]
        expected = mail_clients.CONVERSATIONS[conversation][1]
        told = {key: record[key] for key in expected}
        assert told == expected, f"{conversation} with {name}"
        assert set(record["anomalies"]) == set(expected.get("anomalies", ())), conversation


def test_wireshark_agrees(recorded):
    name, ports, records, told = recorded
    by_port = {r["sport"]: r for r in records}
    for conversation, port in ports.items():
        record, theirs = by_port[port], told[port]
        where = f"{conversation} with {name}"
        assert record["mail_attempted"] == theirs["verbs"]["MAIL"], where
        assert record["rcpt_attempted"] == theirs["verbs"]["RCPT"], where
        assert record["quit"] == (theirs["verbs"]["QUIT"] > 0), where
        assert record["ehlo"] == (theirs["verbs"]["EHLO"] > 0), where
        codes = record["reply_codes"]
        assert set(codes) == set(theirs["codes"]), where
        for code, count in codes.items():
            if code in MANY_LINES:  # Wireshark counts each line of a reply
                assert count <= theirs["codes"][code], where
            else:
                assert count == theirs["codes"][code], where
        assert record["tls_sni"] == theirs["sni"], where
        versions = {0x0303: "TLSv1.2", 0x0304: "TLSv1.3", 0: record["tls_version"]}
        assert record["tls_version"] == versions[theirs["version"]], where
