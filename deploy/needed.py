"""What an installation needs, out of the pinned requirements.

    python deploy/needed.py 3.13 kafka web    # lines for `pip install --require-hashes -r`

That is for one version of Python on Linux, x86-64, with some of the extras.
"""

import re
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


class Pinned(NamedTuple):
    """One package of ``requirements.lock``."""

    name: str
    version: str
    digests: list[str]
    """SHA-256 of each file that pip would accept"""


def environment(python: str) -> dict[str, str]:
    """What a requirement's conditions are about."""
    return {
        "python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux",
        "platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix",
        "implementation_name": "cpython", "platform_python_implementation": "CPython",
    }  # fmt: skip


def needed(extras: Iterable[str], python: str) -> set[str]:
    """Normal names of all packages it takes, theirs included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    direct = [*project["dependencies"]]
    for extra in extras:
        direct += project["optional-dependencies"][extra]
    found: set[tuple[str, frozenset[str]]] = set()
    waiting: list[tuple[str, frozenset[str]]] = [(text, frozenset()) for text in direct]
    while waiting:
        text, asked = waiting.pop()
        one = Requirement(text)
        conditions = [environment(python) | {"extra": extra} for extra in ("", *asked)]
        if one.marker and not any(one.marker.evaluate(each) for each in conditions):
            continue
        normal, its_extras = canonicalize_name(one.name), frozenset(one.extras)
        if (normal, its_extras) in found:
            continue
        found.add((normal, its_extras))
        try:
            more = metadata.requires(normal) or ()
        except metadata.PackageNotFoundError:  # one for other versions of Python needs no more
            more = ()
        waiting += [(text, its_extras) for text in more]
    return {name for name, _ in found}


def pinned(wanted: set[str], python: str) -> list[Pinned]:
    """These packages, as ``requirements.lock`` pins them."""
    lock = (ROOT / "requirements.lock").read_text()
    found = []
    for block in re.split(r"\n(?=\S)", lock.replace("\\\n", " ")):
        line, *rest = block.split("--hash=")
        if not line.strip() or line.startswith("#"):
            continue
        one = Requirement(line.partition("\n")[0].strip())
        if one.marker is not None and not one.marker.evaluate(environment(python)):
            continue
        if canonicalize_name(one.name) in wanted:
            (version,) = (each.version for each in one.specifier)
            digests = [part.split()[0].partition(":")[2] for part in rest]
            found.append(Pinned(one.name, version, digests))
    return found


def main() -> None:
    """Print them."""
    python, *extras = sys.argv[1:]
    for one in pinned(needed(extras, python), python):
        print(f"{one.name}=={one.version}", *(f"--hash=sha256:{digest}" for digest in one.digests))


if __name__ == "__main__":
    main()
