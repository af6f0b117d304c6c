"""The space-time diagram: what it chooses to show, where it puts it, and that it says what it left
out.
"""

from __future__ import annotations

import re
import warnings
import xml.etree.ElementTree as ElementTree
from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.course.figures import FigureError, spacetime
from labkit.course.figures.labels import Box, Places
from labkit.course.figures.style import DANGER
from labkit.course.figures.timescale import TimeScale, duration
from labkit.course.figures.view import MOST_LANES, MOST_MESSAGES, View, view
from labkit.world import History
from tests.course.histories import Story, expired_lease
from tests.support.depth import examples


def seen(history: History, **choice: object) -> View:
    return view(
        history, **{"kinds": None, "nodes": None, "hide": (), "start": None, "end": None, **choice}
    )  # type: ignore[arg-type]


def drawn(history: History) -> str:
    return spacetime(history, title="t", alt="a").svg


def test_the_experimenter_is_left_out_unless_asked_for() -> None:
    history = expired_lease().history
    assert "lab" not in seen(history).lanes
    assert seen(history, nodes=["lab", "a"]).lanes == ("lab", "a")


def test_a_server_that_everyone_talks_to_is_put_between_its_clients() -> None:
    story = Story()
    for i, client in enumerate(("a", "b")):
        story.call(i / 10, client, "redis", "GET")
    assert seen(story.history).lanes == ("a", "redis", "b")


@given(
    st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("abcde")), min_size=1, max_size=12)
)
@examples("cheap")
def test_no_other_order_of_lanes_makes_messages_cross_fewer_lanes(
    pairs: list[tuple[str, str]],
) -> None:
    story = Story()
    for i, (src, dst) in enumerate(pairs):
        story.message(i / 10, src, dst)

    def crossed(order: tuple[str, ...]) -> int:
        return sum(abs(order.index(src) - order.index(dst)) - 1 for src, dst in pairs if src != dst)

    lanes = seen(story.history).lanes
    assert crossed(lanes) == min(crossed(order) for order in permutations(sorted(lanes)))


def test_two_lanes_that_hold_the_same_thing_are_drawn_in_red_and_said_in_the_table() -> None:
    figure = spacetime(expired_lease().history, title="t", alt="a")
    assert DANGER in figure.svg
    assert "both believe they hold sku-1, for 1.01 s" in figure.table()
    assert "both believe they hold sku-1, for 1.01 s" in figure.svg


def test_one_after_the_other_is_no_overlap_and_nothing_is_red() -> None:
    story = Story()
    story.span("a", "hold", 0.0, 1.0, "sku-1")
    story.span("b", "hold", 1.0, 2.0, "sku-1")
    story.span("b", "hold", 0.0, 2.0, "sku-2")
    story.span("a", "hold", 0.5, 0.7, "sku-1")
    assert seen(story.history).overlaps() == []
    assert DANGER not in drawn(story.history)


def test_a_lost_message_ends_in_a_cross_and_the_table_says_lost() -> None:
    story = Story()
    story.message(0.0, "a", "redis", "GET", takes=None)
    story.event(0.1, "a", "gave up")
    figure = spacetime(story.history, title="t", alt="a")
    assert DANGER in figure.svg
    assert "sends redis: GET (lost)" in figure.table()


def test_every_kind_of_span_is_named_in_the_picture_and_in_the_table() -> None:
    story = Story()
    for i, (kind, label) in enumerate(
        [("pause", ""), ("blocked", ""), ("crash", ""), ("partition", "redis"), ("hold", "sku-1")]
    ):
        story.span(f"n{i}", kind, 0.0, 1.0, label)
    figure = spacetime(story.history, title="t", alt="a")
    for words in ("paused", "event loop blocked", "down", "cut off from redis", "holds sku-1"):
        assert words in figure.svg
        assert words in figure.table()


def test_a_partition_planned_to_outlast_the_run_does_not_stretch_the_axis() -> None:
    story = Story()
    story.event(0.0, "a", "began")
    story.span("a", "partition", 0.5, 9_000.0, "redis")
    story.event(1.0, "a", "ended")
    assert seen(story.history).end == 1.0


def test_what_hidden_nodes_did_does_not_stretch_the_axis() -> None:
    story = Story()
    story.message(0.0, "lab", "redis")
    story.event(5.0, "a", "began")
    story.event(6.0, "a", "ended")
    story.message(9.0, "lab", "redis")
    assert (seen(story.history).start, seen(story.history).end) == (5.0, 6.0)


def test_only_the_chosen_kinds_and_the_chosen_seconds_are_shown() -> None:
    history = expired_lease().history
    assert {event.kind for event in seen(history, kinds=["sold"]).events} == {"sold"}
    late = seen(history, start=3.0)
    assert [event.data for event in late.events] == [{"order": "a-1"}]
    assert all(message.sent >= 3.0 for message in late.messages)


def test_more_messages_than_can_be_read_leave_the_oldest_out_and_say_so() -> None:
    story = Story()
    for i in range(MOST_MESSAGES + 25):
        story.message(i * 0.01, "a", "b", "ping")
    figure = spacetime(story.history, title="t", alt="a")
    assert len(seen(story.history).messages) == MOST_MESSAGES
    assert "left out: everything before 250 ms (25 messages)" in figure.table()
    assert "left out: everything before 250 ms" in figure.svg


def test_more_nodes_than_can_be_read_leave_the_quietest_out_and_say_so() -> None:
    story = Story()
    for i in range(MOST_LANES + 2):
        for k in range(1 if i in (3, 5) else 2):
            story.event(i + k / 10, f"n{i}", "did")
    shown = seen(story.history)
    assert len(shown.lanes) == MOST_LANES
    assert shown.left_out == ("nodes n3, n5",)


def test_messages_can_be_hidden_by_their_first_word_with_their_answers_and_it_is_said() -> None:
    story = Story()
    story.call(0.0, "a", "redis", "GET x", answer="GET x")
    story.call(0.1, "a", "redis", "GET y", answer="200 GET y")
    story.message(0.2, "a", "redis", "GETSET x")
    shown = seen(story.history, hide=["GET"])
    assert [message.label for message in shown.messages] == ["GETSET x"]
    assert shown.left_out == ("messages GET",)
    assert shown.start == 0.0
    assert "left out: messages GET" in str(
        spacetime(story.history, title="t", alt="a", hide=["GET"])
    )


def test_what_cannot_be_drawn_is_refused_with_a_reason() -> None:
    with pytest.raises(FigureError, match="at least one entry"):
        drawn(History())
    with pytest.raises(FigureError, match="start must be before end"):
        seen(expired_lease().history, start=2.0, end=1.0)
    with pytest.raises(FigureError, match="nodes must be among lab, a, redis"):
        seen(expired_lease().history, nodes=["c"])
    with pytest.raises(FigureError, match="hide must be among SET, UPDATE, got XACK"):
        seen(expired_lease().history, hide=["XACK"])


def test_odd_letters_in_a_history_neither_break_the_svg_nor_warn() -> None:
    story = Story()
    story.event(0.0, "a", "ordered", what="two\nlines\x00", by="注文 😀 <&>")
    story.message(0.1, "a", "b", "\x1b[31mred")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = spacetime(story.history, title="two\nlines", alt="a")
    ElementTree.fromstring(figure.svg)
    assert figure.title == "two lines"
    assert "ordered  what=two lines  by=注文 😀 <&>" in figure.table()


def test_a_run_on_real_servers_is_a_figure_of_measured_times() -> None:
    story = expired_lease()
    assert spacetime(story.run(where="real"), title="t", alt="a").measured
    assert not spacetime(story.run(), title="t", alt="a").measured


def test_a_run_is_drawn_like_its_history() -> None:
    story = expired_lease()
    assert spacetime(story.run(), title="t", alt="a").svg == drawn(story.history)


instants = st.lists(st.floats(0, 1e5, allow_nan=False), min_size=1, max_size=60)


@given(instants)
@examples("cheap")
def test_time_always_runs_to_the_right_and_stays_on_the_axis(times: list[float]) -> None:
    scale = TimeScale(times, 50, 800)
    xs = [scale.x(instant) for instant in sorted(set(times))]
    assert all(before <= after for before, after in pairwise(xs))
    assert xs[0] >= 50 - 1e-6 and xs[-1] <= 800 + 1e-6


@given(instants, st.floats(20, 90))
@examples("cheap")
def test_ticks_are_as_far_apart_as_asked(times: list[float], room: float) -> None:
    scale = TimeScale(times, 50, 800)
    ticks = scale.ticks(room)
    assert all(
        scale.x(after) - scale.x(before) >= room - 1e-6
        for (before, _), (after, _) in pairwise(ticks)
    )


def test_a_millisecond_and_a_long_pause_can_both_be_read() -> None:
    scale = TimeScale([0.000, 0.001, 0.002, 0.003, 3.003, 3.004, 3.005], 0, 700)
    assert not scale.to_scale
    assert scale.x(0.001) - scale.x(0.0) > 40
    assert scale.x(3.003) - scale.x(0.003) > scale.x(0.001) - scale.x(0.0)
    assert scale.quiet == [(0.003, 3.003)]


def test_lengths_that_are_alike_are_drawn_to_scale() -> None:
    scale = TimeScale([0, 1, 3, 4], 0, 400)
    assert scale.to_scale
    assert [scale.x(t) for t in (0, 1, 2, 3, 4)] == [0, 100, 200, 300, 400]


def test_durations_are_said_in_the_unit_one_would_say_them_in() -> None:
    assert [duration(s) for s in (3.0, 1.5, 0.99999, 0.04, 0.0005, 1234.5)] == [
        "3 s", "1.5 s", "1 s", "40 ms", "0.5 ms", "1230 s",
    ]  # fmt: skip


places = st.lists(
    st.tuples(
        st.sampled_from(["sold", "acquired token=1", "x"]), st.floats(0, 300), st.floats(0, 100)
    ),
    max_size=30,
)


@given(places)
@examples("cheap")
def test_labels_never_touch_and_never_leave_the_card(
    wanted: list[tuple[str, float, float]],
) -> None:
    board = Places(Box(0, 0, 300, 100))
    for text, x, y in wanted:
        board.put(text, 8.6, [(x, y, "left"), (x, y, "center"), (x, y + 14, "right")])
    for i, box in enumerate(board.taken):
        assert box.left >= 0 and box.right <= 300 and box.top >= 0 and box.bottom <= 100
        assert not any(box.meets(other) for other in board.taken[:i])


def test_labels_without_room_are_counted_below_the_axis() -> None:
    story = Story()
    for i in range(40):
        story.event(1.0 + i * 1e-6, "a", f"a rather long thing number {i}")
    story.event(1.1, "b", "other")
    text = drawn(story.history)
    assert re.search(r"\d+ labels left out: print\(figure\) has them", text)
