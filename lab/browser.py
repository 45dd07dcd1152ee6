"""Chromium, headless, and what it complains of."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from lab import ROOT

SCREENS = ROOT / "build" / "screens"
"""Pictures of the last run, to be looked at."""
PATIENCE = 200_000
"""Milliseconds for anything on a page: a busy machine is waited for."""
expect.set_options(timeout=PATIENCE)
_LATE = """
const soon = window.setTimeout;
window.requestAnimationFrame = (does) => soon(does, 300);
window.setTimeout = (does, ms, ...rest) => soon(does, ms === 100 ? 300 : ms, ...rest);
"""
"""A page's effects (Preact's, which wait for a frame or 100 ms) come late."""
SIZES = {"wide": (1440, 900), "narrow": (390, 844)}


class Browser:
    """One window; ``complaints`` are errors on its console, pages that broke, dialogs."""

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.base = base
        self.complaints: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda m: self._complain(m.type, m.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))

    def _complain(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(f"{kind}: {text}")

    def go(self, path: str) -> Page:
        """Load a page of the server."""
        self.page.goto(self.base + path)
        self.page.wait_for_selector("h1")
        return self.page

    def keep(self, name: str) -> Path:
        """A picture of the whole page."""
        SCREENS.mkdir(parents=True, exist_ok=True)
        path = SCREENS / f"{name}.png"
        self.page.screenshot(path=path, full_page=True, animations="disabled")
        return path


@contextlib.contextmanager
def browsing(
    printed: str,
    size: str = "wide",
    scheme: str = "light",
    any_certificate: bool = False,
    busy: bool = False,
) -> Iterator[Browser]:
    """Open what the server printed."""
    width, height = SIZES[size]
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"], timeout=PATIENCE
        )
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]
            locale="en-GB",
            ignore_https_errors=any_certificate,
        )
        if busy:
            context.add_init_script(_LATE)
        browser = Browser(context.new_page(), printed.split("?")[0].rstrip("/"))
        browser.page.goto(printed)
        yield browser
        chromium.close()
