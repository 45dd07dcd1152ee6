"""What a pipeline gives, for whoever wants all of it together."""

from collections.abc import Iterable
from ipaddress import ip_address

import numpy as np

from sensor.alerts.alert import Alert
from sensor.base.addresses import MAPPED
from sensor.base.units import SECOND
from sensor.capture.block import Block
from sensor.hosts.activity import collect
from sensor.hosts.evidence import Count, Evidence, Fact
from sensor.hosts.table import lookup
from sensor.hosts.windows import WINDOWS
from sensor.pipeline import Pipeline
from sensor.smtp.record import Session
from sensor.tracking.output import Output


def alerts_of(outputs: Iterable[Output]) -> list[Alert]:
    """All alerts, in order."""
    return [alert for output in outputs for alert in output.alerts]


def sessions_of(outputs: Iterable[Output]) -> list[Session]:
    """All sessions, in the order in which they ended."""
    return [one.session for output in outputs for one in output.sessions]


def feed(pipeline: Pipeline, block: Block) -> list[Alert]:
    """Have a pipeline read a block, and go on whatever comes out; the alerts."""
    return alerts_of(pipeline.feed(block))


def finish(pipeline: Pipeline) -> list[Alert]:
    """The capture has ended; the alerts."""
    return alerts_of(pipeline.finish())


def evidence_of(pipeline: Pipeline, host: str) -> Evidence:
    """What a pipeline has seen of an IPv4 host by now."""
    state = pipeline._state
    h = lookup(state.hosts, np.uint64(0), np.uint64(MAPPED + int(ip_address(host))))
    counts = np.zeros((len(Count), len(WINDOWS)), np.int64)
    facts = np.zeros(len(Fact), np.int64)
    collect(state.hosts, h, int(state.clock[0]) // SECOND, counts, facts)
    return Evidence(counts, facts)
