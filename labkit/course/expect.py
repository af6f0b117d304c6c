"""Show an error that a lesson expects. A cell tag that allows an exception would stay green without
one; this does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from labkit.course.reader import describe


@dataclass
class Caught:
    """Holds the expected error once it has come."""

    error: BaseException | None = None

    def __repr__(self) -> str:
        return (
            "<nothing caught yet>"
            if self.error is None
            else f"<caught {type(self.error).__name__}>"
        )


@contextmanager
def expect_error(*types: type[BaseException]) -> Iterator[Caught]:
    """Print type and message of the error that the block raises, when it is one of `types`.

    Raises AssertionError when none comes, or another one.
    """
    if not types or not all(
        isinstance(kind, type) and issubclass(kind, BaseException) for kind in types
    ):
        raise TypeError(f"expect_error needs one or more types of exception, got {types!r}")
    wanted = " or ".join(kind.__name__ for kind in types)
    caught = Caught()
    try:
        yield caught
    except types as error:
        caught.error = error
        print(describe(error))
    except Exception as error:
        raise AssertionError(f"expected {wanted}, got {describe(error)}") from error
    else:
        raise AssertionError(f"expected {wanted}, and no error came")
