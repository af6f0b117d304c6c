"""A run: which scenario ran, how to repeat it, and what happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from labkit.world.faults import Fault
from labkit.world.history import History


class _Crashed:
    """The result of a task whose node crashed under it."""

    def __repr__(self) -> str:
        return "CRASHED"

    def __bool__(self) -> bool:
        return False

    def __reduce__(self) -> str:
        return "CRASHED"  # one object, also after a trip to another process


CRASHED = _Crashed()


def _shown(value: Any) -> str:
    """A function or a class by its name: its repr would be an address."""
    return str(getattr(value, "__name__", None) or repr(value))


@dataclass(frozen=True)
class Run:
    """The outcome of one run of a scenario.

    `seed` None is the calm world: every message takes its usual time, ready tasks run first come
    first served. `deviations` are (choice point, alternative) pairs at which the schedule departs
    from what the seed would have done. `error` is what the scenario raised, when the caller asked
    to keep it (`run` itself raises). `seconds` is virtual time in a simulated run and real time in
    a real one; `steps` of tasks and `points` of choice are counted in simulated runs alone."""

    scenario: str
    result: Any
    history: History = field(repr=False)
    seed: int | None = 0
    faults: tuple[Fault, ...] = ()
    args: Mapping[str, Any] = field(default_factory=dict)
    deviations: tuple[tuple[int, int], ...] = ()
    error: BaseException | None = None
    seconds: float = field(default=0.0, compare=False)
    steps: int = field(default=0, compare=False)
    points: int = field(default=0, compare=False)
    where: Literal["sim", "real"] = "sim"

    def call(self) -> str:
        """The call that repeats this run, as Python."""
        parts = [self.scenario, f"seed={self.seed!r}"]
        if self.faults:
            parts.append(f"faults=[{', '.join(map(repr, self.faults))}]")
        if self.deviations:
            parts.append(f"deviations={list(self.deviations)!r}")
        if self.args:
            given = ", ".join(f"{name!r}: {_shown(value)}" for name, value in self.args.items())
            parts.append(f"args={{{given}}}")
        return f"run({', '.join(parts)})"

    def __repr__(self) -> str:
        end = f"raised {type(self.error).__name__}" if self.error else f"result {self.result!r}"
        return f"<Run of {self.scenario}, seed {self.seed}, {len(self.faults)} faults: {end}>"
