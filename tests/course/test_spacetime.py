"""The space-time diagram: what it chooses to show, where it puts it, and that it says what it left
out.
"""

from __future__ import annotations

import re
import warnings
import xml.etree.ElementTree as ElementTree
from itertools import combinations, pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import FancyArrowPatch

from labkit.course.figures import Figure, FigureError, spacetime
from labkit.course.figures._labels import Box, Places, Point
from labkit.course.figures._style import DANGER
from labkit.course.figures._timescale import TimeScale
from labkit.course.figures._view import MOST_LANES, MOST_MESSAGES, View, view
from labkit.course.figures.text import duration
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


stories = st.lists(
    st.tuples(
        st.sampled_from(["event", "call", "lost", "slow", "hold", "pause", "crash", "partition"]),
        st.integers(0, 60),
        st.sampled_from(["a", "b", "redis", "stock"]),
        st.sampled_from(["a", "b", "redis", "stock"]),
        st.sampled_from(["GET stock", "EVALSHA lock:stove", "SELECT units FROM", "POST /charge"]),
    ),
    min_size=1,
    max_size=25,
)


def told(entries: list[tuple[str, int, str, str, str]]) -> History:
    """A history of random entries."""
    story = Story()
    story.event(0.0, "a", "began")
    for kind, ticks, src, dst, label in entries:
        at = ticks / 20
        if kind in ("hold", "pause", "crash", "partition"):
            story.span(src, kind, at, at + 0.4, "lock" if kind == "hold" else "")
        elif kind == "event" or src == dst:
            story.event(at, src, "told", customer=ticks, what=label)
        else:
            takes = {"lost": None, "slow": 0.7}.get(kind, 0.01)
            story.message(at, src, dst, label, takes=takes)
    return story.history


def boxes(figure: Figure) -> tuple[dict[str, Box], list[tuple[Point, Point]], list[Point]]:
    """What matplotlib drew: the texts' own rectangles, the arrows, and the dots, in pixels from the
    top left. It knows nothing of how the labels were placed.
    """
    axes = figure.sheet.axes[0]
    renderer = FigureCanvasAgg(figure.sheet).get_renderer()
    height = axes.get_ylim()[0]
    texts = {}
    for text in axes.texts:
        extent = text.get_window_extent(renderer)
        box = Box(extent.x0, height - extent.y1, extent.x1, height - extent.y0)
        texts[f"{text.get_text()} at {extent.x0:.1f}, {extent.y0:.1f}"] = box
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    ends = [tuple(map(tuple, arrow._posA_posB)) for arrow in arrows]
    dots = [
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]))
        for line in axes.lines
        if len(line.get_xdata()) == 1
    ]
    return texts, ends, dots  # type: ignore[return-value]


@given(stories)
@examples("cheap")
def test_no_label_lies_on_an_arrow_a_dot_or_another_label(
    entries: list[tuple[str, int, str, str, str]],
) -> None:
    figure = spacetime(told(entries), title="t", alt="a", marks={"here": 0.0})
    texts, arrows, dots = boxes(figure)
    for (name, box), (other_name, other) in combinations(texts.items(), 2):
        assert not box.meets(other), (name, other_name)
    for name, box in texts.items():
        for start, end in arrows:
            assert not box.crossed_by(start, end), name
        for x, y in dots:
            assert not box.meets(Box(x - 3, y - 3, x + 3, y + 3)), name


@given(*[st.floats(-50, 150) for _ in range(4)])
@examples("cheap")
def test_a_line_crosses_a_box_when_one_of_its_points_lies_inside(
    x0: float, y0: float, x1: float, y1: float
) -> None:
    box = Box(20, 30, 80, 60)
    points = [(x0 + i / 500 * (x1 - x0), y0 + i / 500 * (y1 - y0)) for i in range(501)]
    if any(20 <= x <= 80 and 30 <= y <= 60 for x, y in points):
        assert box.crossed_by((x0, y0), (x1, y1))
    elif not any(19 <= x <= 81 and 29 <= y <= 61 for x, y in points):
        assert not box.crossed_by((x0, y0), (x1, y1))


def test_messages_are_named_by_what_they_mean() -> None:
    story = Story()
    story.call(0.0, "a", "database", "SELECT on_hand FROM", answer="SELECT on_hand FROM")
    story.call(0.1, "a", "redis", "EVALSHA lock:stove", answer="EVALSHA lock:stove")
    story.call(0.2, "a", "redis", "EVAL stock", answer="EVAL stock")
    story.call(0.3, "a", "payments", "POST /charge", answer="409 POST /charge")
    shown = seen(story.history, names={"EVAL stock": "write, token 2"})
    words = [shown.words(message) for message in shown.messages]
    assert words[::2] == ["read on_hand", "script on lock:stove", "write, token 2", "POST /charge"]
    assert words[-1] == "409"
    figure = spacetime(story.history, title="t", alt="a", names={"EVAL stock": "write, token 2"})
    assert "write, token 2" in figure.svg
    assert "sends redis: write, token 2 [EVAL stock]" in str(figure)
    assert "sends database: SELECT on_hand FROM" in str(figure)


def test_what_only_frames_a_transaction_is_left_out_unless_it_was_lost() -> None:
    story = Story()
    at = story.call(0.0, "a", "database", "BEGIN IMMEDIATE", answer="BEGIN IMMEDIATE")
    at = story.call(at, "a", "database", "UPDATE units SET", answer="UPDATE units SET")
    story.message(at, "a", "database", "ROLLBACK", takes=None)
    shown = seen(story.history)
    assert [message.label for message in shown.messages] == [
        "UPDATE units SET",
        "UPDATE units SET",
        "ROLLBACK",
    ]
    assert shown.left_out == ("messages BEGIN",)


def test_a_marked_moment_is_in_the_picture_and_in_the_table() -> None:
    story = expired_lease()
    figure = spacetime(story.history, title="t", alt="a", marks={"the lease ends": 2.002})
    assert ">the lease ends<" in figure.svg
    assert re.search(r"2\.0020 +the lease ends", str(figure.table()))
    with pytest.raises(FigureError, match=r"mark 'the lease ends' must be between 2\.5000 and"):
        spacetime(story.history, title="t", alt="a", marks={"the lease ends": 2.0}, start=2.5)


def test_labels_without_room_are_counted_below_the_axis() -> None:
    story = Story()
    for i in range(40):
        story.event(1.0 + i * 1e-6, "a", f"a rather long thing number {i}")
    story.event(1.1, "b", "other")
    text = drawn(story.history)
    assert re.search(r"\d+ labels left out: print\(figure\) has them", text)
