"""What a drawing function returns: a picture that a notebook shows, and the same data as a table.

A notebook gets the picture three times. An HTML `<img>` comes first: JupyterLab shows it in a
notebook that is not trusted yet, as every lesson of a fresh clone is, with its alternative text,
and scales it to the page. The SVG itself is for viewers that prefer it, and the text for those that
show no pictures, for diffs and for nbval.

Guarantees: the same data gives the same SVG bytes in every process (ids from a fixed salt, no date,
no version), with the pinned matplotlib; text stays text, in a stack of system fonts, so it is
sharp at every size. Every SVG has role="img", a title and a description. A figure of *measured*
times is a PNG, and its text names no number, because another machine measures other ones and nbval
compares text. Leaves out: interaction, and colours that follow the page's theme (an `<img>` cannot
know it, so every figure stands on a background of its own). A reader who wants the numbers prints
the figure.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections import Counter
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure as Sheet

from labkit.course.figures._style import PIXELS_PER_INCH, WIDTH, styled
from labkit.course.shown import Shown

_SANS = (
    "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', "
    "sans-serif"
)
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
            png = base64.b64encode(self.png()).decode()
            text = f"{self.title}\n(measured on this machine; print(figure) shows the numbers)"
            data = {"text/html": self._img("image/png", png), "image/png": png, "text/plain": text}
            return data, {"image/png": {"width": WIDTH}}
        svg = base64.b64encode(self.svg.encode()).decode()
        return {
            "text/html": self._img("image/svg+xml", svg),
            "image/svg+xml": self.svg,
            "text/plain": str(self),
        }, {}

    def _img(self, kind: str, encoded: str) -> str:
        width = f' width="{WIDTH}"' if kind == "image/png" else ""  # it has two pixels for each one
        return (
            f'<img alt="{escape(self.alt)}"{width} style="max-width:100%;height:auto" '
            f'src="data:{kind};base64,{encoded}">'
        )

    def __str__(self) -> str:
        return f"{self.title}\n{self.data}"

    def __repr__(self) -> str:
        return f"<Figure {self.title!r}>"


def finished(sheet: Sheet, *, title: str, alt: str, data: str, measured: bool = False) -> Figure:
    """The figure of a card that is drawn. Call inside `styled()`."""
    svg = io.StringIO()
    sheet.savefig(svg, format="svg", metadata=_NO_STAMP, transparent=True)
    return Figure(
        title, alt, data, _small(_accessible(svg.getvalue(), title, alt)), sheet, measured
    )


def _accessible(svg: str, title: str, alt: str) -> str:
    name = hashlib.sha256(f"{title}\n{alt}".encode()).hexdigest()[:8]
    svg = svg[svg.index("<svg ") :]
    svg = re.sub(r" ?font-family: [^;\"]*;", "", svg)
    svg = svg.replace("</style>", f" text{{font-family: {_SANS}}}</style>", 1)
    label = f'<svg role="img" aria-labelledby="t{name} d{name}" '
    words = f'<title id="t{name}">{escape(title)}</title>\n <desc id="d{name}">{escape(alt)}</desc>'
    return re.sub(r"<svg ([^>]*)>", lambda match: f"{label}{match[1]}>\n {words}", svg, count=1)


def _small(svg: str) -> str:
    """The same picture in about half the bytes: two decimals, a class for every look that recurs,
    no ids that nobody refers to, no groups that say nothing; one element a line.
    """
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.S)
    used = set(re.findall(r"url\(#([^)]+)\)|href=\"#([^\"]+)\"", svg))
    kept = {name for pair in used for name in pair if name}
    open_groups: list[bool] = []
    parts = []
    for part in re.split(r"(<[^>]+>)", svg):
        if not part.startswith("<"):
            parts.append(part.strip("\n") if part.strip() else "")
            continue
        tag = _small_tag(part, kept)
        if tag == "</g>":
            tag = tag if open_groups.pop() else ""
        elif re.match(r"<g[ /]*/>", tag):
            tag = ""
        elif re.match(r"<g[ >]", tag):
            open_groups.append(tag != "<g>")
            tag = tag if open_groups[-1] else ""
        ends = tag.startswith("</") or tag.endswith("/>")
        parts.append(tag + "\n" if ends else tag)
    return _with_classes("".join(parts))


def _with_classes(svg: str) -> str:
    """Looks that recur are said once. The names of the classes are the figure's own, so that two
    figures in one page do not meet.
    """
    look = re.compile(r'(?: clip-path="([^"]+)")?(?: style="([^"]+)")')
    counts = Counter(look.findall(svg))
    prefix = "c" + hashlib.sha256(svg.encode()).hexdigest()[:5]
    names: dict[tuple[str, str], tuple[str, str]] = {}
    for clip, style in (pair for pair, count in counts.items() if count > 1):
        names[clip, style] = (
            f"{prefix}{len(names)}",
            f"{style};clip-path:{clip}" if clip else style,
        )

    def shorter(found: re.Match[str]) -> str:
        known = names.get((found[1] or "", found[2]))
        return f' class="{known[0]}"' if known else found[0]

    rules = "".join(f".{name}{{{rule}}}" for name, rule in names.values())
    return look.sub(shorter, svg).replace("</style>", f"{rules}</style>", 1)


def _small_tag(tag: str, kept: set[str]) -> str:
    tag = " ".join(tag.split())
    name = re.search(r' id="([^"]+)"', tag)
    if name and tag.startswith(("<g", "<use")) and name[1] not in kept:
        tag = tag.replace(name[0], "")
    tag = re.sub(r"-?\d+\.\d+", lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), tag)
    tag = re.sub(r"([MLQCz]) | (?=[MLQCz][ \d-])", lambda found: found[1] or "", tag)
    return re.sub(r"([;:]) ", r"\1", tag)
