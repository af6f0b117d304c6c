"""Labels that do not collide: each is put at the first of its candidate places that is free."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from labkit.course.figures.style import text_width

Spot = tuple[float, float, str]
"""A place for a label: x, the middle line y, and which part of the text is at x ("left", "center",
"right").
"""


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Whether the two share any area."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


@dataclass
class Places:
    """The space inside `bounds`, and what of it is taken."""

    bounds: Box
    taken: list[Box] = field(default_factory=list)

    def take(self, box: Box) -> None:
        """Reserve a rectangle, free or not."""
        self.taken.append(box)

    def put(
        self, text: str, size: float, spots: Iterable[Spot], bold: bool = False
    ) -> tuple[float, float] | None:
        """The left edge and the middle line of `text` at the first free spot, or None."""
        width, height = text_width(text, size, bold), size * 1.55
        for x, y, align in spots:
            left = x - {"left": 0.0, "center": width / 2, "right": width}[align]
            box = Box(left - 2, y - height / 2, left + width + 2, y + height / 2)
            inside = self.bounds.left <= box.left and box.right <= self.bounds.right
            inside = inside and self.bounds.top <= box.top and box.bottom <= self.bounds.bottom
            if inside and not any(box.meets(other) for other in self.taken):
                self.taken.append(box)
                return left, y
        return None
