"""Events on the wire: a frozen dataclass in an envelope that identifies the message and what it
belongs to.

Shows: `Catalog(OrderPlaced, StockReserved, …)`, the explicit list of the event types that a service
can read, encodes and decodes envelopes.

| field | the question it answers |
|---|---|
| `id` | is this a duplicate? the same in every copy of the message |
| `source`, `aggregate`, `sequence` | in which order were they sent? 1, 2, 3 … for each |
| `correlation` | which business process is it part of? passed on from cause to effect |
| `causation` | which message made its sender send it? None for the first |
| `at` | when was it sent, by its sender's clock (seconds since 1970) |

Guarantees: what `decode` returns has the types and bounds that the dataclass declares, in every
field; anything else is a `BadMessage` that names the field, the value and what is allowed. `encode`
refuses what `decode` would refuse or would read as something else, so no service sends what no
service can read.

Leaves out: versions of an event type (add `OrderPlacedV2` to the catalog; unknown fields are
refused, not ignored), signatures.

Sources: CloudEvents 1.0.2 (id, source, type, subject, time); Hohpe and Woolf, "Enterprise
Integration Patterns", 2003 (Correlation Identifier); EventStoreDB documentation, event metadata
($correlationId, $causationId)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

MAX_BYTES = 65_536
"""The longest message allowed on the wire."""

Event = Any
"""An instance of one of the frozen dataclasses in a catalog."""

E = TypeVar("E")
_Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:@-]{1,64}$")]


class BadMessage(ValueError):
    """This is not a message of the catalog. Nothing was done, and delivering it again will not
    help.
    """

    outcome = "failed"

    def __init__(self, field: str, value: object, allowed: str) -> None:
        self.field, self.value, self.allowed = field, _short(value), allowed
        super().__init__(f"{field} must be {allowed}, got {self.value}")


class Cause(Protocol):
    """What a new message takes over from the message that caused it, such as an `Envelope`."""

    @property
    def id(self) -> str:
        """The id of the causing message."""

    @property
    def correlation(self) -> str:
        """The business process that both belong to."""


@dataclass(frozen=True)
class Envelope:
    """One message: the event and its metadata."""

    id: str
    source: str
    aggregate: str
    sequence: int
    correlation: str
    causation: str | None
    at: float
    event: Event

    @property
    def type(self) -> str:
        """The event's name on the wire."""
        return type(self.event).__name__

    def __repr__(self) -> str:
        return f"<{self.type} {self.id}, {self.aggregate} no. {self.sequence} of {self.source}>"


class _Wire(BaseModel, Generic[E]):
    """The JSON object, for one type of event."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    id: _Id
    type: str
    source: _Id
    aggregate: _Id
    sequence: Annotated[int, Field(ge=1, le=2**31 - 1)]
    correlation: _Id
    causation: _Id | None
    at: Annotated[float, Field(allow_inf_nan=False)]
    data: E


class Catalog:
    """The event types that are allowed on the wire, by name."""

    def __init__(self, *types: type) -> None:
        self.types: dict[str, type] = {}
        for kind in types:
            made = getattr(kind, "__dataclass_params__", None)
            if made is None or not made.frozen or not made.eq:
                raise TypeError(
                    f"an event must be a frozen dataclass that compares by value, got {kind!r}"
                )
            if self.types.setdefault(kind.__name__, kind) is not kind:
                raise ValueError(f"two event types are named {kind.__name__!r}")
        self._wires: dict[str, type[_Wire[Any]]] = {}
        for name, event in self.types.items():
            self._wires[name] = _Wire[event]  # type: ignore[valid-type]  # mypy wants a static type

    def __repr__(self) -> str:
        return f"<Catalog of {', '.join(self.types)}>"

    def encode(self, envelope: Envelope) -> str:
        """The envelope as JSON. Raises `BadMessage` for what `decode` would not return
        unchanged."""
        if self.types.get(envelope.type) is not type(envelope.event):
            raise BadMessage("type", envelope.type, self._names())
        fields = {
            item.name: getattr(envelope, item.name)
            for item in dataclasses.fields(envelope)
            if item.name != "event"
        }
        made = self._wires[envelope.type].model_construct(
            type=envelope.type, data=envelope.event, **fields
        )
        try:
            wire = made.model_dump_json(warnings="none")
        except ValueError as error:  # what JSON cannot say
            raise BadMessage("data", envelope.event, "data that JSON can carry") from error
        # A subclass with more fields, an infinite number: JSON would lose it silently.
        if self.decode(wire) != envelope:
            raise BadMessage("data", envelope.event, "what comes back the same")
        return wire

    def decode(self, wire: str | bytes) -> Envelope:
        """The envelope in these bytes. Raises `BadMessage`."""
        try:
            text = wire.encode() if isinstance(wire, str) else bytes(wire)
            if len(text) > MAX_BYTES:
                raise BadMessage(
                    "message", text, f"at most {MAX_BYTES} bytes, {len(text)} are too many"
                )
            found = from_json(text, allow_inf_nan=False)
        except BadMessage:
            raise
        except ValueError as error:
            raise BadMessage("message", wire, f"a JSON object in UTF-8 ({error})") from error
        if not isinstance(found, dict):
            raise BadMessage("message", found, "a JSON object")
        name = found.get("type")
        if not isinstance(name, str) or name not in self._wires:
            raise BadMessage("type", name, self._names())
        try:
            read = self._wires[name].model_validate_json(text, strict=True, extra="forbid")
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise BadMessage(
                ".".join(map(str, first["loc"])), first["input"], _allowed(first["msg"])
            ) from error
        header = {
            field: getattr(read, field)
            for field in _Wire.model_fields
            if field not in ("type", "data")
        }
        return Envelope(**header, event=read.data)

    def _names(self) -> str:
        return f"one of {', '.join(sorted(self.types))}"


def names(types: Iterable[type]) -> tuple[str, ...]:
    """The names of these event types on the wire, in order."""
    return tuple(kind.__name__ for kind in types)


def _allowed(message: str) -> str:
    """pydantic's sentence, as the end of "must be …"."""
    for opening in ("Input should be ", "String should "):
        if message.startswith(opening):
            return (
                message.removeprefix(opening)
                if opening.startswith("Input")
                else f"text that should {message[14:]}"
            )
    return f"valid ({message})"


def _short(value: object) -> str:
    shown = ascii(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
