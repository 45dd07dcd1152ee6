"""Signals, as a process gets them."""

import os
import signal

from sensor.service.signals import collect_signals, take


def test_signals_only_end_up_in_a_set():
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        got = collect_signals()
        for number in numbers:
            assert number not in got
            os.kill(os.getpid(), number)
            assert number in got
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_signal_is_taken_once():
    got = {signal.SIGHUP}
    assert not take(got, signal.SIGUSR1)
    assert take(got, signal.SIGHUP)
    assert not take(got, signal.SIGHUP)
