"""Reports of abuse: what is taken, and that nothing hostile is, each counted with its reason."""

import datetime
import email.utils
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.waiting import BUSY
from sensor.complaints import arf
from sensor.complaints.book import Complaints
from sensor.complaints.complaint import Complaint, ComplaintError, weigh
from sensor.complaints.intake import maildir, take, whose
from sensor.complaints.listings import listed
from sensor.hosts.subscribers import SubscriberPrefix, compile_subscribers

NOW = time.time_ns()
PREFIXES = (
    SubscriberPrefix("203.0.113.0/24"),
    SubscriberPrefix("2001:db8::/32", delegated=56),
    SubscriberPrefix("100.64.0.0/24", cgn=True, ports_per_subscriber=1024),
)
SUBSCRIBERS = compile_subscribers(PREFIXES, own_mail_servers=("203.0.113.25",))


def stamp(days=0.0):
    when = datetime.datetime.fromtimestamp(NOW / 1e9, datetime.UTC)
    return email.utils.format_datetime(when - datetime.timedelta(days=days))


def report(
    source="203.0.113.7", *, extra="", version="1", date=None, enclosed="Subject: buy\n\nspam"
):
    fields = f"Feedback-Type: abuse\nUser-Agent: Mill/1\nVersion: {version}\n"
    fields += f"Source-IP: {source}\n" if source is not None else ""
    fields += f"Arrival-Date: {stamp() if date is None else date}\n{extra}"
    return (
        'From: <feedback@receiver.example>\nSubject: report\nMIME-Version: 1.0\nContent-Type:'
        ' multipart/report; report-type=feedback-report; boundary="b"\n\n--b\n'
        "Content-Type: text/plain\n\nThis is a report.\n--b\n"
        f"Content-Type: message/feedback-report\n\n{fields}\n--b\n"
        f"Content-Type: message/rfc822\n\n{enclosed}\n--b--\n"
    ).encode()  # fmt: skip


def test_a_report_is_an_address_a_time_and_who_says_so_and_nothing_of_the_mail(tmp_path):
    book = Complaints(tmp_path / "complaints.sqlite")
    content = report(
        extra="Incidents: 3\nReported-Domain: pills.example\n"
        "Original-Rcpt-To: <victim@receiver.example>\n",
        enclosed="Subject: s3cret",
    )
    one = take(book, SUBSCRIBERS, content, NOW)
    assert (one.host, one.reporter, one.kind) == ("203.0.113.7", "receiver.example", "abuse")
    assert (one.incidents, one.detail, one.ts // 10**9) == (3, "pills.example", NOW // 10**9)
    book.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"s3cret" not in kept and b"victim" not in kept


def nested(depth):
    made = "Content-Type: text/plain\n\nx"
    for k in range(depth):
        made = f'Content-Type: multipart/mixed; boundary="n{k}"\n\n--n{k}\n{made}\n--n{k}--'
    return report(enclosed=made)


HOSTILE = [
    ("too_large", report(enclosed="x" * (1 << 20))),
    ("nested", nested(2000)), ("nested", nested(17)),
    ("not_a_report", b"From: a@b.example\nSubject: hello\n\nplease stop"),
    ("not_a_report", report().replace(b"feedback-report; boundary", b"delivery-status; boundary")),
    ("not_a_report", report().replace(b"message/feedback-report", b"text/x-feedback")),
    ("not_a_report", report().replace(b"Feedback-Type: abuse\n", b"")),
    ("version", report(version="2")), ("version", report(version="")),
    ("no_address", report(None)), ("no_address", report("")),
    ("bad_address", report("203.0.113.300")), ("bad_address", report("\u00b2\u0661.0.0.1")),
    ("bad_address", report(extra="Source-IP: 203.0.113.9\n")),
    ("not_a_subscriber", report("192.0.2.1")), ("not_a_subscriber", report("127.0.0.1")),
    ("not_a_subscriber", report("203.0.113.25")), ("not_a_subscriber", report("::")),
    ("shared_address", report("100.64.0.7")),
    ("bad_date", report(date="yesterday")), ("bad_date", report(date="Thu, 99 Foo 2026 00:00:00")),
    ("bad_date", report(date="Thu, 01 Jan 99999 00:00:00 +0000")),
    ("future", report(date=stamp(-1))), ("old", report(date=stamp(91))), ("not_a_report", b""),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "content"), HOSTILE)
def test_what_is_not_taken_is_counted_with_its_reason(tmp_path, reason, content):
    book = Complaints(tmp_path / "complaints.sqlite")
    begun = time.monotonic()
    with pytest.raises(ComplaintError):
        take(book, SUBSCRIBERS, content, NOW)
    assert time.monotonic() - begun < BUSY
    (refused,) = book.refused()
    assert (refused.reason, refused.count) == (reason, 1)
    assert refused.example.isprintable() and book.last == 0


@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode), st.integers(0, 500))
def test_whatever_comes_is_a_report_or_a_reason(noise, at):
    whole = report()
    try:
        arf.read(whole[:at] + noise + whole[at + len(noise) :], NOW)
    except ComplaintError as error:
        assert error.reason


@pytest.mark.parametrize(("address", "port", "host"), [
    ("203.0.113.7", 0, "203.0.113.7"), ("203.0.113.7", 4711, "203.0.113.7"),
    ("2001:db8:0:7::1", 99, "2001:db8::/56"), ("100.64.0.7", 2000, "100.64.0.7:1024-2047"),
])  # fmt: skip
def test_whose_it_is_is_said_as_alerts_say_it(address, port, host):
    extra = f"Source-Port: {port}\n" if port else ""
    assert whose(arf.read(report(address, extra=extra), NOW), SUBSCRIBERS).host == host


def test_a_mail_folder_is_read_once_and_what_was_refused_is_not_read_again(tmp_path):
    for name in ("new", "cur", "tmp"):
        (tmp_path / "mail" / name).mkdir(parents=True)
    for k, content in enumerate((report(), report("192.0.2.1"), report(), b"\xff\x00")):
        (tmp_path / "mail" / "new" / f"{k}.host").write_bytes(content)
    book = Complaints(tmp_path / "complaints.sqlite")
    assert maildir(book, SUBSCRIBERS, tmp_path / "mail") == (1, 3)
    assert maildir(book, SUBSCRIBERS, tmp_path / "mail") == (0, 0)
    assert {one.reason: one.count for one in book.refused()} == {
        "not_a_subscriber": 1, "twice": 1, "not_a_report": 1,
    }  # fmt: skip
    assert sorted(p.name for p in (tmp_path / "mail" / "cur").iterdir()) == [
        f"{k}.host:2,S" for k in range(4)
    ]


def test_lists_from_a_file():
    lines = [
        "address,list,since,words", "# a comment",
        "203.0.113.7,zen.example,2026-01-02T03:04:05Z,bot",
        "203.0.113.8,zen.example", "300.1.1.1,zen.example", "203.0.113.9",
        "203.0.113.9,x,2999-01-01T00:00:00Z", "203.0.113.9,x,soon", "203.0.113.9,x," + "y" * 3000,
    ]  # fmt: skip
    found = list(listed(lines, NOW))
    assert [one.address for one in found if isinstance(one, Complaint)] == [
        "203.0.113.7", "203.0.113.8",
    ]  # fmt: skip
    assert [one.reason for one in found if isinstance(one, ComplaintError)] == [
        "bad_address", "malformed", "future", "bad_date", "too_large",
    ]  # fmt: skip
    assert "line 5: " in str(found[2])


def test_what_complaints_weigh():
    def of(*reporters, origin="report", kind="abuse"):
        return [Complaint(origin, one, kind, "192.0.2.1", 0, 0) for one in reporters]

    assert weigh(of("a")).level == "weak" and weigh(of("a", "b")).level == "fair"
    assert weigh(of("a", "b") + of("z", origin="list")).level == "strong"
    assert weigh(of("a") + of("c", kind="not-spam")).level == "none"
    assert weigh(of(*"a" * 10_000)).level == "fair", "one alone is never strong"
    assert weigh(of("a", kind="auth-failure")) == weigh([])
