"""What ``live`` shows."""

from sensor.sinks.screen import Screen

COUNTERS = {
    "capture": {"packets_per_second": 12, "packets_dropped": 0, "loss_ratio": 0.0},
    "hosts": {"hosts": 3},
    "alerts": {"alerts_open": 1},
}


def test_where_nobody_looks_the_start_is_said_once(capsys):
    screen = Screen(lines=True, status=False, began="watching eth1\x1b[2J")
    assert capsys.readouterr().err == ""
    screen.report(COUNTERS)
    screen.report(COUNTERS)
    assert capsys.readouterr().err == "port25: watching eth1\\x1b[2J\n"


def test_on_a_terminal_the_line_of_how_it_goes_follows(capsys):
    screen = Screen(lines=False, status=True, began="watching eth1")
    screen.report(COUNTERS)
    first, _, rest = capsys.readouterr().err.partition("\n")
    assert first == "port25: watching eth1"
    assert "12 packets/s" in rest and "3 hosts" in rest
