"""What a pipeline gives, for whoever wants all of it together."""

from collections.abc import Iterable

from sensor.alerts.alert import Alert
from sensor.capture.block import Block
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
