"""What the build of a wheel does besides: machine code that was made for it goes in.

``make wheel`` has it made in ``build/code`` (``deploy/wheel``). A wheel with it is for Linux on one
kind of processor (``PORT25_MACHINE``, as uname calls it, else x86_64), and for any Python, since
there is nothing of Python in it; one without is for any machine.
"""

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TAG = "py3-none-manylinux_2_17_"
OF = {"x86_64": "*-x86-64-v?-*.so", "aarch64": "*-aarch64-*.so"}


class CustomBuildHook(BuildHookInterface):
    """Adds what of ``build/code`` is for that processor as ``sensor/code/``."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before the files of a wheel are gathered."""
        machine = os.environ.get("PORT25_MACHINE", "x86_64")
        made = sorted(Path(self.root, "build", "code").glob(OF[machine]))
        if version != "standard" or not made:
            return
        build_data["pure_python"] = False
        build_data["tag"] = TAG + machine
        for path in made:
            build_data["force_include"][str(path)] = f"sensor/code/{path.name}"
