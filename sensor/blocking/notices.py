"""What blocking does by itself that a person should know of, in words."""

from sensor.alerts.notice import Notice, notice
from sensor.base.sentences import sentence
from sensor.blocking.decision import Decision

__all__ = ["as_notice"]


def as_notice(one: Decision) -> Notice:
    """A stop, step, resume or alarm, in words for a person."""
    reason = one.causes[0] if one.causes else one.reasons[0]
    code = "decision.enforced" if one.enforced else "decision.dry_run"
    return notice("blocking", sentence(code, action=one.action, by=one.by, reason=reason), one.ts)
