"""The event graph: columns by distance, no box on another, and nothing that is wrong with the
events left unsaid.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from itertools import combinations, pairwise, permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.course import Figure, FigureError, Handler, graph, handlers_of
from labkit.course.figures._graph import Table, heights
from labkit.messaging import EventGraph, Service
from labkit.shop.choreography import order_services
from labkit.shop.events import OrderPlaced, ParcelBooked, StockReserved
from tests.support.depth import examples

WORDS = {"title": "Who hears what & says <what> then", "alt": 'See "the table"'}
CHAIN = [
    Handler("Placed", "payments", ("Charged", "Declined"), "charge"),
    Handler("Charged", "shipping", ("Booked",), "book"),
    Handler("Declined", "orders", (), "cancel"),
    Handler("Booked", "orders", (), "complete"),
]
CIRCLE = [*CHAIN[:3], Handler("Booked", "orders", ("Placed",), "order again")]
EVENTS = tuple("ABCDEF")


@st.composite
def tables(draw: st.DrawFn) -> list[Handler]:
    event, service = st.sampled_from(EVENTS), st.sampled_from(("x", "y", "z"))
    emits = st.lists(event, max_size=2, unique=True).map(tuple)
    found = draw(st.lists(st.builds(Handler, event, service, emits), min_size=1, max_size=8))
    return list({(one.event, one.service): one for one in found}.values())


def all_paths(known: Table, start: str, end: str) -> list[int]:
    """The lengths of every way from start to end without a circle, by trying all orders of the
    events between.
    """
    between = [event for event in known.events if event not in (start, end)]
    chains = [
        (start, *middle, end)
        for size in range(len(between) + 1)
        for middle in permutations(between, size)
    ]
    steps = {(event, name) for event in known.events for name in known.after(event)}
    return [len(chain) - 1 for chain in chains if all(pair in steps for pair in pairwise(chain))]


@given(tables())
@examples("cheap")
def test_an_event_stands_as_far_to_the_right_as_the_shortest_way_to_it_is_long(
    table: list[Handler],
) -> None:
    known = Table(tuple(table), (table[0].event,))
    columns = known.columns()
    assert (
        set(columns) == set(known.events) and min(columns.values()) == 0 == columns[table[0].event]
    )
    for event in known.events:
        ways = all_paths(known, table[0].event, event) if event != table[0].event else [0]
        if ways:
            assert columns[event] == min(ways)


@given(tables(), st.integers(1, 4))
@examples("cheap")
def test_no_box_lies_on_another(table: list[Handler], gap: int) -> None:
    known = Table(tuple(table), (table[0].event,))
    columns = known.columns()
    size = {event: 20.0 + 10 * len(known.of(event)) for event in known.events}
    top = heights(known, columns, size, gap)
    assert min(top.values()) == 0
    for one, other in combinations(known.events, 2):
        if columns[one] == columns[other]:
            upper, lower = sorted((one, other), key=lambda event: top[event])
            assert top[upper] + size[upper] + gap <= top[lower] + 1e-6


def test_a_start_besides_the_first_stands_before_what_it_leads_to() -> None:
    known = Table((*CHAIN, Handler("TimedOut", "payments", ("Booked",))), ("Placed", "TimedOut"))
    assert known.columns() == {"Placed": 0, "Charged": 1, "Declined": 1, "Booked": 2, "TimedOut": 1}


def test_only_the_way_back_closes_a_circle() -> None:
    known = Table(tuple(CIRCLE), ("Placed",))
    back = [
        (one.event, emitted)
        for one in CIRCLE
        for emitted in one.emits
        if known.leads_back(one, emitted)
    ]
    assert back == [("Booked", "Placed")]


def rows(figure: Figure) -> list[list[str]]:
    return [re.split(r"\s{2,}", line) for line in figure.data.splitlines()[1:]]


def test_the_table_says_who_hears_an_event_and_what_may_follow() -> None:
    assert rows(graph(CHAIN, **WORDS)) == [
        ["Placed", "payments: charge", "Charged or Declined"],
        ["Charged", "shipping: book", "Booked"],
        ["Declined", "orders: cancel", "-"],
        ["Booked", "orders: complete", "-"],
    ]


def test_what_nobody_hears_and_what_nobody_says_and_a_way_back_are_named_in_table_and_picture() -> (
    None
):
    silent = graph([*CHAIN[:1], *CHAIN[2:]], **WORDS)
    assert ["Charged", "nobody hears it"] in rows(silent) and [
        "Booked (nobody says it)",
        "orders: complete",
        "-",
    ] in rows(silent)
    for words in ("nobody hears it", "nobody says it"):
        assert f">{words}</text>" in silent.svg
    round_again = graph(CIRCLE, **WORDS)
    assert ["Booked", "orders: order again", "Placed (a way back)"] in rows(round_again)
    assert (
        ">a way back</text>" in round_again.svg
        and ">a way back</text>" not in graph(CHAIN, **WORDS).svg
    )


def test_an_event_that_leads_to_itself_is_a_way_back() -> None:
    assert ["Ping", "echo", "Ping (a way back)"] in rows(
        graph([Handler("Ping", "echo", ("Ping",))], **WORDS)
    )


def test_a_start_that_comes_from_outside_is_not_something_that_nobody_says() -> None:
    late = [*CHAIN, Handler("TimedOut", "payments", ("Declined",))]
    assert "nobody says it" in graph(late, **WORDS).data
    assert "nobody says it" not in graph(late, starts=("Placed", "TimedOut"), **WORDS).data


def test_the_reactions_of_services_are_derived_from_what_they_register() -> None:
    warehouse = Service("warehouse")

    @warehouse.on(OrderPlaced, emits=(StockReserved,))
    async def set_aside(
        connection: object, event: OrderPlaced, envelope: object
    ) -> tuple[object, ...]:
        return ()

    assert handlers_of([warehouse]) == [
        Handler("OrderPlaced", "warehouse", ("StockReserved",), "set aside")
    ]


def test_the_order_of_labkit_has_the_same_gaps_by_this_graph_and_by_its_own() -> None:
    for missing in ("", "warehouse", "payments", "shipping", "orders"):
        services = [service for service in order_services(lambda: 0.0) if service.name != missing]
        known = EventGraph.of(services)
        starts = known.starts or ("OrderPlaced",)
        table = {
            row[0]: row
            for row in rows(graph(handlers_of(services), starts=starts, **WORDS))
            if row[0]
        }
        unheard = {
            name.split(" (")[0] for name, row in table.items() if row[1] == "nobody hears it"
        }
        unsaid = {name.split(" (")[0] for name in table if "nobody says it" in name}
        assert unheard == known.said - known.heard
        assert unsaid == known.heard - known.said - set(starts)


def test_every_box_and_every_word_is_inside_the_card() -> None:
    services = order_services(lambda: 0.0)
    figure = graph(handlers_of(services), starts=EventGraph.of(services).starts, **WORDS)
    root = ElementTree.fromstring(figure.svg)
    width, height = (float(part) for part in (root.get("viewBox") or "").split()[2:])
    assert height < 450 * 0.75  # SVG points: four inches and a half at the most
    for element in root.iter():
        if element.tag.endswith("text"):
            x, y = float(element.get("x") or 0), float(element.get("y") or 0)
            assert 0 < x < width and 0 < y < height, element.text


def digest() -> str:
    services = order_services(lambda: 0.0)
    drawn = [graph(CHAIN, **WORDS), graph(CIRCLE, **WORDS), graph(handlers_of(services), **WORDS)]
    return hashlib.sha256(
        "".join(figure.svg + figure.data for figure in drawn).encode()
    ).hexdigest()


def test_another_process_with_another_hash_seed_draws_the_same_bytes() -> None:
    program = "from tests.course.test_graph import digest; print(digest())"
    environ = {**os.environ, "PYTHONHASHSEED": "11"}
    root = Path(__file__).parents[2]
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env=environ, capture_output=True, text=True
    )
    assert ran.stdout.strip() == digest(), ran.stderr


def test_the_picture_says_in_words_what_it_shows() -> None:
    root = ElementTree.fromstring(graph(CHAIN, **WORDS).svg)
    said = {child.get("id"): child.text for child in root if child.tag.endswith(("title", "desc"))}
    assert root.get("role") == "img"
    assert [said[name] for name in (root.get("aria-labelledby") or "").split()] == [
        WORDS["title"],
        WORDS["alt"],
    ]


@pytest.mark.parametrize(
    ("table", "words", "says"),
    [
        ([], WORDS, "handlers must be of 1 to 6 services, got 0"),
        (
            [Handler("A", name) for name in "abcdefg"],
            WORDS,
            "handlers must be of 1 to 6 services, got 7",
        ),
        (CHAIN, {**WORDS, "alt": " "}, "alt must be a sentence"),
        (
            [
                Handler(
                    f"AnEventWithAVeryLongNameIndeed{n}",
                    "x",
                    (f"AnEventWithAVeryLongNameIndeed{n + 1}",),
                )
                for n in range(5)
            ],
            WORDS,
            "6 columns with such long names do not",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_the_reason(
    table: list[Handler], words: dict[str, str], says: str
) -> None:
    with pytest.raises(FigureError, match=says):
        graph(table, **words)


def test_the_events_of_another_catalog_are_drawn_by_their_names() -> None:
    orders = Service("orders")
    orders.says(OrderPlaced)

    @orders.on(ParcelBooked, ends="completed")
    async def complete(
        connection: object, event: ParcelBooked, envelope: object
    ) -> tuple[object, ...]:
        return ()

    drawn = graph(handlers_of([orders]), starts=EventGraph.of([orders]).starts, **WORDS)
    assert rows(drawn) == [
        ["OrderPlaced", "nobody hears it"],
        ["ParcelBooked (nobody says it)", "orders: complete", "-"],
    ]
