"""What is left of root, before the real kernel."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sensor.service import privileges
from tests.conftest import ROOT, cannot

AT_THE_START = {"sensor/base/cache.py", "sensor/base/extras.py", "sensor/decode/ahead.py"}
"""What these import late is needed before privileges are given up, or by a replay alone."""


def test_the_default_account_may_be_missing_another_may_not():
    assert privileges.account(privileges.DEFAULT_USER).pw_name in (
        privileges.DEFAULT_USER,
        "nobody",
    )
    assert privileges.account("nobody").pw_name == "nobody"
    with pytest.raises(LookupError, match="there is no user 'nobody-of-this-name' to become"):
        privileges.account("nobody-of-this-name")


def test_nothing_is_left_of_root_and_what_is_open_stays_open(tmp_path):
    if os.geteuid() != 0:
        cannot("needs root, to give it up")
    shut = tmp_path / "shut"
    shut.write_text("opened before")
    shut.chmod(0o600)
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            with shut.open() as opened:
                privileges.drop_privileges("nobody")
                status = Path("/proc/self/status").read_text()
                try:
                    shut.read_text()
                    status += "Read:\tagain\n"
                except PermissionError:
                    status += f"Read:\t{opened.read()}\n"
            os.write(send, status.encode())
        finally:
            os._exit(0)
    os.close(send)
    with os.fdopen(receive) as pipe:
        lines = dict(line.split(":\t", 1) for line in pipe.read().splitlines() if ":\t" in line)
    os.waitpid(pid, 0)
    nobody = privileges.account("nobody")
    assert lines["Uid"].split() == [str(nobody.pw_uid)] * 4
    assert lines["Gid"].split() == [str(nobody.pw_gid)] * 4
    assert lines["Groups"].split() == []
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(lines[kind], 16) == 0
    assert lines["NoNewPrivs"] == "1"
    assert lines["Read"] == "opened before"


def _imported_late(file: Path) -> set[str]:
    """Python's own modules that functions of a file import."""
    functions = [n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.FunctionDef)]
    nodes = [node for function in functions for node in ast.walk(function)]
    names = {one.name for node in nodes if isinstance(node, ast.Import) for one in node.names}
    names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name for name in names if name.partition(".")[0] in sys.stdlib_module_names}


def test_what_stages_import_late_is_there_before():
    rooms = ("base", "decode", "tcp", "dns", "smtp", "hosts", "customers", "alerts", "tracking")
    files = [file for room in rooms for file in (ROOT / "sensor" / room).rglob("*.py")]
    files = [file for file in files if str(file.relative_to(ROOT)) not in AT_THE_START]
    late = set().union(*map(_imported_late, [*files, ROOT / "sensor" / "settings.py"]))
    assert {"hashlib", "socket", "tomllib"} <= late
    program = "import sys, sensor.service.privileges; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert late <= set(run.stdout.split())
