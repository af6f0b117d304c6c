"""Signatures in the reference show a default by its name."""

from __future__ import annotations

import pytest

from tools.website.markup import defaults_by_name


@pytest.mark.parametrize(
    ("signature", "shown"),
    [
        ("(observe: Observe = <function ignore>)", "(observe: Observe = ignore)"),
        ("(never: tuple = (<class 'labkit.base.errors.Refused'>,))", "(never: tuple = (Refused,))"),
        ("(data: Mapping = <factory>, at: int = 0)", "(data: Mapping = ..., at: int = 0)"),
        ("(pattern: str = '<b>')", "(pattern: str = '<b>')"),
    ],
)
def test_a_default_has_a_name(signature: str, shown: str) -> None:
    found, _ = defaults_by_name(None, "class", "x", None, None, signature, None)
    assert found == shown


def test_what_has_no_signature_stays_without() -> None:
    assert defaults_by_name(None, "data", "x", None, None, None, None) == (None, None)
