"""A healthy sensor has nothing wrong; each ailment is found, and said what to do about."""

import copy
import functools
import json
import subprocess
import sys
import tomllib

import pytest

from lab import ROOT
from sensor.base.extras import EXTRAS, missing
from sensor.doctor.checks import (
    disk,
    interfaces,
    kafka,
    mail_servers,
    mirror,
    packages,
    permissions,
    prefixes,
)
from sensor.doctor.examine import examine
from sensor.doctor.finding import Patient
from sensor.doctor.listening import read
from sensor.doctor.traffic import MOST_PEERS
from sensor.settings import (
    EvidenceSettings,
    LiveSettings,
    Settings,
    parse_settings,
)
from sensor.sinks.kafka.connection import KafkaSettings
from tests.conftest import PCAPS, needs, port25
from tests.deploy.test_deb import ALL


@functools.cache
def _read(capture, ports):
    """Read once: each test has a copy."""
    traffic, faults = read([str(PCAPS / capture)], Settings(ports=ports))
    assert faults == []
    return traffic


def _patient(tmp_path, capture=None, **settings):
    chosen = Settings(**settings)
    traffic = copy.deepcopy(_read(capture, chosen.ports)) if capture else None
    return Patient(chosen, tmp_path, traffic=traffic)


def _found(check, patient):
    return [(one.about, one.verdict) for one in check.look(patient)]


def _texts(check, patient):
    return "\n".join(f"{one.text}: {one.do}" for one in check.look(patient))


def test_all_is_looked_at_and_every_finding_says_what_to_do(tmp_path):
    patient = _patient(tmp_path, "demo.pcap")
    found = list(examine(patient))
    abouts = [one.about for one in found]
    wanted = [
        "permissions", "state folder", "packages", "kernel", "memory", "machine code", "clock",
        "disk", "Kafka", "directions", "VLANs", "prefixes", "mail servers",
    ]  # fmt: skip
    assert list(dict.fromkeys(abouts)) == wanted
    assert all(one.do for one in found if one.verdict in ("advice", "wrong"))
    assert not any(one.do for one in found if one.verdict == "fine")


def test_a_mirror_of_one_direction(tmp_path):
    both = _patient(tmp_path, "demo.pcap")
    assert ("directions", "fine") in _found(mirror, both)
    one = _patient(tmp_path, "one_direction.pcap")
    assert ("directions", "wrong") in _found(mirror, one)
    assert "mirror both directions" in _texts(mirror, one)


def test_a_mirror_without_mail_and_one_nobody_looked_at(tmp_path):
    nothing = _patient(tmp_path, "demo.pcap", ports=(26,))
    assert _found(mirror, nothing) == [("mirror", "wrong")]
    assert _found(mirror, _patient(tmp_path)) == [("mirror", "unknown")]
    assert _found(prefixes, nothing) == [("prefixes", "advice")]
    assert _found(mail_servers, nothing) == []


def test_vlans_and_copies(tmp_path):
    patient = _patient(tmp_path, "demo.pcap")
    patient.traffic.vlans.update({7: 5, 12: 300})
    patient.traffic.copies = patient.traffic.segments
    texts = _texts(mirror, patient)
    assert "12 (300), 7 (5); " in texts and "segments came twice" in texts


def test_prefixes_without_mail(tmp_path):
    some = ("203.0.113.0/24", "192.88.99.0/24", "2001:db8:77::/48")
    found = list(prefixes.look(_patient(tmp_path, "demo.pcap", subscriber_prefixes=some)))
    assert [one.text.partition(":" + " ")[0] for one in found] == list(some[1:])
    seen = _patient(tmp_path, "demo.pcap", subscriber_prefixes=some[:1])
    assert _found(prefixes, seen) == [("prefixes", "fine")]


def test_mail_servers_that_are_missing_in_the_settings(tmp_path):
    assert '"192.0.2.25"' in _texts(mail_servers, _patient(tmp_path, "demo.pcap"))
    named = _patient(tmp_path, "demo.pcap", own_mail_servers=("192.0.2.0/24", "192.88.99.25"))
    texts = _texts(mail_servers, named)
    assert "192.0.2.25" not in texts
    assert "192.88.99.25: no mail" in texts


def test_what_is_kept_of_a_flood_is_bounded(tmp_path, monkeypatch):
    from sensor.doctor import traffic

    monkeypatch.setattr(traffic, "MOST_HOSTS", 3)
    seen, _ = read([str(PCAPS / "demo.pcap")], Settings())
    assert len(seen.clients) == 3 and len(seen.callers) == 3 and seen.not_kept > 0
    assert max(len(client.servers) for client in seen.clients.values()) <= MOST_PEERS


def test_a_disk_that_is_too_small(tmp_path):
    assert _found(disk, _patient(tmp_path, evidence=EvidenceSettings(max_megabytes=1))) == [
        ("disk", "fine")
    ]
    large = _patient(tmp_path, evidence=EvidenceSettings(max_megabytes=100_000_000))
    assert _found(disk, large) == [("disk", "advice")]


def test_a_user_and_an_interface_that_are_not_there(tmp_path):
    needs(root=True)
    patient = _patient(tmp_path, live=LiveSettings(user="nosuchuser"))
    assert ("permissions", "wrong") in _found(permissions, patient)
    gone = patient._replace(interfaces=("nosuch0",))
    assert ("nosuch0", "wrong") in _found(permissions, gone)
    assert _found(interfaces, gone) == []


def test_who_is_nobody_may_not_open_a_ring(tmp_path):
    needs(root=True)
    program = (
        "from pathlib import Path; from sensor.settings import Settings;"
        "from sensor.doctor.finding import Patient; from sensor.doctor.checks import permissions;"
        "import os, pwd; os.setuid(65534);"
        "print(*[(one.about, one.verdict) for one in"
        " permissions.look(Patient(Settings(), Path('/root/port25')))])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout.count("'wrong'") == 2


@pytest.mark.slow
def test_a_broker_that_is_not_there(tmp_path):
    patient = _patient(tmp_path, kafka=KafkaSettings(bootstrap=("127.0.0.1:9",)))
    assert _found(kafka, patient) == [("Kafka", "wrong")]
    assert "127.0.0.1:9" in _texts(kafka, patient)


def test_a_package_that_a_setting_needs_and_is_not_there(tmp_path, monkeypatch):
    text = f'{ALL}[[web.users]]\nname = "ann"\npassword = "$argon2id$"\nrole = "viewer"\n'
    patient = Patient(parse_settings(text), tmp_path)
    assert _found(packages, patient) == [("packages", "fine")]
    for package, key in (
        ("kafka", "kafka.bootstrap"), ("pyrad", "customers.radius"), ("pyrad", "blocking.coa"),
        ("apprise", "notify.chat"), ("authlib", "web.oidc"), ("argon2", "web.users"),
        ("maxminddb", "web.asn_table"), ("dns", "web.ptr"), ("dns", "complaints.zones"),
    ):  # fmt: skip
        with monkeypatch.context() as without:
            without.setitem(sys.modules, package, None)
            said = _texts(packages, patient)
            assert f"{key} needs {package}, which is not installed: pip install 'port25[" in said
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "kafka", None)
        assert _found(kafka, patient) == [("Kafka", "unknown")]


def test_what_an_environment_without_pip_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "pip", None)
    said = missing("pyarrow")
    assert said.startswith("pyarrow is not installed: apt install python3-pip && ")
    assert said.endswith(f" --python {sys.prefix}/bin/python install 'port25[parquet]'")


def test_every_extra_is_one_of_the_project(tmp_path):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS.values()) == set(project["optional-dependencies"]) - {"packets"}


def test_a_card_that_merges_segments(tmp_path):
    """In a network of its own: GRO on, GRO off, and no mail to be heard."""
    needs("ip", "ethtool", "unshare", root=True)
    script = (
        "ip link add a0 type veth peer name b0; ip link set a0 up; ip link set b0 up;"
        "ethtool -K a0 gro {0} >/dev/null 2>&1;"
        f"{sys.executable} -m sensor doctor --json -i a0 --seconds 0.3 --state {tmp_path}; echo $?"
    )

    def doctor(gro):
        said = subprocess.run(
            ["unshare", "-n", "sh", "-c", script.format(gro)], cwd=ROOT,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        *lines, code = said.stdout.splitlines()
        found = {(one["about"], one["verdict"]): one["do"] for one in map(json.loads, lines)}
        assert ("mirror", "wrong") in found and code == "1", said.stderr
        return found

    assert doctor("on")["a0", "advice"] == "ethtool -K a0 gro off"
    assert ("a0", "fine") in doctor("off")


def test_the_command(tmp_path):
    run = port25("doctor", "-r", str(PCAPS / "demo.pcap"), "--state", str(tmp_path))
    text = run.stdout.decode()
    assert "own_mail_servers = [" in text and "\033" not in text
    assert run.returncode == int("!! " in text)
    wrong = port25("doctor", "-r", str(PCAPS / "one_direction.pcap"), "--state", str(tmp_path))
    assert wrong.returncode == 1
    for words in (["-i", "lo", "-r", "x"], ["--seconds", "0"], ["--seconds", "nan"]):
        assert port25("doctor", *words).returncode == 2
