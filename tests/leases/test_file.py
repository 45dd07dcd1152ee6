"""A file of leases, read whole."""

import pytest

from lab.leases import write
from sensor.hosts.customer_key import customer_key, pseudonym
from sensor.leases.file import LeaseFile, LeaseFileError, secret_of
from sensor.leases.settings import CustomerSettings

SECOND = 10**9
HOUR = 3600 * SECOND


def read(path, *lines, **settings):
    return LeaseFile(str(write(path, lines)), CustomerSettings(**settings))


def lease(begin, until="", prefix="203.0.113.7", ports="", customer="a"):
    return f"{begin},{until},{prefix},{ports},{customer}"


def test_lines_in_any_order_take_effect_in_that_of_time(tmp_path):
    file = read(tmp_path / "l", lease(3 * HOUR, prefix="192.0.2.1"), lease(HOUR), lease(2 * HOUR))
    assert file.changes["ts"].tolist() == [HOUR, 2 * HOUR, 3 * HOUR]
    assert not any(file.counters.values())


def test_what_comes_late_about_a_prefix_is_not_taken(tmp_path):
    lines = [lease(10 * HOUR), lease(5 * HOUR), lease(9 * HOUR + SECOND), lease(HOUR, ports="1-1")]
    file = read(tmp_path / "l", *lines)
    assert file.counters["leases_late"] == 1
    (said,) = file.faults({}, {})
    assert said.text.endswith(
        "1 lease not taken, the first in line 3: something of this prefix that begins"
        " 3,600 seconds later, or more, was told before"
    )
    assert not read(tmp_path / "l", *lines, late=20_000).counters["leases_late"]


def test_each_kind_is_counted_and_the_first_of_it_said(tmp_path):
    bad = [lease(2, 1), lease(1, prefix="0.0.0.0/1"), lease(2, 1), "cut,of", lease(1)[:-4]]
    file = read(tmp_path / "l", lease(1), *bad, "")
    assert file.counters == {
        "leases_ill_formed": 2, "leases_backwards": 2, "leases_too_wide": 1, "leases_late": 0,
        "leases_early": 0,
    }  # fmt: skip
    said = [one.text for one in file.faults({}, {})]
    assert len(said) == 3
    assert any("2 leases not taken, the first in line 3: it ends before" in text for text in said)
    assert len(file.changes) == 1


def test_a_line_without_end_costs_that_line(tmp_path):
    path = write(tmp_path / "l", [lease(1) + "x" * 100_000, lease(2)])
    file = LeaseFile(str(path), CustomerSettings())
    assert (file.counters["leases_ill_formed"], len(file.changes)) == (1, 1)


def test_bytes_that_are_no_text_cost_their_line(tmp_path):
    path = write(tmp_path / "l", [lease(2)])
    path.write_bytes(path.read_bytes() + b"1,\xff\xfe,\x00,,\n" + lease(3).encode())
    file = LeaseFile(str(path), CustomerSettings())
    assert (file.counters["leases_ill_formed"], len(file.changes)) == (1, 2)


def test_json_lines(tmp_path):
    path = tmp_path / "l"
    path.write_text('{"from": 5, "prefix": "192.0.2.1", "customer": "a"}\n')
    assert LeaseFile(str(path), CustomerSettings()).changes["since"].tolist() == [5]


def test_the_header_is_asked_for(tmp_path):
    path = tmp_path / "l"
    path.write_text("until,from\n")
    with pytest.raises(LeaseFileError, match="line 1: expected from,until,prefix,ports,customer"):
        LeaseFile(str(path), CustomerSettings())
    with pytest.raises(LeaseFileError, match="No such file"):
        LeaseFile(str(tmp_path / "none"), CustomerSettings())


def test_the_secret(tmp_path):
    path = tmp_path / "key"
    settings = CustomerSettings(key_file=str(path))
    with pytest.raises(LeaseFileError, match="No such file"):
        secret_of(settings)
    path.write_bytes(b"short\n")
    with pytest.raises(LeaseFileError, match="16 bytes at least"):
        secret_of(settings)
    path.write_bytes(b"0123456789abcdef\n")
    file = LeaseFile(str(write(tmp_path / "l", [lease(1)])), settings)
    key = customer_key("a", b"0123456789abcdef")
    assert [file.changes[name][0] for name in ("who_hi", "who_lo")] == list(key)


def test_whose_takes_a_name_that_is_an_address_inside_a_cgn(tmp_path):
    inside = lease(HOUR, ports="1024-2047", customer="100.64.0.9")
    file = read(tmp_path / "l", inside, lease(HOUR, prefix="192.0.2.1"))
    assert file.whose("100.64.0.9") == pseudonym(*customer_key("100.64.0.9", b""))
    assert file.whose("203.0.113.7:1024") == file.whose("100.64.0.9")
    assert file.whose("100.64.0.10") == "100.64.0.10"
    assert file.whose("192.0.2.1") == pseudonym(*customer_key("a", b""))


@pytest.mark.parametrize("port", ["65536", "70000", "x"])
def test_what_is_no_port_is_not_taken_into_the_address(tmp_path, port):
    file = read(tmp_path / "l", lease(HOUR, prefix="203.0.113.8"))
    with pytest.raises(ValueError, match="is no port"):
        file.whose(f"203.0.113.7:{port}")
