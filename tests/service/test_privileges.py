"""What is left of root, before the real kernel."""

import os
from pathlib import Path

import pytest

from sensor.service import privileges
from tests.conftest import cannot


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
