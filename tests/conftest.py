"""What all tests share: where fixtures and captures lie, and which programs are there."""

import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest
import pytest_timeout
from hypothesis import settings

from lab import PCAPS, ROOT, SHARED, port25
from lab.mail_servers import program
from lab.memory import map_tables
from lab.waiting import end_within

__all__ = [
    "PCAPS",
    "ROOT",
    "SHARED",
    "cannot",
    "in_a_process",
    "needs",
    "port25",
    "shared_captures",
]

map_tables()
T = TypeVar("T")
_SAID = re.compile(r"(err|out|said|log)\b")
_COST = pytest.StashKey[tuple[list, float]]()

COMPILE = """
from sensor.service.compiling import ensure
ensure(lambda said: None, lambda line: None)
from sensor.capture.merge import Captures
from sensor.service.live import compile_all
from sensor.pipeline import Pipeline
from sensor.settings import Settings
compile_all()
for block in Captures(["pcaps/home_user.pcap"]):
    list(Pipeline(Settings()).feed(block))
"""
"""Has every kernel compiled that tests need in more than one process."""

settings.register_profile("port25", deadline=None)  # a first call compiles
settings.load_profile("port25")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--slow", action="store_true", help="run what takes long as well, as CI=true does"
    )

    parser.addoption(
        "--costs", action="store_true", help="say what each folder and file costs, in CPU seconds"
    )


def _spent() -> float:
    """CPU seconds of this process and of all that it has waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Note what a test costs; its reports carry that to who sums up."""
    before = _spent()
    item.user_properties.append(cost := ["cost", 0.0])  # type: ignore[arg-type]
    item.stash[_COST] = cost, before
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: object
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    cost, before = item.stash[_COST]
    cost[1] = _spent() - before
    report = yield
    if report.failed:
        report.sections += [("last lines of " + path.name, text) for path, text in _written(item)]
    return report


def _written(item: pytest.Item) -> Iterator[tuple[Path, str]]:
    """What programs of this test wrote, the end of each file."""
    for name in ("folder", "tmp_path"):
        made = getattr(item, "funcargs", {}).get(name)
        for path in sorted(made.rglob("*")) if made else ():
            if path.is_file() and (path.suffix == ".log" or _SAID.match(path.name)):
                yield path, path.read_text(errors="replace")[-3000:]


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: pytest_timeout.Settings) -> None:
    """What was waited for is said, rather than that the time was over."""
    end_within(settings.timeout or math.inf)


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_cancel_timer(item: pytest.Item) -> None:
    end_within(math.inf)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """A busy machine takes longer, but not more of a processor."""
    if not config.getoption("--costs"):
        return
    sums: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "teardown":
                path = report.nodeid.partition("::")[0]
                for name in (path, str(Path(path).parent)):
                    sums[name] += dict(report.user_properties).get("cost", 0.0)
    terminalreporter.section("CPU seconds")
    for name, seconds in sums.most_common(40):
        terminalreporter.write_line(f"{seconds:8.1f}  {name}")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """The same in every process, whatever time of day is in what was made for a test."""
    made = isinstance(val, bytes) or (isinstance(val, str) and len(val) > 100)
    return argname if made else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long, but in CI, where it is asked for, and where one test is named."""
    wanted = config.getoption("--slow") or config.getoption("-m") or "::" in "".join(config.args)
    if wanted or os.environ.get("CI"):
        return
    slow = [item for item in items if _is_slow(item)]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not _is_slow(item)]


def _is_slow(item: pytest.Item) -> bool:
    group = item.get_closest_marker("xdist_group")
    return (
        item.get_closest_marker("slow") is not None
        or item.path.parent.name == "kafka"
        or "broker" in getattr(item, "fixturenames", ())
        or (group is not None and group.args[0] in ("browser", "exabgp"))
    )


def pytest_configure(config: pytest.Config) -> None:
    """Compile the kernels once, before workers would each do it.

    Numba's cache is not made for two processes that compile different signatures at a time.
    """
    if not hasattr(config, "workerinput") and not os.environ.get("NUMBA_DISABLE_JIT"):
        subprocess.run([sys.executable, "-c", COMPILE], check=True, cwd=ROOT)


def in_a_process(function: Callable[..., T], *arguments: object) -> T:
    """What a function of a test module returns, called in a process of its own.

    pyshark listens for the end of every child of its process, and goes on when it has been closed.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def shared_captures() -> list[Path]:
    """The peers' captures, where this checkout has them beside it."""
    notes = (".txt", ".json", ".yaml", ".log", ".tsv")
    return sorted(p for p in SHARED.rglob("*") if p.is_file() and p.suffix not in notes)


def needs(*programs: str, root: bool = False) -> None:
    """Skip the test where a program is missing, or root is asked for; but fail in CI."""
    gone = [name for name in programs if program(name) is None]
    why = f"not installed: {', '.join(gone)}" if gone else ""
    if root and os.geteuid() != 0:
        why = "only root may"
    if why:
        cannot(why)


def cannot(why: str) -> NoReturn:
    """Skip the test; but fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(f"CI must be able to run this: {why}")
    pytest.skip(why)


@pytest.fixture(scope="session")
def tshark() -> str:
    """The path of tshark; without it the test is skipped, but never in CI."""
    return shutil.which("tshark") or cannot("tshark is not installed")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that users other than root may enter."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)
