"""The picture in the README is the lesson's: `python tools/picture.py` takes it from the notebook's
stored output.
"""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LESSON = ROOT / "notebooks" / "1_1a_locks.ipynb"
PICTURE = ROOT / "data" / "one_stove_sold_twice.svg"


def first_figure(notebook: Path) -> str:
    """The first SVG among the stored outputs of a notebook."""
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            if svg := output.get("data", {}).get("image/svg+xml"):
                return "".join(svg)
    raise SystemExit(f"{notebook.name} has no stored figure")


if __name__ == "__main__":
    PICTURE.write_text(first_figure(LESSON), encoding="utf-8")
