"""Every way out follows the customer: lists, the page, the terminal, records, reports, letters."""

import csv
import json
import time

import msgspec
import pytest

from lab.alerts import SECOND, alert
from lab.leases import known_as
from lab.web import serving, settings_for
from sensor.alerts.alert import Alert
from sensor.capture.merge import Captures
from sensor.complaints.book import Complaints
from sensor.complaints.complaint import Complaint
from sensor.console.case import case
from sensor.console.corroboration import beside
from sensor.console.terminal.words import Words
from sensor.console.view import View
from sensor.customers.words import Address
from sensor.impact.store import UsageStore
from sensor.impact.usage import Usages
from sensor.leases.file import LeaseFile
from sensor.pipeline import Pipeline
from sensor.settings import Settings, subscribers_of
from sensor.sinks.ocsf import finding
from sensor.sinks.xarf import report
from sensor.state.customer_names import CustomerNames
from sensor.state.folder import StateFolder
from tests.conftest import PCAPS, port25

START = 1_750_000_000 * SECOND
BOT = known_as("bot@isp.example")
LEASES = ("pcaps/reconnects.pcap", "--leases", "pcaps/reconnects.csv")
SHARED = (
    "-c", "pcaps/shared_address.toml", "pcaps/shared_address.pcap",
    "--leases", "pcaps/shared_address.csv",
)  # fmt: skip
ADDRESSES = [f"203.0.113.{100 + k}" for k in range(7)]


def ran(*words):
    run = port25(*words)
    assert run.returncode == 0, run.stderr
    return run.stdout.decode()


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    folder = tmp_path_factory.mktemp("state")
    ran("replay", "-q", "--state", folder, *LEASES)
    return folder


def lent():
    """Customer, address and times of the file of leases."""
    with (PCAPS / "reconnects.csv").open() as file:
        return [(known_as(r["customer"]), r["prefix"]) for r in csv.DictReader(file)]


# --- records and reports -------------------------------------------------------------------------


def test_records_of_sessions_say_whose_they_were():
    records = [json.loads(line) for line in ran("sessions", *LEASES).splitlines()]
    assert {(one["customer"], one["src"]) for one in records} == set(lent()) & {
        (one["customer"], one["src"]) for one in records
    }
    by_whom = {one["customer"] for one in records}
    assert BOT in by_whom and len(by_whom) == 7
    plain = [json.loads(line) for line in ran("sessions", LEASES[0]).splitlines()]
    assert {one["customer"] for one in plain} == {None}
    assert [one | {"customer": None} for one in records] == plain


def test_columns_have_it_too(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "sessions.parquet"
    ran("sessions", "--format", "parquet", "-o", out, *LEASES)
    assert BOT in parquet.read_table(out)["customer"].to_pylist()


def test_the_impact_report_is_of_customers():
    made = json.loads(ran("impact", "-q", "--format", "json", *LEASES))
    found = {one["host"]: one for one in made["subscribers"]}
    assert found.keys() == {who for who, _ in lent()}
    assert {who for who, one in found.items() if one["kind"] == "spam source"} == {BOT}
    assert found[BOT]["address"].startswith(f"{ADDRESSES[-1]} port ")
    assert [one["prefix"] for one in made["ranges"]] == ["203.0.113.0/24"]
    text = ran("impact", "-q", *LEASES)
    assert f"last at {ADDRESSES[-1]} port" in text and "bot@isp" not in text
    assert BOT in ran("impact", "-q", "--format", "html", *LEASES)
    assert BOT in ran("impact", "-q", "--format", "csv", *LEASES)


def test_behind_a_shared_address_each_is_a_line_of_the_report():
    made = json.loads(ran("impact", "-q", "--format", "json", *SHARED))
    kinds = {one["host"]: one["kind"] for one in made["subscribers"]}
    bots = {known_as(f"bot{k}@isp.example") for k in range(10)}
    spam = {who for who, kind in kinds.items() if kind == "spam source"}
    assert spam <= kinds.keys() and len(spam) == 10
    assert not any(one["shared_address"] for one in made["subscribers"])
    assert bots >= spam or len(bots) == 10


def test_the_report_of_what_a_sensor_kept_takes_no_leases(tmp_path):
    run = port25("impact", "--journal", "--leases", "x", "--state", tmp_path)
    assert run.returncode == 2 and b"by customer already" in run.stderr


def test_what_a_live_sensor_keeps_for_the_report_is_of_customers(tmp_path):
    """As its recorder keeps it, in pieces."""
    kept = UsageStore(tmp_path / "usage.sqlite")
    pipeline = Pipeline(Settings(), sessions="all")
    file = LeaseFile(str(PCAPS / "reconnects.csv"), pipeline.settings.customers)
    pipeline.lend(file.changes, file.counters)
    usages = Usages(subscribers_of(Settings()), 100)
    for output in pipeline.run(Captures([str(PCAPS / "reconnects.pcap")])):
        usages.add(one.session for one in output.sessions)
        kept.add(usages.drain(), 30)
    found = {one.host: one for one in kept.read()}
    assert found.keys() == {who for who, _ in lent()}
    assert found[BOT].address.startswith(f"{ADDRESSES[-1]} port ")


# --- lists, page, terminal -----------------------------------------------------------------------


def test_the_page_has_his_sessions_blocks_and_course(state, tmp_path):
    with serving(state, "-c", str(settings_for(tmp_path))) as server:
        get = lambda path, **more: server.get(f"/api/v1/{path}", "operator", **more).json()  # noqa: E731
        (one,) = get(f"alerts?text=customer:{BOT}")["alerts"]
        assert (one["host"], one["customer"], one["block"]["state"]) == (
            ADDRESSES[-1], BOT, "would_block",
        )  # fmt: skip
        page = get(f"host?host={BOT}")
        assert {s["src"] for s in page["sessions"]} > {ADDRESSES[-1]}
        assert {d["host"] for d in page["decisions"]} == set(ADDRESSES)
        assert [a["id"] for a in page["alerts"]] == [one["id"]]
        had = get(f"case?host={BOT}")
        assert [a["address"] for a in had["addresses"]] == ADDRESSES[::-1]
        whole = get(f"alerts/{one['id']}")
        assert len(whole["course"]) > 6, "over all of them"
        for helo in {s["helo"] for s in page["sessions"] if s["helo"]}:
            assert get(f"alerts?text=helo:{helo}")["alerts"] == [one]
        assert get("candidates")["candidates"] == []
        (block,) = get("export?list=blocks&format=json")["rows"]
        assert (block["host"], block["customer"]) == (ADDRESSES[-1], BOT)
        assert {row["customer"] for row in get("export?list=alerts&format=json")["rows"]} == {BOT}


def test_the_terminal_tells_of_him(state):
    view = View(state)
    (one,) = view.alerts(10)
    text = "\n".join(Words("en").whole(view, one.head.id))
    assert BOT in text and all(address in text for address in ADDRESSES)


def test_he_is_found_by_his_name_by_a_role_and_the_look_is_logged(state, tmp_path):
    names = CustomerNames(StateFolder(state).names, 10)
    names.keep({BOT: "bot@isp.example", f"c-{'9' * 24}": "carol@isp.example"}, int(time.time()))
    names.close()
    config = settings_for(tmp_path)
    config.write_text(config.read_text() + '\n[customers]\nnames = "operator"\n')
    with serving(state, "-c", str(config)) as server:

        def find(name, role="operator"):
            return server.get(
                "/api/v1/customer/find", role, method="POST", json={"name": name}
            )  # fmt: skip

        assert find("bot@isp.example").json() == {"customer": BOT, "name": "bot@isp.example"}
        assert find("carol@isp.example").status_code == 404  # no alert is about her
        assert find("nobody@isp.example").status_code == 404
        assert find("bot@isp.example", "analyst").status_code == 403
        audit = server.get("/api/v1/audit", "operator").json()["rows"]
    assert [row["detail"] for row in audit if row["act"] == "name"] == ["", "", BOT]


# --- complaints and letters ----------------------------------------------------------------------


def complaint(address, ts, port=0, host="", reporter="receiver.example"):
    host = host or address
    return Complaint("report", reporter, "abuse", address, port, ts, 1, "", host, ts)


def test_a_complaint_is_his_at_the_time_and_by_the_port(state, tmp_path):
    lease = START + 600 * SECOND  # when he got the second of his addresses
    said = [
        (complaint(ADDRESSES[1], lease + 5), True),
        (complaint(ADDRESSES[1], lease - 5), False),  # before it was his
        (complaint(ADDRESSES[0], lease + 5), False),  # somebody else's by then
    ]
    book = Complaints(state / "complaints.sqlite")
    for k, (one, _) in enumerate(said):
        book.add(one, f"{k}".encode())
    found = case(View(state), BOT)
    kept = {(e.host, e.ts) for e in found.events if e.what == "complaint"}
    assert kept == {(one.address, one.ts) for one, his in said if his}
    shared = [Address("198.51.100.200:1024-1279", START, None)]
    for k, port in enumerate((0, 1023, 1024, 1279, 1280)):
        one = complaint("198.51.100.200", START + 1 + k, port)
        book.add(one, f"shared {port}".encode())
    found = beside(View(state), "198.51.100.200:1024-1279", START, START, shared)
    assert sorted(one.port for one in found.complaints) == [1024, 1279]
    wide = [Address("2001:db8:1:100::/56", START, START + SECOND)]
    inside = complaint("2001:db8:1:1ff::25", START, host="2001:db8:1:1ff::/64")
    book.add(inside, b"inside")
    found = beside(View(state), "2001:db8:1:100::/56", START, START, wide)
    assert found.complaints == [inside]


def test_a_report_to_others_names_a_time_at_which_the_address_was_his():
    until = 1_700_000_500 * SECOND
    held = [Address("203.0.113.7", until - 400 * SECOND, until)]
    one = alert("203.0.113.7", at=600)
    his = msgspec.structs.replace(one, customer=BOT, addresses=held, block_code="block.away")
    made = report(his, "Example Net", "abuse@isp.example")
    assert made["timestamp"] < "2023-11-14T22:21:40" <= f"{his.time}"
    assert BOT not in json.dumps(made) and json.dumps(msgspec.to_builtins(held)) not in str(made)
    still = msgspec.structs.replace(his, addresses=[Address("203.0.113.7", 0, None)])
    assert report(still, "Example Net", "abuse@isp.example")["timestamp"] == one.time
    assert msgspec.json.decode(msgspec.json.encode(his), type=Alert) == his


def test_as_ocsf_he_is_a_resource_beside_the_address():
    held = [Address("203.0.113.7", START, None)]
    his = msgspec.structs.replace(alert("203.0.113.7"), customer=BOT, addresses=held)
    made = finding(his)
    assert made["resources"] == [
        {"uid": "203.0.113.7", "type": "subscriber"}, {"uid": BOT, "type": "customer"},
    ]  # fmt: skip
    assert made["unmapped"]["customer"] == BOT
    assert made["unmapped"]["addresses"] == msgspec.to_builtins(held)
    plain = finding(alert("203.0.113.7"))
    assert len(plain["resources"]) == 1 and not {"customer", "addresses"} & plain["unmapped"].keys()
