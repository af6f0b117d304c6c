"""Envelopes: what is written is read again, and everything else is refused by name."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from labkit.messaging.envelope import MAX_BYTES, BadMessage, Catalog, Envelope
from tests.support.depth import examples


@dataclass(frozen=True)
class Item:
    sku: str
    quantity: Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Placed:
    order: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Paid:
    order: str
    cents: int


CATALOG = Catalog(Placed, Paid)
PAID = Envelope(
    "event-2", "payments", "order-1", 1, "event-1", "event-1", 12.5, Paid("order-1", 1200)
)
PLACED = Envelope(
    "event-1", "orders", "order-1", 1, "event-1", None, 12.0, Placed("order-1", (Item("tent", 2),))
)


def changed(**fields: Any) -> str:
    return json.dumps({**json.loads(CATALOG.encode(PAID)), **fields})


def refused(wire: str | bytes) -> BadMessage:
    with pytest.raises(BadMessage) as caught:
        CATALOG.decode(wire)
    return caught.value


@pytest.mark.parametrize("envelope", [PAID, PLACED])
def test_what_is_encoded_is_decoded_to_the_same(envelope: Envelope) -> None:
    assert CATALOG.decode(CATALOG.encode(envelope)) == envelope
    assert CATALOG.decode(CATALOG.encode(envelope).encode()) == envelope


def test_the_wire_is_one_json_object_that_any_language_reads() -> None:
    assert json.loads(CATALOG.encode(PLACED)) == {
        "id": "event-1",
        "type": "Placed",
        "source": "orders",
        "aggregate": "order-1",
        "sequence": 1,
        "correlation": "event-1",
        "causation": None,
        "at": 12.0,
        "data": {"order": "order-1", "items": [{"sku": "tent", "quantity": 2}]},
    }


NAMED = {
    "not JSON": ("nonsense", "message", "a JSON object in UTF-8"),
    "an unfinished object": ('{"id": "event-1"', "message", "a JSON object in UTF-8"),
    "a list": ("[1]", "message", "a JSON object"),
    "nothing": ("", "message", "a JSON object in UTF-8"),
    "not UTF-8": (b'{"type": "\xff"}', "message", "a JSON object in UTF-8"),
    "NaN": (changed(at=float("nan")), "message", "a JSON object in UTF-8"),
    "nested too deep": ("[" * 5_000, "message", "a JSON object in UTF-8"),
    "half a character": ('{"type": "Paid", "id": "\\ud800"}', "message", "a JSON object in UTF-8"),
    "an unknown type": (changed(type="Stolen"), "type", "one of Paid, Placed"),
    "a type that is no text": (changed(type=["Paid"]), "type", "one of Paid, Placed"),
    "no data": (changed(data=None), "data", "an object"),
    "a number as text": (
        changed(data={"order": "order-1", "cents": "1200"}),
        "data.cents",
        "a valid integer",
    ),
    "a fraction of a cent": (
        changed(data={"order": "order-1", "cents": 12.5}),
        "data.cents",
        "a valid integer",
    ),
    "a truth as a number": (
        changed(data={"order": "order-1", "cents": True}),
        "data.cents",
        "a valid integer",
    ),
    "a field too few": (changed(data={"order": "order-1"}), "data.cents", "valid (Field required)"),
    "a field too many": (
        changed(data={"order": "o", "cents": 1, "tip": 1}),
        "data.tip",
        "valid (Unexpected keyword argument)",
    ),
    "a header too many": (
        changed(priority=1),
        "priority",
        "valid (Extra inputs are not permitted)",
    ),
    "an id that is none": (changed(id="a b"), "id", "text that should match pattern"),
    "an id too long": (changed(id="x" * 65), "id", "text that should match pattern"),
    "a sequence from before the first": (
        changed(sequence=0),
        "sequence",
        "greater than or equal to 1",
    ),
    "a sequence as text": (changed(sequence="1"), "sequence", "a valid integer"),
    "a time that is none": (changed(at="noon"), "at", "a valid number"),
}


@pytest.mark.parametrize(("wire", "field", "allowed"), NAMED.values(), ids=NAMED)
def test_bad_wire_data_is_refused_with_field_value_and_what_is_allowed(
    wire: str | bytes, field: str, allowed: str
) -> None:
    error = refused(wire)
    assert error.field == field
    assert error.allowed.startswith(allowed), error.allowed
    assert error.value and len(error.value) <= 80 and error.value in str(error)


def test_the_bounds_inside_a_list_of_an_event_are_kept_too() -> None:
    wire = CATALOG.encode(PLACED).replace('"quantity":2', '"quantity":0')
    assert str(refused(wire)) == "data.items.0.quantity must be greater than or equal to 1, got 0"


def test_what_is_too_long_is_refused_before_it_is_read() -> None:
    assert (
        refused("[" * (MAX_BYTES + 1)).allowed
        == f"at most {MAX_BYTES} bytes, {MAX_BYTES + 1} are too many"
    )
    longest = replace(
        PAID, event=Paid("x" * (MAX_BYTES - len(CATALOG.encode(PAID)) + len("order-1")), 1200)
    )
    assert len(CATALOG.encode(longest)) == MAX_BYTES
    with pytest.raises(BadMessage, match="at most 65536 bytes"):
        CATALOG.encode(replace(longest, event=Paid(longest.event.order + "x", 1200)))


BAD_TO_SAY: dict[str, Envelope] = {
    "a wrong type": replace(PAID, event=Paid("order-1", 12.5)),  # type: ignore[arg-type]
    "a bound": replace(PLACED, event=Placed("order-1", (Item("tent", 0),))),
    "a lone surrogate": replace(PAID, event=Paid("\ud800", 1)),
    "an object": replace(PAID, event=Paid(object(), 1)),  # type: ignore[arg-type]
    "an aggregate that is no id": replace(PAID, aggregate="order 1"),
    "an infinite time": replace(PAID, at=float("inf")),
    "an event of another catalog": replace(PAID, event=Item("tent", 1)),
}


@pytest.mark.parametrize("envelope", BAD_TO_SAY.values(), ids=BAD_TO_SAY)
def test_nobody_can_say_what_nobody_could_read(envelope: Envelope) -> None:
    with pytest.raises(BadMessage):
        CATALOG.encode(envelope)


def test_a_catalog_takes_frozen_dataclasses_of_different_names_and_nothing_else() -> None:
    @dataclass
    class Loose:
        order: str

    other = type("Paid", (Paid,), {})
    for wrong in (Loose, dict, 3):
        with pytest.raises(TypeError, match="an event must be a frozen dataclass"):
            Catalog(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="two event types are named 'Paid'"):
        Catalog(Paid, other)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@examples("cheap")
@given(st.sampled_from(sorted(json.loads(CATALOG.encode(PAID)))), json_values)
def test_whatever_stands_in_a_field_is_read_as_it_is_or_refused(field: str, value: Any) -> None:
    wire = changed(**{field: value})
    try:
        envelope = CATALOG.decode(wire)
    except BadMessage as error:
        assert error.field.split(".")[0] in (field, "message")
    else:
        assert json.loads(CATALOG.encode(envelope)) == json.loads(wire)


@examples("cheap")
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_arbitrary_bytes_never_do_more_than_be_refused(wire: str | bytes) -> None:
    refused(wire)
