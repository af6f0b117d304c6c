"""A history is plain data: two are compared by their fingerprint, and a table of one says how much
it leaves out.
"""

from __future__ import annotations

from labkit.world import Event, History, Operation


def history(*kinds: str) -> History:
    made = History()
    made.events = [
        Event(made.next_seq(), 0.5 * place, "a", kind, {"n": place})
        for place, kind in enumerate(kinds)
    ]
    return made


def test_equal_histories_have_equal_fingerprints_and_any_difference_shows() -> None:
    assert history("sold", "paid") == history("sold", "paid")
    assert history("sold", "paid").fingerprint() == history("sold", "paid").fingerprint()
    assert history("sold", "paid").fingerprint() != history("paid", "sold").fingerprint()
    more = history("sold", "paid")
    more.operations.append(Operation("a", "read", None, 1, 1, 2))
    assert more.fingerprint() != history("sold", "paid").fingerprint()


def test_events_are_chosen_by_kind_and_keep_their_order() -> None:
    assert [event.data["n"] for event in history("sold", "paid", "sold").of("sold")] == [0, 2]


def test_a_table_that_is_too_long_says_how_many_rows_are_missing() -> None:
    assert history("sold", "paid", "sold").table(limit=2).splitlines() == [
        "  seconds  node       event              facts",
        "   0.0000  a          sold               n=0",
        "   0.5000  a          paid               n=1",
        "… and 1 more",
    ]


def test_what_prints_names_no_address() -> None:
    assert repr(history("sold")).startswith("<History 1 events, 0 messages, ")
