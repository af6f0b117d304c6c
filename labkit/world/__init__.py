"""The words that `labkit.sim` and `labkit.real` share: the world a scenario sees, its faults, its
history, a run.
"""

from labkit.world.faults import (
    Crash,
    Duplication,
    Failover,
    Fault,
    FaultError,
    LoseReply,
    Loss,
    Partition,
    Pause,
    Skew,
    Slow,
)
from labkit.world.history import Event, History, Message, Operation, Outcome, Span, SpanKind
from labkit.world.protocol import LAB, ASGIApp, Node, Pending, Scenario, World
from labkit.world.run import CRASHED, Run

__all__ = [
    "CRASHED",
    "LAB",
    "ASGIApp",
    "Crash",
    "Duplication",
    "Event",
    "Failover",
    "Fault",
    "FaultError",
    "History",
    "LoseReply",
    "Loss",
    "Message",
    "Node",
    "Operation",
    "Outcome",
    "Partition",
    "Pause",
    "Pending",
    "Run",
    "Scenario",
    "Skew",
    "Slow",
    "Span",
    "SpanKind",
    "World",
]
