"""Write the pages that differ from what they should be."""

from __future__ import annotations

import sys
from pathlib import Path

from docs.generator.pages import pages

DOCS = Path(__file__).parents[1]


def main() -> None:
    """Write each page; say which ones changed."""
    for name, text in pages().items():
        path = DOCS / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote {path.relative_to(DOCS.parent)}\n")


if __name__ == "__main__":
    main()
