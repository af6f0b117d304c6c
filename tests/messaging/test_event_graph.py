"""The event graph: what it says of good registrations and of broken ones, against an enumeration of
every choice.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.messaging import Edge, EventGraph, Service
from tests.support.depth import examples

A, B, C, D = (type(name, (), {}) for name in "ABCD")


async def react(connection: Any, event: Any, envelope: Any) -> Iterable[Any]:
    return ()


def services(
    starts: Sequence[type], reactions: Sequence[tuple[str, type, tuple[type, ...], str | None]]
) -> list[Service]:
    made = {"start": Service("start")}
    made["start"].says(*starts)
    for name, heard, said, ends in reactions:
        made.setdefault(name, Service(name)).on(heard, emits=said, ends=ends)(react)
    return list(made.values())


def problems(
    starts: Sequence[type], *reactions: tuple[str, type, tuple[type, ...], str | None]
) -> list[str]:
    return EventGraph.of(services(starts, reactions)).problems()


def test_a_complete_set_of_registrations_has_no_problems() -> None:
    assert problems([A], ("x", A, (B, C), None), ("y", B, (), "done"), ("z", C, (), "failed")) == []


BROKEN: dict[str, tuple[list[str], list[str]]] = {
    "nobody hears what is said": (
        problems([A], ("x", A, (B, C), None), ("y", B, (), "done")),
        ["nobody hears C, said by x", "no end is sure after A"],
    ),
    "nobody says what is waited for": (
        problems([A], ("x", A, (), "done"), ("y", D, (), "failed")),
        ["nobody says D, which y waits for"],
    ),
    "an event leads to itself": (
        problems([A], ("x", A, (B,), None), ("y", B, (C,), None), ("z", C, (A,), None)),
        ["a cycle: A → B → C → A", "no end is sure after A"],
    ),
    "an event leads to itself, or to an end": (
        problems([A], ("x", A, (B, C), None), ("y", B, (A,), None), ("z", C, (), "done")),
        ["a cycle: A → B → A", "no end is sure after A"],
    ),
    "an event answers itself": (
        problems([A], ("x", A, (A,), None)),
        ["a cycle: A → A", "no end is sure after A"],
    ),
    "a reaction that ends nothing": (
        problems([A], ("x", A, (), None)),
        ["no end is sure after A"],
    ),
    "one of two answers leads nowhere": (
        problems([A], ("x", A, (B, C), None), ("y", B, (), "done"), ("z", C, (), None)),
        ["no end is sure after A"],
    ),
}


@pytest.mark.parametrize(("found", "expected"), BROKEN.values(), ids=BROKEN)
def test_a_broken_set_of_registrations_is_told_what_is_wrong(
    found: list[str], expected: list[str]
) -> None:
    assert found == expected


def test_the_document_s_choreography_is_told_what_it_lacks() -> None:
    """Bug C4 of the sketch: it never learns of the stock that is not there, and nobody ships."""
    created, paid, declined, reserved, out, refunded = (
        type(name, (), {})
        for name in (
            "OrderCreated",
            "PaymentProcessed",
            "PaymentFailed",
            "InventoryReserved",
            "ReservationFailed",
            "PaymentRefunded",
        )
    )
    sketch = services(
        [created],
        [
            ("payments", created, (paid, declined), None),
            ("orders", paid, (), None),
            ("orders", declined, (), "cancelled"),
            ("inventory", paid, (reserved, out), None),
            ("payments", out, (refunded,), None),
        ],
    )
    assert EventGraph.of(sketch).problems() == [
        "nobody hears InventoryReserved, said by inventory",
        "nobody hears PaymentRefunded, said by payments",
        "no end is sure after OrderCreated",
    ]


def test_one_service_that_is_sure_to_end_it_is_enough_and_a_start_may_be_the_end() -> None:
    assert (
        problems(
            [A], ("x", A, (B,), None), ("y", A, (), None), ("z", B, (), "done"), ("w", B, (), None)
        )
        == []
    )
    over = Service("orders")
    over.says(A, ends="cancelled")
    listens = Service("x")
    listens.on(A)(react)
    assert EventGraph.of([over, listens]).problems() == []


def test_who_says_what_and_who_hears_it() -> None:
    graph = EventGraph.of(
        services([A], [("x", A, (B, C), None), ("y", A, (B,), None), ("y", B, (), "done")])
    )
    assert graph.edges == (
        Edge("", "start", "A"),
        Edge("A", "x", "B"),
        Edge("A", "x", "C"),
        Edge("A", "y", "B"),
        Edge("B", "y", "", "done"),
    )
    assert (graph.consumers("A"), graph.producers("B"), graph.consumers("C")) == (
        ("x", "y"),
        ("x", "y"),
        (),
    )
    assert (graph.services, graph.starts, graph.endings) == (
        ("start", "x", "y"),
        ("A",),
        frozenset({"done"}),
    )
    assert graph.table().splitlines() == [
        "event  said by  heard by  which may say  and ends",
        "A      start    x         B | C",
        "A      start    y         B",
        "B      x, y     y                        done",
        "C      x        nobody",
    ]
    assert repr(graph) == "<EventGraph, 3 events, 3 services>"


def test_two_services_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two services are named 'x'"):
        EventGraph.of([Service("x"), Service("x")])


Reactions = Mapping[tuple[str, str], tuple[tuple[str, ...], bool]]
names = st.sampled_from("ABCD")
reactions = st.dictionaries(
    st.tuples(st.sampled_from("xyz"), names),
    st.tuples(st.lists(names, max_size=2, unique=True).map(tuple), st.booleans()),
    max_size=6,
)


def ends_whatever_is_chosen(start: str, table: Reactions) -> bool:
    """The oracle: play every choice of answers; in each, say everything that is said until nothing
    new is, and look for an end.

    A choice that goes round in a circle for ever says nothing new at some point, and has then ended
    or has not."""
    choosers = [key for key, (said, _) in table.items() if said]
    for choice in itertools.product(*(table[key][0] for key in choosers)):
        chosen = dict(zip(choosers, choice, strict=True))
        heard, todo, ended = set(), [start], False
        while todo:
            event = todo.pop()
            if event in heard:
                continue
            heard.add(event)
            for (service, to), (_, ends) in table.items():
                if to == event:
                    ended |= ends
                    todo += [chosen[service, to]] if (service, to) in chosen else []
        if not ended:
            return False
    return True


@examples("cheap")
@given(reactions)
def test_an_end_is_sure_when_every_choice_of_answers_leads_to_one(table: Reactions) -> None:
    types = dict(zip("ABCD", (A, B, C, D), strict=True))
    rows = [
        (service, types[to], tuple(types[name] for name in said), "done" if ends else None)
        for (service, to), (said, ends) in table.items()
    ]
    graph = EventGraph.of(services([], rows))
    assert graph.sure_to_end() == {
        name for name in graph.heard if ends_whatever_is_chosen(name, table)
    }


@examples("cheap")
@given(st.lists(st.tuples(names, names), max_size=10, unique=True))
def test_cycles_are_all_closed_walks_without_repetition(pairs: list[tuple[str, str]]) -> None:
    types = dict(zip("ABCD", (A, B, C, D), strict=True))
    said: dict[str, list[str]] = {}
    for heard, answer in pairs:
        said.setdefault(heard, []).append(answer)
    graph = EventGraph.of(
        services(
            [],
            [
                ("x", types[heard], tuple(types[name] for name in some), None)
                for heard, some in said.items()
            ],
        )
    )
    expected = set()
    for length in range(1, 5):
        for path in itertools.permutations("ABCD", length):
            if path[0] == min(path) and all(
                (a, b) in pairs for a, b in zip(path, (*path[1:], path[0]), strict=True)
            ):
                expected.add(path)
    assert set(graph.cycles()) == expected and len(graph.cycles()) == len(expected)
