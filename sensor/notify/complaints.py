"""What apprise says to the log of what was not taken."""

import contextlib
import logging
from typing import Any

__all__ = ["complaints"]


class _Kept(logging.Handler):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """See ``logging.Handler``."""
        self.said.append(record.getMessage())


@contextlib.contextmanager
def complaints() -> Any:
    """Why something was not taken goes to the log alone; secrets are said at lower levels only."""
    log, kept = logging.getLogger("apprise"), _Kept()
    log.addHandler(kept)
    try:
        yield kept.said
    finally:
        log.removeHandler(kept)
