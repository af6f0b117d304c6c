"""What a drawing function returns: a picture that a notebook shows, and the same data as a table.

Guarantees: the same data gives the same SVG bytes in every process (ids from a fixed salt, no date,
no version), with the pinned matplotlib; text stays text, in a stack of system fonts, so it is crisp
and its diffs can be read. Every SVG carries role="img", a title and a description. A figure of
*measured* times is a PNG, and its text names no number, because the next machine measures others
and nbval compares text. Leaves out: interaction. A reader who wants the numbers prints the figure.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure as Sheet

from labkit.course.figures.style import PIXELS_PER_INCH, WIDTH, styled
from labkit.course.shown import Shown

_SANS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
_NO_STAMP = {"Date": None, "Creator": None, "Format": None, "Type": None}
_PNG_SCALE = 2


@dataclass(frozen=True, repr=False)
class Figure:
    """A finished figure. A notebook shows the picture; `print(figure)` shows its data,
    `figure.save(path)` keeps it.
    """

    title: str
    alt: str
    data: str
    svg: str = field(compare=False)
    sheet: Sheet = field(compare=False)
    measured: bool = False

    def table(self) -> Shown:
        """The figure's data as a text table."""
        return Shown(self.data)

    def png(self) -> bytes:
        """The picture in pixels, two for each of the SVG's."""
        out = io.BytesIO()
        with styled():
            self.sheet.savefig(
                out,
                format="png",
                dpi=_PNG_SCALE * PIXELS_PER_INCH,
                metadata={"Software": None},
                transparent=True,
            )
        return out.getvalue()

    def save(self, path: str | Path) -> None:
        """Write the picture to a `.svg` or `.png` file."""
        target = Path(path)
        if target.suffix == ".svg":
            target.write_text(self.svg, encoding="utf-8")
        elif target.suffix == ".png":
            target.write_bytes(self.png())
        else:
            raise ValueError(f"path must end in .svg or .png, got {target.name!r}")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        if self.measured:
            size = {"width": WIDTH}
            text = f"{self.title}\n(measured on this machine; print(figure) shows the numbers)"
            return {"image/png": base64.b64encode(self.png()).decode(), "text/plain": text}, {
                "image/png": size
            }
        return {"image/svg+xml": self.svg, "text/plain": f"{self.title}\n{self.data}"}, {}

    def __str__(self) -> str:
        return f"{self.title}\n{self.data}"

    def __repr__(self) -> str:
        return f"<Figure {self.title!r}>"


def finished(sheet: Sheet, *, title: str, alt: str, data: str, measured: bool = False) -> Figure:
    """The figure of a card that is drawn. Call inside `styled()`."""
    svg = io.StringIO()
    sheet.savefig(svg, format="svg", metadata=_NO_STAMP, transparent=True)
    return Figure(title, alt, data, _accessible(svg.getvalue(), title, alt), sheet, measured)


def _accessible(svg: str, title: str, alt: str) -> str:
    name = hashlib.sha256(f"{title}\n{alt}".encode()).hexdigest()[:8]
    svg = svg[svg.index("<svg ") :]
    svg = re.sub(r" ?font-family: [^;\"]*;", "", svg)
    svg = svg.replace("</style>", f" text{{font-family: {_SANS}}}</style>", 1)
    label = f'<svg role="img" aria-labelledby="t{name} d{name}" '
    words = f'<title id="t{name}">{escape(title)}</title>\n <desc id="d{name}">{escape(alt)}</desc>'
    return re.sub(r"<svg ([^>]*)>", lambda match: f"{label}{match[1]}>\n {words}", svg, count=1)
