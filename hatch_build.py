"""What the build of a wheel does besides: machine code that was made for it goes in.

``make wheel`` has it made in ``build/code`` (``deploy/wheel``). A wheel with it is for Linux on
x86-64, and for any Python, since there is nothing of Python in it; one without is for any machine.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TAG = "py3-none-manylinux_2_17_x86_64"


class CustomBuildHook(BuildHookInterface):
    """Adds ``build/code/*.so`` as ``sensor/code/``."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before the files of a wheel are gathered."""
        folder = Path(self.root, "build", "code")
        made = sorted(folder.glob("*.so"))
        if version != "standard" or not made:
            return
        build_data["pure_python"] = False
        build_data["tag"] = TAG
        for path in made:
            build_data["force_include"][str(path)] = f"sensor/code/{path.name}"
