"""The bounded counter as a value: every interleaving of small histories, and its merge's laws."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.inventory import Escrow
from labkit.inventory.errors import OutOfStock, QuotaSpent
from labkit.inventory.quotas import CUSTOMERS
from tests.support.depth import examples

SITES = ("a", "b")
Views = tuple[Escrow, Escrow]
World = tuple[Views, tuple[Escrow, ...], int]
"""What each site knows, every state that was ever sent, and how many units were given between
sites.
"""


def steps(world: World, most_given: int) -> Iterator[World]:
    """Whatever can happen next: a sale, a gift, a state sent, and any state ever sent arriving
    anywhere, again or at last.
    """
    views, sent, given = world
    for index, site in enumerate(SITES):
        known = views[index]

        def with_view(view: Escrow, at: int = index) -> Views:
            return (view, views[1]) if at == 0 else (views[0], view)

        if known.rights(site) >= 1:
            yield with_view(known.take(site, 1)), sent, given
            if given < most_given:
                yield with_view(known.give(site, SITES[1 - index], 1)), sent, given + 1
        if known not in sent:
            yield views, (*sent, known), given
        for state in sent:
            yield with_view(known.merge(state)), sent, given


def key_of(world: World) -> object:
    views, sent, given = world
    return tuple(view.moves for view in views), frozenset(state.moves for state in sent), given


@pytest.mark.parametrize(("quotas", "states"), [({"a": 2, "b": 1}, 6698), ({"a": 3, "b": 0}, 2358)])
def test_in_no_interleaving_is_more_sold_than_there_was_or_a_right_lost_or_made(
    quotas: dict[str, int], states: int
) -> None:
    """Every state that can be reached with up to two gifts, messages being lost, doubled and
    reordered at will.
    """
    stock = sum(quotas.values())
    first: World = ((Escrow.split(quotas), Escrow.split(quotas)), (), 0)
    seen, edge, sold_out = {key_of(first)}, [first], 0
    while edge:
        fresh: list[World] = []
        for world in edge:
            for after in steps(world, most_given=2):
                if (key := key_of(after)) not in seen:
                    seen.add(key)
                    fresh.append(after)
        for views, _, _ in fresh:
            truth = views[0].merge(views[1])
            assert truth.sold() <= stock
            assert truth.rights("a") + truth.rights("b") + truth.sold() == stock, (
                "a right was lost or made"
            )
            for site, view in zip(SITES, views, strict=True):
                assert 0 <= view.rights(site) <= truth.rights(site), (
                    "a site believes in rights it has not"
                )
                assert view.sold(site) == truth.sold(site)
            sold_out += truth.sold() == stock
        edge = fresh
    assert len(seen) == states and sold_out > 100


moves = st.lists(
    st.tuples(
        st.sampled_from("abc"), st.sampled_from(["a", "b", "c", CUSTOMERS]), st.integers(0, 5)
    ),
    max_size=8,
)
anything = moves.map(Escrow.of)


@examples("cheap")
@given(anything, anything, anything)
def test_merging_is_commutative_associative_and_idempotent(
    one: Escrow, two: Escrow, three: Escrow
) -> None:
    assert one.merge(two) == two.merge(one)
    assert one.merge(two).merge(three) == one.merge(two.merge(three))
    assert one.merge(one) == one == one.merge(Escrow())


@examples("cheap")
@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 6), min_size=2),
    st.lists(
        st.tuples(
            st.sampled_from(["take", "give", "send", "add"]),
            st.integers(0, 3),
            st.integers(0, 3),
            st.integers(1, 3),
        )
    ),
)
def test_any_history_of_many_sites_sells_at_most_what_there_was(
    quotas: dict[str, int], history: list[tuple[str, int, int, int]]
) -> None:
    """Against a bank teller: rights in a dictionary, moved when they are given, counted when they
    are sold.
    """
    sites = sorted(quotas)
    views = {site: Escrow.split(quotas) for site in sites}
    stock, sold, given = sum(quotas.values()), 0, dict(quotas)
    for what, i, j, quantity in history:
        site, other = sites[i % len(sites)], sites[j % len(sites)]
        try:
            if what == "take":
                views[site] = views[site].take(site, quantity)
                sold += quantity
                given[site] -= quantity
            elif what == "give" and site != other:
                views[site] = views[site].give(site, other, quantity)
                given[site] -= quantity
                given[other] += quantity
            elif what == "add":
                views[site] = views[site].add(site, quantity)
                stock += quantity
                given[site] += quantity
            elif what == "send":
                views[other] = views[other].merge(views[site])
        except QuotaSpent as spent:
            assert spent.available == views[site].rights(site) < quantity
        assert sold <= stock and min(given.values()) >= 0
        assert all(view.rights(site) <= given[site] for site, view in views.items())
    truth = Escrow()
    for view in views.values():
        truth = truth.merge(view)
    assert {site: truth.rights(site) for site in sites} == given and truth.sold() == sold


def test_until_its_rights_are_spent_a_site_hears_from_nobody_and_needs_nobody() -> None:
    alone = Escrow.split({"east": 3, "west": 2})
    for _ in range(3):
        alone = alone.take("east", 1)
    with pytest.raises(
        QuotaSpent, match=r"^1 of 'tent' wanted, 0 left of the quota of 'east'$"
    ) as spent:
        alone.take("east", 1, sku="tent")
    assert isinstance(spent.value, OutOfStock) and (spent.value.site, spent.value.available) == (
        "east",
        0,
    )


def test_a_gift_that_is_lost_can_be_sent_again_and_one_that_comes_twice_counts_once() -> None:
    start = Escrow.split({"east": 3, "west": 0})
    east = start.give("east", "west", 2)
    assert (east.rights("east"), start.rights("west")) == (1, 0), "on its way: nobody may sell it"
    west = start.merge(east).merge(east).merge(start)
    assert west.rights("west") == 2
    late = west.take("west", 2).merge(east)
    assert (late.rights("west"), late.sold(), late.sold("east")) == (0, 2, 0)


def test_what_is_printed_says_who_may_sell_what() -> None:
    assert (
        repr(Escrow.split({"west": 2, "east": 3}).take("east", 1))
        == "<Escrow, east may sell 2, west may sell 2, 1 sold>"
    )
