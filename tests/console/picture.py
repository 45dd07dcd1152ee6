"""The picture in the README: ``port25 watch`` itself, after a replay of the demo.

python -m tests.console.picture
"""

import asyncio
import tempfile
from pathlib import Path

from sensor.console.app import Watch
from sensor.console.view import View
from tests.conftest import PCAPS, ROOT, port25


async def picture(state: Path) -> str:
    """An SVG of the screen."""
    app = Watch(View(state), "ann")
    async with app.run_test(size=(90, 24)) as pilot:
        await pilot.pause()
        await pilot.press("down", "enter")
        await pilot.pause()
        return app.export_screenshot()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        port25("replay", "-q", "--state", folder, str(PCAPS / "demo.pcap"), check=True)
        lines = asyncio.run(picture(Path(folder))).splitlines()
    (ROOT / "docs" / "watch.svg").write_text("\n".join(line.rstrip() for line in lines) + "\n")
