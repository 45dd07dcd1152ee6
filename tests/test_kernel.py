"""What the compile cache depends on."""

import ast
from pathlib import Path

from sensor import kernel

_ROOT = Path(kernel.__file__).parents[1]


def _module(source: Path) -> str:
    parts = source.relative_to(_ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_nothing_a_kernel_can_call_is_left_out_of_the_digest():
    counted = {_module(source): source for source in kernel.sources()}
    left_out = {
        _module(source)
        for folder in ("sensor", "detectors")
        for source in (_ROOT / folder).rglob("*.py")
    } - counted.keys()
    assert "sensor.commands.replay" in left_out
    reached = set()
    for source in counted.values():
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                reached |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
            elif isinstance(node, ast.Import):
                reached |= {name.name for name in node.names}
    assert "sensor.hosts.table" in reached
    assert not reached & left_out
