"""What the compile cache depends on."""

import ast
from pathlib import Path

from sensor.base import kernel

_ROOT = Path(kernel.__file__).parents[2]


def _imported(source: Path) -> set[Path]:
    """The files of this project that a file imports from."""
    names = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
        elif isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
    places = [_ROOT / name.replace(".", "/") for name in names]
    files = [(place.with_suffix(".py"), place / "__init__.py") for place in places]
    return {file for both in files for file in both if file.exists()}


def test_nothing_a_kernel_can_call_is_left_out_of_the_digest():
    everything = [s for f in ("sensor", "detectors") for s in (_ROOT / f).rglob("*.py")]
    marks = ("\n@kernel", "\n@inner", "\n@routine")
    kernels = {s for s in everything if any(mark in s.read_text() for mark in marks)}
    found, seen = list(kernels), set(kernels)
    while found:
        for file in _imported(found.pop()) - seen:
            seen.add(file)
            found.append(file)
    assert _ROOT / "sensor" / "tracking" / "loop.py" in kernels
    assert _ROOT / "sensor" / "hosts" / "evidence.py" in seen
    assert seen <= set(kernel.sources())
    assert _ROOT / "sensor" / "commands" / "replay.py" not in kernel.sources()
