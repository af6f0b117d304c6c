"""Sequential models: what a shared object does when calls come one at a time. A linearizability
check compares with one.

A `Model` is a value with three small functions. `step(state, operation)` gives the state after the
operation, or None when one object used by one caller at a time could not have answered so. States
are hashable. An operation with the outcome *unknown* has no result: `step` says what it does if it
happens.

Leaves out: time. A lease that expires is not a step of a mutex. So a history in which a lease ran
out under its holder and another took the lock is broken here, as it was for the caller that still
believed it held the lock.

Follows Herlihy and Wing, "Linearizability: a correctness condition for concurrent objects" (TOPLAS
1990)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from labkit.world.history import Operation


def _one_object(operation: Operation) -> Hashable:
    return None


@dataclass(frozen=True)
class Model:
    """A sequential object.

    `operations` names the calls it knows. `initial(key)` is the state before any of them.
    `key(operation)` names the object it concerns when there are many independent ones (keys of a
    store, names of locks): each is checked by itself. `pure(operation)` is true of a call that,
    answered as it was, changes no state whatever: a read, a refusal. `describe` puts a state into
    words. `by_caller` says that what an operation does depends on who calls it."""

    name: str
    operations: tuple[str, ...]
    initial: Callable[[Hashable], Hashable]
    step: Callable[[Any, Operation], Hashable | None]
    pure: Callable[[Operation], bool]
    describe: Callable[[Any], str]
    key: Callable[[Operation], Hashable] = _one_object
    by_caller: bool = False

    def __repr__(self) -> str:
        return f"<Model {self.name}: {', '.join(self.operations)}>"


def register(initial: Hashable = None) -> Model:
    """A single value: `read()` → value, `write(value)`."""

    def step(state: tuple[Hashable], operation: Operation) -> Hashable | None:
        if operation.name == "write":
            return (operation.argument,)
        return state if _agrees(operation, state[0]) else None

    return Model("register", ("read", "write"), lambda _: (initial,), step, _pure("read"), _value)


def cas_register(initial: Hashable = None) -> Model:
    """A value with compare-and-set: `read()` → value, `write(value)`, `cas((expected, new))` → True
    or False.
    """

    def step(state: tuple[Hashable], operation: Operation) -> Hashable | None:
        if operation.name == "write":
            return (operation.argument,)
        if operation.name == "cas":
            return _compare_and_set(state, operation, *operation.argument)
        return state if _agrees(operation, state[0]) else None

    return Model(
        "compare-and-set register",
        ("read", "write", "cas"),
        lambda _: (initial,),
        step,
        _pure("read", "cas"),
        _value,
    )


def mutex() -> Model:
    """A lock: `acquire(name)` and `release(name)`, held by `operation.process`; each name is a lock
    of its own.

    An `acquire` with the result False was refused, which is always safe and so always allowed (a
    lock service may time out or lose a vote); with any other result (True, None, a fencing token)
    it took the lock. A `release` with the result False found that its caller did not hold the lock.
    """

    def step(holder: tuple[str, ...], operation: Operation) -> Hashable | None:
        mine = holder == (operation.process,)
        if operation.name == "acquire":
            if _refused(operation):
                return holder
            return (operation.process,) if not holder else None
        if _refused(operation):
            return holder if not mine else None
        return () if mine else None

    def describe(holder: tuple[str, ...]) -> str:
        return f"{holder[0]} holds the lock" if holder else "nobody holds the lock"

    names = ("acquire", "release")
    return Model(
        "mutex",
        names,
        lambda _: (),
        step,
        _refused,
        describe,
        lambda operation: operation.argument,
        by_caller=True,
    )


def fenced_register(initial: Hashable = None) -> Model:
    """A value guarded by fencing tokens: `write((token, value))` → False when a newer token has
    been seen; `read()` → value.
    """

    def step(state: tuple[Any, Hashable], operation: Operation) -> Hashable | None:
        newest, value = state
        if operation.name == "read":
            return state if _agrees(operation, value) else None
        token, written = operation.argument
        accepted = newest is None or token >= newest
        if not _agrees(operation, accepted):
            return None
        return (token, written) if accepted else state

    def describe(state: tuple[Any, Hashable]) -> str:
        newest, value = state
        seen = "no token seen" if newest is None else f"newest token {newest!r}"
        return f"{_value((value,))}, {seen}"

    return Model(
        "fenced register",
        ("read", "write"),
        lambda _: (None, initial),
        step,
        _pure("read", "write"),
        describe,
    )


def counter(initial: int = 0) -> Model:
    """A number: `read()` → number, `add(n)` (None adds 1) → the new number, or None when the caller
    was not told.
    """

    def step(number: int, operation: Operation) -> Hashable | None:
        if operation.name == "read":
            return number if _agrees(operation, number) else None
        new = number + (1 if operation.argument is None else operation.argument)
        return new if operation.result is None or _agrees(operation, new) else None

    return Model(
        "counter",
        ("read", "add"),
        lambda _: initial,
        step,
        _pure("read"),
        lambda number: f"the counter is at {number}",
    )


def stock(units: int) -> Model:
    """Units for sale: `sell(n)` → True, or False when fewer than n are left; `read()` → the units
    left.
    """

    def step(left: int, operation: Operation) -> Hashable | None:
        if operation.name == "read":
            return left if _agrees(operation, left) else None
        enough = left >= operation.argument
        if not _agrees(operation, enough):
            return None
        return left - operation.argument if enough else left

    return Model(
        "stock counter",
        ("read", "sell"),
        lambda _: units,
        step,
        _pure("read", "sell"),
        lambda left: f"{left} left in stock",
    )


def key_value_store(initial: Mapping[Hashable, Hashable] | None = None) -> Model:
    """`get(key)` → value or None, `put((key, value))`, `delete(key)`, `cas((key, expected, new))` →
    True or False.

    Checked key by key: a store is linearizable when each of its keys is (Herlihy and Wing's
    locality; Horn and Kroening, "Faster linearizability checking via P-compositionality", FORTE
    2015)."""
    values = dict(initial or {})

    def key(operation: Operation) -> Hashable:
        found: Hashable = (
            operation.argument if operation.name in ("get", "delete") else operation.argument[0]
        )
        return found

    def step(state: tuple[Hashable], operation: Operation) -> Hashable | None:
        if operation.name == "get":
            return state if _agrees(operation, state[0]) else None
        if operation.name == "put":
            return (operation.argument[1],)
        if operation.name == "delete":
            return (None,)
        return _compare_and_set(state, operation, *operation.argument[1:])

    names = ("get", "put", "delete", "cas")
    return Model(
        "key-value store",
        names,
        lambda key: (values.get(key),),
        step,
        _pure("get", "cas"),
        _value,
        key,
    )


def _agrees(operation: Operation, result: object) -> bool:
    return operation.outcome == "unknown" or operation.result == result


def _refused(operation: Operation) -> bool:
    return operation.outcome == "ok" and operation.result is not None and not operation.result


def _pure(read: str, refusable: str = "") -> Callable[[Operation], bool]:
    return lambda operation: (
        operation.name == read or (operation.name == refusable and _refused(operation))
    )


def _compare_and_set(
    state: tuple[Hashable], operation: Operation, expected: Hashable, new: Hashable
) -> Hashable | None:
    succeeds = state[0] == expected
    if not _agrees(operation, succeeds):
        return None
    return (new,) if succeeds else state


def _value(state: tuple[Hashable]) -> str:
    return f"the value is {state[0]!r}"
