"""The pictures in the README: ``port25 watch`` and ``port25 web`` themselves, after the demo.

python -m lab.picture
"""

import asyncio
import tempfile
from pathlib import Path

from lab import PCAPS, ROOT, port25
from lab.browser import browsing
from lab.web import serving
from sensor.console.terminal.app import Watch
from sensor.console.view import View


async def picture(state: Path) -> str:
    """An SVG of the screen."""
    app = Watch(View(state), "ann")
    async with app.run_test(size=(90, 24)) as pilot:
        await pilot.pause()
        await pilot.press("down", "enter")
        await pilot.pause()
        return app.export_screenshot()


def pages(state: Path) -> None:
    """The list, and the page of a bot."""
    with serving(state) as server, browsing(server.printed) as browser:
        page = browser.page
        page.set_viewport_size({"width": 1180, "height": 330})
        page.locator("tbody tr").nth(4).wait_for()
        page.locator(".strip[data-connected]").wait_for()
        page.screenshot(path=ROOT / "docs" / "web-alerts.png", animations="disabled")
        page.set_viewport_size({"width": 1180, "height": 760})
        page.get_by_role("link", name="203.0.113.20").click()
        page.locator("figure canvas").wait_for()
        page.mouse.move(0, 0)
        page.screenshot(path=ROOT / "docs" / "web-alert.png", animations="disabled")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        port25("replay", "-q", "--state", folder, str(PCAPS / "demo.pcap"), check=True)
        pages(Path(folder))
        lines = asyncio.run(picture(Path(folder))).splitlines()
    (ROOT / "docs" / "watch.svg").write_text("\n".join(line.rstrip() for line in lines) + "\n")
