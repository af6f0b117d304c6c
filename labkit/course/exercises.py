"""Exercises that answer with evidence.

`check(id, answer)` gives the reader's answer to the exercise's judge, which runs it under many
schedules and faults. What comes back says how much was searched, or shows the shortest run that
breaks the answer and repeats it. A stub is told that it has not been attempted; an exception is
shown as the reader's, with the reader's line. `check` itself never raises because of an answer, and
never runs for ever."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from IPython.display import display

from labkit.check.verdict import Verdict
from labkit.course import progress
from labkit.course.figures import Figure, spacetime
from labkit.course.forgotten import noticing_forgotten_awaits
from labkit.course.judge import ExerciseError, Finding, Judge, find
from labkit.course.patience import Endless, patiently
from labkit.course.reader import describe, explained, root, unwritten, where, where_used
from labkit.course.shown import Shown, without_addresses
from labkit.course.wrap import wrapped
from labkit.sim import SimulationError
from labkit.world import LAB, Run

Status = Literal["passed", "failed", "error", "undecided", "not attempted"]
PATIENCE = 20.0  # real seconds that plain code may take at the judge's own budget


@dataclass(frozen=True, repr=False)
class Result:
    """What `check` found. A notebook shows its text and, when a run broke the answer, that run as a
    diagram.
    """

    exercise: str
    status: Status
    text: str
    verdict: Verdict | None = None
    run: Run | None = None
    _again: Callable[[], Run] | None = field(default=None, compare=False)

    @property
    def passed(self) -> bool:
        """Whether the answer held."""
        return self.status == "passed"

    def __bool__(self) -> bool:
        return self.passed

    def replay(self) -> Run:
        """Run the failing schedule again, with the answer as it is now, and return the run."""
        if self._again is None:
            raise ExerciseError(
                f"replay needs a failing run, and this check of {self.exercise} has none: "
                f"it is {self.status!r}"
            )
        return self._again()

    def figure(self) -> Figure | None:
        """The failing run as a space-time diagram; None when there is no run, or nothing happened
        on its nodes.
        """
        if self.run is None or self.verdict is None or not _nodes(self.run):
            return None
        faults = (
            f"with {', '.join(map(repr, self.run.faults))}"
            if self.run.faults
            else "without any fault"
        )
        broke = without_addresses(self.verdict.evidence or f"broken: {self.verdict.claim}")
        title = f"{self.exercise}: {broke}"
        who = ", ".join(_nodes(self.run))
        alt = (
            f"Space-time diagram of the smallest failing run, {faults}, between {who}. "
            f"What broke: {broke}."
        )
        return spacetime(
            self.run, title=title, alt=alt, subtitle=f"the smallest failing run, {faults}"
        )

    def __repr__(self) -> str:
        return wrapped(self.text)

    def __str__(self) -> str:
        return self.text

    def _ipython_display_(self) -> None:
        print(repr(self))
        picture = self.figure()
        if picture is not None:
            display(picture)  # type: ignore[no-untyped-call]  # IPython's own


def check(id: str, answer: Any, *, budget: int | None = None, counts: bool = True) -> Result:
    """Judge `answer`, the reader's class or function, as exercise `id`.

    `budget` is how many schedules to try (each exercise has its own usual number). With
    `counts=False` the outcome is left out of the reader's progress, as in a demonstration. What
    the answer prints meanwhile is held back. Raises `ExerciseError` for an exercise that does not
    exist or a budget below 1."""
    found = find(id)
    limit = found.budget if budget is None else budget
    if limit < 1:
        raise ExerciseError(f"budget must be at least 1 schedule, got {budget!r}")
    result = (
        _not_attempted(id, unwritten(answer)) if _is_open(answer) else _judged(found, answer, limit)
    )
    if counts and result.status != "not attempted":
        trouble = progress.record(id, passed=result.passed)
        if trouble:
            print(trouble)
    return result


def hint(id: str, level: int = 1) -> Shown:
    """The first hint of an exercise, or with `level=2` the one that says more."""
    if level not in (1, 2):
        raise ExerciseError(f"level must be 1 or 2, got {level!r}")
    return Shown(find(id).hints[level - 1])


def _is_open(answer: Any) -> bool:
    return answer is None or answer is ... or bool(unwritten(answer))


def _not_attempted(id: str, open_functions: list[str]) -> Result:
    text = f"{id}: not attempted yet."
    if open_functions:
        text += f" Still to write: {', '.join(open_functions)}."
    return Result(id, "not attempted", text)


def _judged(judge: Judge, answer: Any, budget: int) -> Result:
    result, forgotten = noticing_forgotten_awaits(lambda: _heard(judge, answer, budget))
    if result.passed or not forgotten:
        return result
    return replace(result, text=_lines(result.text, *forgotten))


def _heard(judge: Judge, answer: Any, budget: int) -> Result:
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            found = patiently(
                lambda: judge.function(answer, budget), PATIENCE * max(1.0, budget / judge.budget)
            )
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a reader's code raises is an answer, SystemExit too
        result = _raised(judge.id, error, answer)
    else:
        result = _found(judge.id, found, answer)
    if not printed.getvalue():
        return result
    held_back = (
        f"What it printed meanwhile was held back{'; replay() shows it' if result.run else ''}."
    )
    return replace(result, text=_lines(result.text, held_back))


def _found(id: str, found: Verdict | Finding, answer: Any) -> Result:
    verdict, run = (found, None) if isinstance(found, Verdict) else (found.verdict, found.run)
    if run is not None and run.error is not None:
        return _raised(id, run.error, answer, found)
    if verdict.status == "holds":
        return Result(
            id, "passed", _lines(f"{id} passed: {verdict.claim}.", _searched(found)), verdict
        )
    if verdict.status == "unknown":
        text = _lines(
            f"{id} is not decided: {verdict.claim}.",
            verdict.evidence,
            "A larger budget= may decide it.",
        )
        return Result(id, "undecided", text, verdict)
    broke = f"What broke: {verdict.evidence}." if verdict.evidence else ""
    text = _lines(f"{id} failed: {verdict.claim}.", broke, *_evidence(found))
    return Result(id, "failed", text, verdict, run, _again(found))


def _raised(
    id: str, raised: BaseException, answer: Any, found: Verdict | Finding | None = None
) -> Result:
    error = root(raised)
    line = where(error, answer)
    if isinstance(error, NotImplementedError) and line:
        return Result(id, "not attempted", f"{id}: not attempted yet. Still to write: {line}")
    if isinstance(error, Endless):
        text = _lines(
            f"{id} stopped: your code did not come back. An endless loop?", line and f"    {line}"
        )
    elif isinstance(error, SimulationError):
        text = _lines(
            f"{id} stopped: the run with your code cannot go on.",
            describe(error),
            line and f"    {line}",
        )
    elif line:
        text = _lines(f"{id} stopped: your code raised {describe(error)}", f"    {line}")
    else:
        used = where_used(error)
        text = _lines(
            f"{id} stopped: your answer could not be used as the exercise asks.",
            describe(error),
            used and f"    {used}",
        )
    text = _lines(text, *explained(error))
    if found is None or isinstance(found, Verdict):
        return Result(id, "error", text)
    return Result(
        id, "error", _lines(text, *_evidence(found)), found.verdict, found.run, _again(found)
    )


def _searched(found: Verdict | Finding) -> str:
    if isinstance(found, Verdict):
        return found.evidence
    return f"Held on {_tried(found)}."


def _tried(found: Finding) -> str:
    faults = f"{found.plans} fault plans" if found.plans > 1 else "without faults"
    return f"{found.runs} schedule{'s' if found.runs != 1 else ''}, {faults}"


def _evidence(found: Verdict | Finding) -> list[str]:
    if isinstance(found, Verdict) or found.run is None:
        return []
    how = f"Found among {_tried(found)}; the smallest run that fails:"
    return [how, f"    {found.run.call()}", "replay() on this result runs it again."]


def _again(found: Verdict | Finding) -> Callable[[], Run] | None:
    return None if isinstance(found, Verdict) or found.run is None else lambda: found.replay()


def _nodes(run: Run) -> list[str]:
    history = run.history
    names = [event.node for event in history.events] + [span.node for span in history.spans]
    names += [name for message in history.messages for name in (message.src, message.dst)]
    return [name for name in dict.fromkeys(names) if name != LAB]


def _lines(*lines: str | None) -> str:
    return "\n".join(without_addresses(line) for line in lines if line)
