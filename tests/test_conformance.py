"""Every difference between this sensor and its peers is argued, and is still one."""

import pytest

from tests.conftest import ROOT, SHARED


@pytest.fixture(scope="module")
def statements():
    if not SHARED.is_dir():
        pytest.skip("the peers' captures are not beside this checkout")
    from lab.conformance import statements

    return statements()


def test_enough_is_compared(statements):
    assert len(statements) > 200
    assert {s.peer for s in statements} == {"Arkime", "Suricata", "Zeek"}


def test_each_difference_is_argued_and_each_argument_needed(statements):
    from lab.conformance import ARGUED, argument

    differing = [s for s in statements if not s.agrees]
    assert [s for s in differing if argument(s) is None] == []
    for capture, what in ARGUED:
        assert any(s.capture == capture and s.what.startswith(what) for s in differing)


def test_the_page_is_of_this_version(statements):
    from lab.conformance import page

    assert (ROOT / "docs" / "conformance.md").read_text() == page(statements)
