"""An expected error is shown; its absence, or another one, is a failure."""

from __future__ import annotations

import pytest

from labkit.course import expect_error


def test_type_and_message_are_printed_and_the_error_is_at_hand(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with expect_error(KeyError, ValueError) as caught:
        raise ValueError(f"no {object()!r}")
    assert capsys.readouterr().out == "ValueError: no <object object at 0x…>\n"
    assert isinstance(caught.error, ValueError)
    assert repr(caught) == "<caught ValueError>"


def test_an_error_without_a_message_is_only_its_type(capsys: pytest.CaptureFixture[str]) -> None:
    with expect_error(TimeoutError):
        raise TimeoutError
    assert capsys.readouterr().out == "TimeoutError\n"


def test_no_error_is_a_failure() -> None:
    with (
        pytest.raises(AssertionError, match="expected KeyError or ValueError, and no error came"),
        expect_error(KeyError, ValueError),
    ):
        pass


def test_another_error_is_a_failure_that_names_it() -> None:
    with (
        pytest.raises(AssertionError, match="expected KeyError, got ValueError: other") as failure,
        expect_error(KeyError),
    ):
        raise ValueError("other")
    assert isinstance(failure.value.__cause__, ValueError)


def test_the_stop_button_passes_through() -> None:
    with pytest.raises(KeyboardInterrupt), expect_error(ValueError):
        raise KeyboardInterrupt


@pytest.mark.parametrize("types", [(), (3,), (int,)])
def test_what_is_no_type_of_exception_is_refused(types: tuple[type[BaseException], ...]) -> None:
    with pytest.raises(TypeError, match="types of exception"), expect_error(*types):
        pass
