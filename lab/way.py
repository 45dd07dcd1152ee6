"""The picture of docs/architecture.md: a packet's way, and an alert's.

    python -m lab.way > docs/architecture.svg

Boxes are rooms of ``sensor/``, and ``detectors/``; frames are processes; arrows hand on.
"""

from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 1040, 560


class Box(NamedTuple):
    """A room, or something outside (with a ``room`` of None)."""

    x: int
    y: int
    width: int
    height: int
    room: str | None
    text: str


BOXES = {
    "mirror": Box(20, 60, 130, 64, None, "mirror port,|capture files"),
    "capture": Box(190, 60, 140, 64, "capture", "blocks of frames"),
    "decode": Box(370, 60, 140, 64, "decode", "frames to segments"),
    "tcp": Box(566, 60, 136, 64, "tcp", "connections,|streams"),
    "smtp": Box(738, 50, 136, 56, "smtp", "what was said"),
    "dns": Box(738, 124, 136, 56, "dns", "MX lookups, names"),
    "hosts": Box(738, 206, 136, 64, "hosts", "counts of a host,|in windows"),
    "detectors": Box(566, 206, 136, 64, "detectors", "counts to decibans"),
    "alerts": Box(370, 206, 140, 64, "alerts", "raise, close;|words for it"),
    "state": Box(190, 206, 140, 64, "state", "the journal,|on disk first"),
    "evidence": Box(190, 300, 140, 50, "evidence", "packets kept"),
    "printed": Box(20, 206, 130, 64, None, "JSON lines,|a table"),
    "sinks": Box(190, 430, 140, 64, "sinks", "Kafka, with|positions"),
    "blocking": Box(370, 430, 140, 64, "blocking", "policy, ledger:|decisions"),
    "kafka": Box(20, 430, 130, 64, None, "Apache Kafka"),
    "router": Box(570, 430, 130, 64, None, "port25 controller,|nftables, feeds"),
    "console": Box(740, 430, 130, 64, "console", "pages, API,|terminal"),
    "person": Box(900, 430, 120, 64, None, "the abuse desk"),
}
FRAMES = (
    (166, 8, 736, 364, "the sensor's process: port25 live, port25 replay"),
    (550, 34, 338, 256, "tracking: one compiled loop"),
    (166, 398, 364, 112, "delivery's process"),
    (720, 398, 170, 112, "port25 web, watch"),
)
ARROWS = (
    ("mirror", "capture", ""), ("capture", "decode", ""), ("decode", "tcp", ""),
    ("tcp", "smtp", ""), ("tcp", "dns", ""), ("dns", "hosts", ""), ("hosts", "detectors", ""),
    ("detectors", "alerts", "score"), ("alerts", "state", "alert"), ("state", "printed", ""),
    ("sinks", "kafka", ""), ("blocking", "router", ""), ("console", "person", ""),
)  # fmt: skip
PATHS = (
    ("M 215 270 C 150 300, 150 380, 230 428", "reads the journal", 40, 372),
    ("M 300 270 C 350 330, 400 370, 435 428", "", 0, 0),
    ("M 325 270 C 420 370, 640 370, 770 428", "reads the state folder", 590, 352),
    ("M 874 78 C 930 120, 930 200, 876 230", "", 0, 0),
    ("M 960 494 C 900 540, 560 540, 445 496", "release, exempt", 640, 548),
    ("M 262 124 C 245 150, 180 160, 178 200 C 176 260, 176 300, 188 322", "", 0, 0),
)
STYLE = """
text { font: 13px sans-serif; fill: #1d2733; text-anchor: middle }
.room { font-weight: bold; font-family: monospace; font-size: 14px }
.note { fill: #4a5a6a; font-size: 12px; text-anchor: start }
.box { fill: #e8f1fb; stroke: #2f6db0; stroke-width: 1.5 }
.out { fill: #f4f4f0; stroke: #8a8a80; stroke-width: 1.5 }
.frame { fill: none; stroke: #8496a8; stroke-dasharray: 6 4 }
.arrow { fill: none; stroke: #2b3a4a; stroke-width: 1.6; marker-end: url(#tip) }
"""


def box(one: Box) -> list[str]:
    """A rectangle with its lines of text in the middle."""
    kind = "box" if one.room else "out"
    lines = [("room", f"{one.room}/")] if one.room else []
    lines += [("", line) for line in one.text.split("|")]
    top = one.y + one.height / 2 - (len(lines) - 1) * 8.5 + 4.5
    out = [
        f'<rect class="{kind}" x="{one.x}" y="{one.y}" width="{one.width}" height="{one.height}"'
        ' rx="6"/>'
    ]
    for number, (name, line) in enumerate(lines):
        place = f'x="{one.x + one.width / 2:g}" y="{top + number * 17:g}"'
        out.append(f'<text class="{name}" {place}>{escape(line)}</text>')
    return out


def arrow(start: Box, end: Box, word: str) -> list[str]:
    """From the nearer side of one box to the nearer side of another."""
    middle = end.y + end.height / 2
    if start.x + start.width <= end.x:
        ends = start.x + start.width, start.y + start.height / 2, end.x - 3, middle
    elif end.x + end.width <= start.x:
        ends = start.x, start.y + start.height / 2, end.x + end.width + 3, middle
    else:
        x = start.x + start.width / 2
        ends = x, start.y + start.height, x, end.y - 3
    out = ['<path class="arrow" d="M {:g} {:g} L {:g} {:g}"/>'.format(*ends)]
    if word:
        place = f'x="{(ends[0] + ends[2]) / 2:g}" y="{(ends[1] + ends[3]) / 2 - 7:g}"'
        out.append(f"<text {place}>{escape(word)}</text>")
    return out


def picture() -> str:
    """The whole SVG."""
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        " aria-label=\"a packet's way and an alert's way through port25\">",
        f"<style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8"'
        ' markerHeight="8" orient="auto"><path d="M 0 0 L 8 4 L 0 8 z" fill="#2b3a4a"/></marker>'
        "</defs>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for x, y, width, height, text in FRAMES:
        out.append(
            f'<rect class="frame" x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>'
        )
        out.append(f'<text class="note" x="{x + 10}" y="{y + 16}">{escape(text)}</text>')
    for start, end, word in ARROWS:
        out += arrow(BOXES[start], BOXES[end], word)
    for path, text, x, y in PATHS:
        out.append(f'<path class="arrow" d="{path}"/>')
        if text:
            out.append(f'<text class="note" x="{x}" y="{y}">{escape(text)}</text>')
    for one in BOXES.values():
        out += box(one)
    return "\n".join([*out, "</svg>"])


if __name__ == "__main__":
    print(picture())
