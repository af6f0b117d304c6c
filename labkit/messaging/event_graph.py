"""The event graph: which service publishes which event to which other, derived from the services'
registrations, and what is wrong with it.

Shows: nobody has written down the process of a choreography, but the registered reactions define
it. `EventGraph.of(services)` reads them; `problems()` lists, as sentences,
- events that nobody consumes, and events that are waited for and that nobody publishes;
- cycles: an event that leads to itself again;
- events after which no end is certain. A reaction publishes any one of its `emits`; so an end is
  certain if some service that consumes the event ends the process, or if each event that it may
  publish in answer is certain to end it.

Guarantees: what `problems()` reports follows from the registrations alone. An empty list means that
each start leads to an end, **if every message is handled and every reaction publishes one of the
events that it declares**.

Leaves out: what a reaction does, reactions that publish nothing, and the order of messages: tests
enumerate those."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from labkit.messaging.subscriber import Service


class Edge(NamedTuple):
    """`service` consumes the event `heard` ("" if it starts the process) and may publish `said` (""
    for nothing), or ends the process in the state `ends`.
    """

    heard: str
    service: str
    said: str
    ends: str = ""


@dataclass(frozen=True, repr=False)
class EventGraph:
    """Every event that may be published and consumed, by the names of events and services."""

    edges: tuple[Edge, ...]

    @classmethod
    def of(cls, services: Iterable[Service]) -> EventGraph:
        """The graph of these services, which must have different names."""
        edges: list[Edge] = []
        seen: set[str] = set()
        for service in services:
            if service.name in seen:
                raise ValueError(f"two services are named {service.name!r}")
            seen.add(service.name)
            edges += [
                Edge("", service.name, kind.__name__, ends or "")
                for kind, ends in service.says_itself.items()
            ]
            for reaction in service.reactions.values():
                heard, ends = reaction.to.__name__, reaction.ends or ""
                said = [kind.__name__ for kind in reaction.emits] or [""]
                edges += [Edge(heard, service.name, name, ends) for name in said]
        return cls(tuple(edges))

    def __repr__(self) -> str:
        return f"<EventGraph, {len(self.said | self.heard)} events, {len(self.services)} services>"

    @property
    def services(self) -> tuple[str, ...]:
        """The services, in the order given."""
        return tuple(dict.fromkeys(edge.service for edge in self.edges))

    @property
    def starts(self) -> tuple[str, ...]:
        """The events that start a process: published without another event before them."""
        return tuple(edge.said for edge in self.edges if not edge.heard)

    @property
    def said(self) -> frozenset[str]:
        """Every event that some service may publish."""
        return frozenset(edge.said for edge in self.edges if edge.said)

    @property
    def heard(self) -> frozenset[str]:
        """Every event that some service consumes."""
        return frozenset(edge.heard for edge in self.edges if edge.heard)

    @property
    def endings(self) -> frozenset[str]:
        """The states in which a process may end."""
        return frozenset(edge.ends for edge in self.edges if edge.ends)

    def consumers(self, event: str) -> tuple[str, ...]:
        """The services that consume this event."""
        return tuple(dict.fromkeys(edge.service for edge in self.edges if edge.heard == event))

    def producers(self, event: str) -> tuple[str, ...]:
        """The services that may publish this event."""
        return tuple(dict.fromkeys(edge.service for edge in self.edges if edge.said == event))

    def cycles(self) -> list[tuple[str, ...]]:
        """Every path from an event back to itself, each once, starting at the event whose name
        comes first.
        """
        after = self._after()

        def walk(path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
            for event in after.get(path[-1], ()):
                if event == path[0]:
                    yield path
                elif event > path[0] and event not in path:
                    yield from walk((*path, event))

        return [cycle for event in sorted(after) for cycle in walk((event,))]

    def sure_to_end(self) -> frozenset[str]:
        """The events after which the process ends, whichever events the services publish."""
        sure: set[str] = set()
        grown = True
        while grown:
            more = {
                event
                for event in self.heard - sure
                if any(self._ends(event, name, sure) for name in self.consumers(event))
            }
            sure |= more
            grown = bool(more)
        return frozenset(sure)

    def problems(self) -> list[str]:
        """What is wrong, as sentences; empty if every event has a consumer and every start is
        certain to end.
        """
        unheard = [
            f"nobody hears {event}, said by {', '.join(self.producers(event))}"
            for event in sorted(self.said - self.heard)
        ]
        unsaid = [
            f"nobody says {event}, which {', '.join(self.consumers(event))} waits for"
            for event in sorted(self.heard - self.said)
        ]
        round_ = [f"a cycle: {' → '.join((*cycle, cycle[0]))}" for cycle in self.cycles()]
        sure = self.sure_to_end()
        open_ = {edge.said for edge in self.edges if not edge.heard and not edge.ends}
        endless = [f"no end is sure after {event}" for event in sorted(open_ - sure)]
        return [*unheard, *unsaid, *round_, *endless]

    def table(self) -> str:
        """One line for each event and service that consumes it, as text."""
        rows = [("event", "said by", "heard by", "which may say", "and ends")]
        for event in dict.fromkeys(
            [*self.starts, *(edge.said for edge in self.edges if edge.said), *sorted(self.heard)]
        ):
            for service in self.consumers(event) or ("nobody",):
                mine = [
                    edge for edge in self.edges if (edge.heard, edge.service) == (event, service)
                ]
                said = " | ".join(edge.said for edge in mine if edge.said)
                rows.append(
                    (
                        event,
                        ", ".join(self.producers(event)),
                        service,
                        said,
                        mine[0].ends if mine else "",
                    )
                )
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )

    def _after(self) -> Mapping[str, tuple[str, ...]]:
        after: dict[str, dict[str, None]] = {}
        for edge in self.edges:
            if edge.heard and edge.said:
                after.setdefault(edge.heard, {})[edge.said] = None
        return MappingProxyType({event: tuple(said) for event, said in after.items()})

    def _ends(self, event: str, service: str, sure: set[str]) -> bool:
        mine = [edge for edge in self.edges if (edge.heard, edge.service) == (event, service)]
        said = [edge.said for edge in mine if edge.said]
        return any(edge.ends for edge in mine) or (
            bool(said) and all(event in sure for event in said)
        )
