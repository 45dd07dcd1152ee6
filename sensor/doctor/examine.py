"""All checks, one after the other."""

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

from sensor.doctor import checks
from sensor.doctor.finding import Finding, Patient

__all__ = ["examine"]


def _checks() -> list[ModuleType]:
    names = [entry.name for entry in pkgutil.iter_modules(checks.__path__)]
    modules = [importlib.import_module(f"{checks.__name__}.{name}") for name in names]
    return sorted(modules, key=lambda module: int(module.PLACE))


def examine(patient: Patient) -> Iterator[Finding]:
    """What every check finds, in the order of their places."""
    for module in _checks():
        yield from module.look(patient)
