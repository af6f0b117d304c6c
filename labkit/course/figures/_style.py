"""The one look of every figure: a soft opaque card, a finding as title, colours that survive colour
blindness.

Guarantees: text sits on the figure's own card, so it reads the same on JupyterLab's light and dark
themes, with a contrast of at least 4.5 : 1 in every colour of the palette. That is Okabe and Ito's
blue, vermillion, green and purple, darkened for this contrast, then brown and charcoal; Tol's
vibrant red is kept for danger. A series has a marker and a dash of its own besides its colour, and
a service has one colour throughout the course. Nothing of pyplot's global state is touched. Leaves
out: themes and sizes to choose from. Every figure is 9 inches wide, so that a page of them is calm.
Follows: Okabe and Ito, "Color Universal Design"
(2008); Tol, "Colour schemes" (SRON technical note, 2021)."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch
from matplotlib.textpath import TextToPath

PIXELS_PER_INCH = 96
WIDTH = 9 * PIXELS_PER_INCH

CARD = "#fbfaf6"
CARD_EDGE = "#d8d6cd"
INK = "#1d2733"
MUTED = "#5c6773"
FAINT = "#9aa3ab"
GRID = "#e4e2d9"
DANGER = "#cc3311"
PALETTE = ("#0a5fb0", "#b84a00", "#1a7f4e", "#b83c8c", "#6b3400", "#4a4f57")
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES: tuple[Any, ...] = (
    "solid",
    (0, (6, 2)),
    (0, (2, 1.6)),
    (0, (7, 2, 1.5, 2)),
    (0, (9, 3)),
    (0, (1, 1.4)),
)
_BLUE, _VERMILLION, _GREEN, _PURPLE, _BROWN, _GREY = PALETTE
SERVICES = {
    "orders": _BLUE,
    "payments": _GREEN,
    "warehouse": _VERMILLION,
    "inventory": _VERMILLION,
    "shipping": _PURPLE,
    "orchestrator": _BROWN,
    "gateway": _BROWN,
    "relay": _BROWN,
    "redis": _GREY,
    "database": _GREY,
    "stock": _GREY,
    "broker": _GREY,
    "a": _BLUE,
    "b": _VERMILLION,
    "c": _PURPLE,
    "east": _BLUE,
    "west": _VERMILLION,
}
"""One colour a service in every figure of the course; what stores or carries is grey."""

MARGIN = 22.0
TITLE_SIZE, SUBTITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 11.5, 8.6, 8.6, 7.6
_TITLE_STEP, _SUBTITLE_STEP = 20.0, 15.0

_RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": TEXT_SIZE,
    "text.color": INK,
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "labkit",
    "axes.facecolor": "none",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 3.5,
    "ytick.major.size": 0.0,
    "xtick.minor.size": 0.0,
    "ytick.minor.size": 0.0,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "lines.linewidth": 2.0,
    "lines.solid_capstyle": "round",
    "hatch.linewidth": 0.7,
    "figure.dpi": PIXELS_PER_INCH,
    "savefig.dpi": PIXELS_PER_INCH,
}


@contextmanager
def styled() -> Iterator[None]:
    """matplotlib with this style and nothing of the reader's own settings, for as long as the block
    runs.
    """
    with matplotlib.rc_context(), _no_word_about_glyphs():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)  # type: ignore[arg-type]  # its keys are listed
        yield


@contextmanager
def _no_word_about_glyphs() -> Iterator[None]:
    """A letter that the bundled font lacks is drawn by the browser's own."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


@lru_cache(maxsize=4096)
def text_width(text: str, size: float, bold: bool = False) -> float:
    """The width of one line in pixels, in the bundled font: an upper bound for the narrower fonts a
    browser may choose.
    """
    font = FontProperties(family="DejaVu Sans", size=size, weight="bold" if bold else "normal")
    with _no_word_about_glyphs():
        width, _, _ = TextToPath().get_text_width_height_descent(text, font, ismath=False)
    return float(width) * PIXELS_PER_INCH / 72


def wrapped(text: str, size: float, room: float, bold: bool = False) -> list[str]:
    """`text` in lines that each fit into `room` pixels."""
    lines = [text]
    columns = max(len(text), 1)
    while columns > 12 and any(text_width(line, size, bold) > room for line in lines):
        columns -= 1
        lines = textwrap.wrap(text, columns, break_long_words=False) or [""]
    return lines


def header_height(title: str, subtitle: str | None) -> float:
    """Pixels from the top edge to where the drawing may begin."""
    room = WIDTH - 2 * MARGIN
    height = 14 + _TITLE_STEP * len(wrapped(title, TITLE_SIZE, room, bold=True))
    if subtitle:
        height += _SUBTITLE_STEP * len(wrapped(subtitle, SUBTITLE_SIZE, room)) + 2
    return height + 8


def card(title: str, subtitle: str | None, height: float) -> Sheet:
    """An empty card of `height` pixels with its title, aligned left. Call inside `styled()`."""
    sheet = Sheet(figsize=(WIDTH / PIXELS_PER_INCH, height / PIXELS_PER_INCH))
    sheet.patch.set_visible(False)
    rounding = f"round,pad=0,rounding_size={9 / WIDTH:.6f}"
    sheet.add_artist(
        FancyBboxPatch(
            (1 / WIDTH, 1 / height),
            1 - 2 / WIDTH,
            1 - 2 / height,
            boxstyle=rounding,
            mutation_aspect=WIDTH / height,
            transform=sheet.transFigure,
            facecolor=CARD,
            edgecolor=CARD_EDGE,
            linewidth=0.8,
            zorder=-10,
        )
    )
    room, y = WIDTH - 2 * MARGIN, 14.0
    for line in wrapped(title, TITLE_SIZE, room, bold=True):
        y += _TITLE_STEP
        sheet.text(
            MARGIN / WIDTH,
            1 - (y - 5) / height,
            line,
            fontsize=TITLE_SIZE,
            fontweight="bold",
            color=INK,
        )
    for line in wrapped(subtitle, SUBTITLE_SIZE, room) if subtitle else []:
        y += _SUBTITLE_STEP
        sheet.text(MARGIN / WIDTH, 1 - (y - 2) / height, line, fontsize=SUBTITLE_SIZE, color=MUTED)
    return sheet


def axes_on(
    sheet: Sheet, height: float, *, left: float, right: float, top: float, bottom: float
) -> Axes:
    """Axes whose four edges are that many pixels inside the card."""
    return sheet.add_axes(
        (
            left / WIDTH,
            bottom / height,
            (WIDTH - left - right) / WIDTH,
            (height - top - bottom) / height,
        )
    )


def pixel_axes(sheet: Sheet, height: float) -> Axes:
    """Axes over the whole card whose units are pixels, y downwards: for drawings that do their own
    layout.
    """
    axes = sheet.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(height, 0)
    axes.axis("off")
    return axes


def colour(index: int) -> str:
    """The colour of the series with this index; six of them can be told apart."""
    return PALETTE[index % len(PALETTE)]


def service_colours(names: Iterable[str]) -> dict[str, str]:
    """The colours of services: those of `SERVICES`, and for other names the ones that are left."""
    known = list(dict.fromkeys(names))
    found = {name: SERVICES[name] for name in known if name in SERVICES}
    left = [ink for ink in PALETTE if ink not in found.values()] or list(PALETTE)
    others = [name for name in known if name not in found]
    found |= {name: left[i % len(left)] for i, name in enumerate(others)}
    return {name: found[name] for name in known}
