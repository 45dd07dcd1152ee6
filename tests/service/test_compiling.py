"""Where a library was made, no verb imports Numba; where none was, one is made, once."""

import ast
import importlib
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import detectors
import sensor
from lab.senders.judge import made
from sensor.base.kernel import INTERPRETED, Kernel, rehearse
from sensor.base.machine_code import is_missing, level
from sensor.service.compiling import _play
from tests.conftest import PCAPS, ROOT

pytestmark = pytest.mark.skipif(
    INTERPRETED or level() is None or is_missing(), reason="no library is used here"
)

_PROGRAM = """
import sys
from sensor.cli import main
code = main(sys.argv[1:])
gone = {"numba", "llvmlite", "rich", "pyshark", "dns", "kafka", "starlette", "ssl"}
print(*sorted(gone & set(sys.modules)), file=sys.stderr)
raise SystemExit(code)
"""


def _run(*arguments: str, expected: int = 0) -> str:
    run = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments], capture_output=True, text=True, cwd=ROOT
    )
    assert run.returncode == expected, run.stderr
    return run.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["replay", "-q", "pcaps/slow_bot.pcap"],
        ["replay", "-q", "-c", "pcaps/cgn.toml", "pcaps/cgn.pcap"],
        ["replay", "-q", "pcaps/mx_lookups.pcap", "pcaps/one_direction.pcap"],
        ["sessions", "pcaps/home_user.pcap"],
        ["segments", "pcaps/home_user.pcap"],
        ["explain", "203.0.113.20", "-r", "pcaps/slow_bot.pcap"],
        ["impact", "pcaps/provider_bot.pcap"],
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_a_verb_starts_without_numba(arguments):
    left = _run(*arguments).split()
    assert "numba" not in left and "llvmlite" not in left
    if arguments[0] == "replay":
        assert left == []


def test_a_state_folder_with_evidence_is_written_and_read_without_numba(tmp_path):
    state = str(tmp_path / "state")
    assert "numba" not in _run("replay", "-q", "--state", state, str(PCAPS / "slow_bot.pcap"))


def test_pcapng_is_read_without_numba(tmp_path):
    from sensor.capture.merge import Captures
    from sensor.evidence.store import Writer

    path = tmp_path / "a.pcapng"
    with path.open("wb") as file:
        writer = Writer(file)
        for block in Captures([str(PCAPS / "slow_bot.pcap")]):
            writer.write(block.data, block.frames, block.frames["captured"].astype("i8"))
    assert _run("replay", "-q", str(path)) == ""


def test_segments_are_forwarded_and_correlated_without_numba():
    program = (
        "import sys; from tests.cluster.test_equal import PCAPS, correlated, settings_of;"
        "assert correlated(settings_of('slow_bot'), 2 * [PCAPS / 'slow_bot.pcap']);"
        "print('numba' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert run.stdout == "False\n", run.stderr


_COMPILED = {"kernel", "inner", "routine", "inner_routine"}


def _called_by_python(node: ast.AST) -> Iterator[str]:
    for one in ast.iter_child_nodes(node):
        if isinstance(one, ast.FunctionDef) and any(
            isinstance(of, ast.Name) and of.id in _COMPILED for of in one.decorator_list
        ):
            continue
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Name):
            yield one.func.id
        yield from _called_by_python(one)


def missing() -> list[str]:
    """Kernels that Python calls and the library has not."""
    ready = {id(kernel) for kernel, _ in rehearse(_play)}
    left = []
    for package in (sensor, detectors):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name.endswith("__main__"):
                continue
            module = importlib.import_module(found.name)
            names = set(_called_by_python(ast.parse(Path(module.__file__ or "").read_text())))
            kernels = {name: getattr(module, name, None) for name in sorted(names)}
            left += [
                f"{found.name}: {name}"
                for name, one in kernels.items()
                if isinstance(one, Kernel) and id(one) not in ready
            ]
    return left


def test_every_kernel_that_python_calls_is_in_the_library():
    """One that is called on few days only would import Numba then, where a sensor may not."""
    program = "from tests.service.test_compiling import missing; print(missing())"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert run.stdout == "[]\n", run.stderr  # a fresh process: what was called once is remembered


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "seed"), [("webmail only", 5001), ("cracked account", 5005)])
def test_what_tls_hides_is_put_into_words_without_numba(tmp_path, kind, seed):
    wire, (host,) = made(kind, 1, seed)
    path, config = tmp_path / "day.pcap", tmp_path / "port25.toml"
    wire.write(path)
    config.write_text('subscriber_prefixes = ["10.0.0.0/8"]\n')
    words = ["explain", "-c", str(config), host, "-r", str(path)]
    run = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *words], capture_output=True, text=True, cwd=ROOT
    )
    (line,) = (line for line in run.stdout.splitlines() if line.startswith("  answers "))
    assert float(line.split()[1]) >= 30
    assert "numba" not in run.stderr.splitlines()[-1].split()


def test_flags_that_change_the_code_leave_the_library_aside():
    program = "from sensor.base.machine_code import library; print(library())"
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"NUMBA_BOUNDSCHECK": "1"}, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert run.stdout == "None\n"
