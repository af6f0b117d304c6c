"""An oracle for the checker: the objects as plain mutable Python, and every order tried on them. It
shares nothing with it.

`explained(kind, operations)` is the definition of linearizability spelt out: for each choice of the
unknown operations that happened, for each order that respects time, play the calls on a fresh
object and compare the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any

from labkit.world.history import Operation


class Value:
    """A register with compare-and-set."""

    def __init__(self, initial: Any = 0) -> None:
        self.value = initial

    def call(self, process: str, name: str, argument: Any) -> Any:
        if name == "read":
            return self.value
        if name == "write":
            self.value = argument
            return None
        if self.value != argument[0]:
            return False
        self.value = argument[1]
        return True


class Locks:
    """Named locks; the answer says whether the call did anything."""

    def __init__(self) -> None:
        self.holders: dict[Any, str] = {}

    def call(self, process: str, name: str, argument: Any) -> Any:
        if name == "acquire":
            if argument in self.holders:
                return False
            self.holders[argument] = process
            return True
        if self.holders.get(argument) != process:
            return False
        del self.holders[argument]
        return True


class Fenced:
    """A value that refuses a token older than one it has seen."""

    def __init__(self) -> None:
        self.tokens, self.value = [0], 0

    def call(self, process: str, name: str, argument: Any) -> Any:
        if name == "read":
            return self.value
        if argument[0] < max(self.tokens):
            return False
        self.tokens.append(argument[0])
        self.value = argument[1]
        return True


class Number:
    """A counter that answers with its new value."""

    def __init__(self) -> None:
        self.number = 0

    def call(self, process: str, name: str, argument: Any) -> Any:
        if name == "add":
            self.number += argument
        return self.number


class Shelf:
    """Three units for sale."""

    def __init__(self) -> None:
        self.left = 3

    def call(self, process: str, name: str, argument: Any) -> Any:
        if name == "read":
            return self.left
        if self.left < argument:
            return False
        self.left -= argument
        return True


class Store:
    """A dictionary with compare-and-set; x is there at the start."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {"x": 1}

    def call(self, process: str, name: str, argument: Any) -> Any:
        if name == "get":
            return self.values.get(argument)
        if name == "delete":
            self.values.pop(argument, None)
        elif name == "put":
            self.values[argument[0]] = argument[1]
        else:
            key, expected, new = argument
            if self.values.get(key) != expected:
                return False
            self.values[key] = new
            return True
        return None


OBJECTS: dict[str, Callable[[], Any]] = {
    "register": Value,
    "cas_register": Value,
    "mutex": Locks,
    "fenced_register": Fenced,
    "counter": Number,
    "stock": Shelf,
    "key_value_store": Store,
}

SILENT = {
    ("register", "write"),
    ("cas_register", "write"),
    ("key_value_store", "put"),
    ("key_value_store", "delete"),
}


def explained(kind: str, operations: Sequence[Operation]) -> bool:
    """Whether some order of these operations, played on a fresh object, gives the answers that were
    seen.
    """
    answered = [op for op in operations if op.outcome == "ok"]
    unknown = [op for op in operations if op.outcome == "unknown"]
    return any(
        played(kind, order)
        for count in range(len(unknown) + 1)
        for happened in combinations(unknown, count)
        for order in orders([*answered, *happened])
    )


def orders(operations: Sequence[Operation]) -> Iterator[list[Operation]]:
    """Every order in which no operation comes before one that had returned when it was called."""
    if not operations:
        yield []
    for i, first in enumerate(operations):
        rest = [*operations[:i], *operations[i + 1 :]]
        if not any(op.outcome == "ok" and op.returned < first.called for op in rest):  # type: ignore[operator]
            for order in orders(rest):
                yield [first, *order]


def played(kind: str, order: Sequence[Operation]) -> bool:
    """Whether the object answers so when called in this order. A lock may refuse at any time:
    refusing is safe.
    """
    thing = OBJECTS[kind]()
    for op in order:
        if (op.outcome, op.name, op.result) == ("ok", "acquire", False):
            continue
        answer = thing.call(op.process, op.name, op.argument)
        if op.outcome == "ok" and (kind, op.name) not in SILENT and answer != op.result:
            return False
    return True
