"""Whether a change left what the sensor says as it was: alerts, sessions, segments, to the byte.

``python -m benchmarks.same keep FILE`` writes a digest of what each capture gives;
``python -m benchmarks.same hold FILE`` says which captures now give something else, and ends
with 1 if any does. ``make same BASE=<commit>`` does the first for a commit and the second here.

Captures: ``pcaps/``, and those of peers' test suites in ``../shared/captures`` where they are.
What is compared is standard output and the exit code of ``replay --json``, ``sessions`` and
``segments``, each capture with the settings beside it (``.toml``) if there are any.
"""

import contextlib
import hashlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sensor.cli import main as port25

_ROOT = Path(__file__).parents[1]
_FOLDERS = (_ROOT / "pcaps", _ROOT.parent / "shared/captures", _ROOT.parent / "shared/inputs")
_CAPTURES = (".pcap", ".pcapng", ".cap", ".gz", ".zst")
_VERBS = {
    "alerts": ["replay", "--json", "--quiet"],
    "sessions": ["sessions"],
    "segments": ["segments"],
}


def _captures() -> Iterator[tuple[str, Path]]:
    for folder in _FOLDERS:
        for path in sorted(folder.rglob("*")):
            if path.suffix in _CAPTURES:
                yield f"{folder.name}/{path.relative_to(folder)}", path


def _digest(arguments: list[str]) -> str:
    """Exit code, lines and digest of what a verb writes on standard output."""
    with tempfile.TemporaryFile() as output:
        sys.stdout.flush()
        terminal = os.dup(1)
        os.dup2(output.fileno(), 1)
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                code = port25(arguments)
        finally:
            sys.stdout.flush()
            os.dup2(terminal, 1)
            os.close(terminal)
        output.seek(0)
        written = output.read()
    digest = hashlib.blake2b(written, digest_size=12).hexdigest()
    return f"exit {code}, {written.count(bytes([10])):,} lines, {digest}"


def digests() -> dict[str, str]:
    """What each capture gives by each verb."""
    found = {}
    for name, path in _captures():
        settings = path.with_suffix(".toml")
        for kind, verb in _VERBS.items():
            config = ["-c", str(settings)] if settings.exists() and kind != "segments" else []
            found[f"{name} {kind}"] = _digest([*verb, *config, str(path)])
    return found


def main(arguments: list[str]) -> int:
    """Keep or hold; the exit code."""
    if len(arguments) != 2 or arguments[0] not in ("keep", "hold"):
        print(__doc__, file=sys.stderr)
        return 2
    verb, file = arguments[0], Path(arguments[1])
    now = digests()
    if verb == "keep":
        file.write_text(json.dumps(now, indent=1) + "\n")
        print(f"{len(now):,} outputs kept in {file}")
        return 0
    before = json.loads(file.read_text())
    changed = [name for name in before if now.get(name) != before[name]]
    for name in changed:
        print(f"{name}: {before[name]} -> {now.get(name, 'nothing')}")
    print(f"{len(before) - len(changed):,} of {len(before):,} outputs are the same")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
