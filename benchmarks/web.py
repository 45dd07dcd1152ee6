"""The page with 100,000 alerts in the journal, and with 200 who follow.

    python -m benchmarks.web [--alerts 100000] [--streams 200] [--page]    (Chromium)

The server is `port25 web` in a process of its own. First what the API needs for a page of the list,
then what a person waits for in Chromium: from asking for the page, and from the last key of a
search, to the rows drawn (the 100 ms for which the search waits for another key included). Then so
many connections follow the stream, and alerts are written to the journal one by one: how long until
the first and the last of them have each, and what the server costs meanwhile.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks.page import part
from benchmarks.processor import used
from lab.alerts import alert
from lab.browser import browsing
from lab.web import TOKENS, Server, serving, settings_for
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal

ROUNDS = 20
WRITTEN = 20
QUERIES = {
    "the first page": "",
    "the page in the middle": "after",
    "one severity": "severity=critical",
    "a search that 256 alerts fit": "text=10.0.7.",
    "a search that none fits": "text=nothing",
    "a search by a prefix that four fit": "text=10.0.7.8/30",
    "what nobody has seen to": "seen_to=false",
    "what somebody has seen to (none is)": "seen_to=true",
}


def _host(n: int) -> str:
    return f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}"


def fill(state: Path, count: int) -> None:
    """A journal of so many alerts; every second is closed, one in ten critical."""
    journal = Journal(StateFolder(state).journal)
    for first in range(0, count, 1000):
        journal.write(
            [
                alert(
                    _host(n), at=n, opened=n,
                    severity="critical" if n % 10 == 0 else "high",
                    state="closed" if n % 2 else "raised",
                )
                for n in range(first, min(first + 1000, count))
            ]
        )  # fmt: skip
    journal.close()


def timed(does: Callable[[int], object]) -> list[float]:
    """Milliseconds of each round, which is given its number."""
    took = []
    for round_ in range(ROUNDS):
        started = time.perf_counter()
        does(round_)
        took.append((time.perf_counter() - started) * 1e3)
    return sorted(took)


def _row(name: str, took: list[float]) -> None:
    print(f"| {name} | {statistics.median(took):.0f} ms | {took[-1]:.0f} ms |")


def asked(server: Server, count: int) -> None:
    """What the API needs."""
    print(f"\n**{count:,} alerts in the journal: the API, 100 alerts a page**\n")
    print("| | median | worst of 20 |\n| --- | ---: | ---: |")
    deep = server.get("/api/v1/alerts?limit=1000").json()["next"]
    for _ in range(count // 2000 - 1):
        deep = server.get(f"/api/v1/alerts?limit=1000&after={deep}").json()["next"]
    for name, query in QUERIES.items():
        path = "/api/v1/alerts?" + (f"after={deep}" if query == "after" else query)
        assert server.get(path).status_code == 200
        # No round asks as another did: the server keeps answers until something changes.
        _row(name, timed(lambda k, path=path: server.get(f"{path}&limit={100 - k}")))  # type: ignore[misc]


def seen(server: Server, count: int) -> None:
    """What a person waits for."""
    print(f"\n**{count:,} alerts in the journal: the page in Chromium, rows drawn**\n")
    print("| | median | worst of 20 |\n| --- | ---: | ---: |")
    with browsing(server.printed) as browser:
        page = browser.page
        rows = page.locator("tbody tr")
        rows.nth(99).wait_for()

        def first(_: int = 0) -> None:
            page.goto(f"{browser.base}/", wait_until="commit")
            rows.nth(99).wait_for()

        _row("the first page", timed(first))

        chrome = page.context.new_cdp_session(page)
        took = []
        for _ in range(ROUNDS):
            chrome.send("Network.clearBrowserCache")
            started = time.perf_counter()
            first()
            took.append((time.perf_counter() - started) * 1e3)
        _row("the first page, never opened before", sorted(took))
        box = page.get_by_role("searchbox")
        newest = _host(count - 1)

        def search(text: Callable[[int], str], fits: int) -> list[float]:
            took = []
            for k in range(ROUNDS):
                box.fill("")
                rows.nth(99).wait_for()
                page.locator("tbody a", has_text=newest).wait_for()
                started = time.perf_counter()
                box.fill(text(k))
                page.locator("tbody a", has_text=newest).wait_for(state="detached")
                if fits:
                    rows.nth(fits - 1).wait_for()
                took.append((time.perf_counter() - started) * 1e3)
            return sorted(took)

        _row("a search that one fits", search(lambda k: f"10.0.7.{200 + k}", 1))
        _row("a search that none fits", search(lambda k: f"nothing{k}", 0))
        box.fill("")
        select = page.locator("select[name=severity]")
        took = []
        for _ in range(ROUNDS):
            select.select_option("")
            page.locator("tbody .high").first.wait_for()
            started = time.perf_counter()
            select.select_option("critical")
            page.locator("tbody .high").first.wait_for(state="detached")
            took.append((time.perf_counter() - started) * 1e3)
        _row("one severity", sorted(took))


async def _follow(port: int, arrivals: dict[str, list[float]], ready: asyncio.Event) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "GET /api/v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer "
    writer.write(f"{head}{TOKENS['viewer']}\r\n\r\n".encode())
    async for line in reader:
        if line.startswith(b": port25"):
            ready.set()
        elif line.startswith(b'data: {"id"'):
            arrivals.setdefault(msgspec.json.decode(line[6:])["id"], []).append(time.perf_counter())


async def _told(port: int, state: Path, streams: int) -> list[tuple[float, float]]:
    arrivals: dict[str, list[float]] = {}
    ready = [asyncio.Event() for _ in range(streams)]
    tasks = [asyncio.create_task(_follow(port, arrivals, one)) for one in ready]
    await asyncio.gather(*(one.wait() for one in ready))
    await asyncio.sleep(1)
    journal = Journal(StateFolder(state).journal)
    found = []
    for k in range(WRITTEN):
        one = alert(f"198.51.100.{k}", at=10**6 + k, opened=10**6 + k)
        started = time.perf_counter()
        journal.write([one])
        while len(arrivals.get(one.id, ())) < streams:
            await asyncio.sleep(0.002)
        mine = arrivals[one.id]
        found.append(((min(mine) - started) * 1e3, (max(mine) - started) * 1e3))
        await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    return found


def _usage(pid: int) -> tuple[float, float]:
    """Seconds of processor and megabytes of memory a process has had."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return used([pid]), pages * 4096 / 1e6


def followed(server: Server, state: Path, streams: int) -> None:
    """What followers wait for, and what they cost."""
    port = int(server.base.rpartition(":")[2])
    before, started = _usage(server.pid), time.perf_counter()
    took = asyncio.run(_told(port, state, streams))
    elapsed, after = time.perf_counter() - started, _usage(server.pid)
    print(f"\n**{streams} follow the stream: from the journal's write to the follower**\n")
    print(f"| of {WRITTEN} alerts | median | worst |\n| --- | ---: | ---: |")
    for name, column in (("the first who has it", 0), ("the last who has it", 1)):
        _row(name, sorted(one[column] for one in took))
    print(
        f"\nThe server meanwhile: {(after[0] - before[0]) / elapsed:.0%} of a core,"
        f" {after[1]:.0f} MB (before: {before[1]:.0f} MB)."
    )


def main() -> None:
    """All tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alerts", type=int, default=100_000)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--page", action="store_true", help="into docs/performance.md")
    options = parser.parse_args()
    with part("web", options.page):
        tables(options)


def tables(options: argparse.Namespace) -> None:
    """The API, the stream, the page."""
    with tempfile.TemporaryDirectory() as made:
        state = Path(made) / "state"
        state.mkdir()
        fill(state, options.alerts)
        with serving(state, "-c", str(settings_for(Path(made)))) as server:
            asked(server, options.alerts)
            followed(server, state, options.streams)
        with serving(state) as server:
            seen(server, options.alerts)


if __name__ == "__main__":
    main()
