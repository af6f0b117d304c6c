"""Source in a notebook: the code as it is, named, without a path."""

from __future__ import annotations

import ast

import pytest
from IPython.core.formatters import DisplayFormatter

from labkit.course import source
from labkit.course.selftest import Question, SelfTest
from labkit.course.shown import without_addresses


class Sample:
    """A class.

    With a long docstring.
    """

    fence = "```"

    def one(self) -> int:
        """One."""
        return 1

    async def only_words(self) -> None:
        """Nothing else."""


def test_a_class_is_shown_with_its_name_and_without_a_path() -> None:
    shown = source(Question)
    assert repr(shown).startswith("# labkit.course.selftest.Question\nclass Question:")
    assert "/" not in shown.name and ".py" not in repr(shown)


def test_a_method_is_shown_from_the_left_edge() -> None:
    shown = source(SelfTest.answer)
    assert shown.name == "labkit.course.selftest.SelfTest.answer"
    assert shown.code.startswith("def answer(")


def test_a_notebook_colours_it_as_markdown() -> None:
    data, _ = DisplayFormatter().format(source(without_addresses))
    assert data["text/markdown"].startswith(
        "```python\n# labkit.course.shown.without_addresses\ndef "
    )


def test_code_that_holds_a_fence_is_fenced_by_a_longer_one() -> None:
    assert source(Sample)._repr_markdown_().startswith("````python\n")


def test_docstrings_can_be_left_out_and_the_code_stays_the_same() -> None:
    shown = source(Sample, docstrings=False).code
    assert "With a long" not in shown and '"""One."""' not in shown
    assert "Nothing else." in shown  # it is the whole body
    ast.parse(shown)
    assert shown.startswith('class Sample:\n    fence = "```"')


def test_a_module_can_be_shown_too() -> None:
    from labkit.course import shown

    assert source(shown).name == "labkit.course.shown"


@pytest.mark.parametrize("thing", [3, len, "text"])
def test_what_has_no_python_source_is_refused(thing: object) -> None:
    with pytest.raises(TypeError, match="source needs a class, function or module"):
        source(thing)
