"""Packages that not every installation has: what brings them, and how they are got here."""

import sys
from typing import Final

__all__ = ["EXTRAS", "how_to_get", "is_there", "missing"]

EXTRAS: Final = {
    "kafka": "kafka",
    "starlette": "web",
    "uvicorn": "web",
    "argon2": "web",
    "pyshark": "web",
    "textual": "watch",
    "pyarrow": "parquet",
    "authlib": "oidc",
    "joserfc": "oidc",
    "requests": "oidc",
    "apprise": "chat",
    "pyrad": "radius",
    "dns": "dns",
    "maxminddb": "maxmind",
}
"""Names they are imported by, and the extras of ``pyproject.toml`` they are in."""


def is_there(package: str) -> bool:
    """Whether it is installed; nothing is imported."""
    import importlib.util

    return importlib.util.find_spec(package) is not None


def how_to_get(package: str) -> str:
    """A command that brings it into this installation."""
    wanted = f"install 'port25[{EXTRAS[package]}]'"
    if is_there("pip"):
        return f"pip {wanted}"
    # The Debian package's own environment has no pip; the system's serves it.
    return f"apt install python3-pip && python3 -m pip --python {sys.prefix}/bin/python {wanted}"


def missing(package: str) -> str:
    """That it is not installed, and what to do: one line."""
    return f"{package} is not installed: {how_to_get(package)}"
