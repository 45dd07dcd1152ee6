"""The pages for a site, in build/site/pages: as they stand in the tree, with what they lead to.

A link to a folder becomes its name: a site has no page of it. `python deploy/site/gather.py`.
"""

import re
import shutil
from pathlib import Path

__all__ = ["anchor", "main"]

ROOT = Path(__file__).parents[2]
OUT = ROOT / "build" / "site" / "pages"
PAGES = ("README.md", "README.ja.md", "CONTRIBUTING.md", "CHANGELOG.md", "deploy/README.md")
_LINK = re.compile(r"\[([^\]]*)\]\(((?!https?:)[^)#]+)(#[^)]*)?\)")


def anchor(text: str, separator: str) -> str:
    """Of a heading, as the forges make it, and the links of the pages expect."""
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", separator)


def main() -> None:
    """Gather them."""
    shutil.rmtree(OUT, ignore_errors=True)
    pages = [ROOT / name for name in PAGES] + sorted((ROOT / "docs").glob("*.md"))
    for page in pages:

        def followed(found: re.Match[str], page: Path = page) -> str:
            there = (page.parent / found[2]).resolve()
            if there.is_dir():
                return found[1]
            if there.is_file() and there not in pages:
                _copy(there)
            return found[0]

        text = _LINK.sub(followed, page.read_text())
        copy = OUT / page.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text)


def _copy(path: Path) -> None:
    copy = OUT / path.relative_to(ROOT)
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, copy)


if __name__ == "__main__":
    main()
