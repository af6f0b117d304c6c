"""What `labkit.sim` and `labkit.real` have in common: the world that a scenario sees, its faults,
its history, a run.
"""

from typing import TYPE_CHECKING

from labkit._lazy import lazily

if TYPE_CHECKING:
    from labkit.world.faults import Crash as Crash
    from labkit.world.faults import Duplication as Duplication
    from labkit.world.faults import Failover as Failover
    from labkit.world.faults import Fault as Fault
    from labkit.world.faults import FaultError as FaultError
    from labkit.world.faults import LoseReply as LoseReply
    from labkit.world.faults import Loss as Loss
    from labkit.world.faults import Partition as Partition
    from labkit.world.faults import Pause as Pause
    from labkit.world.faults import Skew as Skew
    from labkit.world.faults import Slow as Slow
    from labkit.world.history import Event as Event
    from labkit.world.history import History as History
    from labkit.world.history import Message as Message
    from labkit.world.history import Operation as Operation
    from labkit.world.history import Outcome as Outcome
    from labkit.world.history import Span as Span
    from labkit.world.history import SpanKind as SpanKind
    from labkit.world.protocol import LAB as LAB
    from labkit.world.protocol import ASGIApp as ASGIApp
    from labkit.world.protocol import Node as Node
    from labkit.world.protocol import Pending as Pending
    from labkit.world.protocol import Scenario as Scenario
    from labkit.world.protocol import World as World
    from labkit.world.run import CRASHED as CRASHED
    from labkit.world.run import Run as Run
else:
    __all__, __getattr__, __dir__ = lazily(
        __name__,
        faults="Crash Duplication Failover Fault FaultError LoseReply Loss Partition Pause Skew "
        "Slow",
        history="Event History Message Operation Outcome Span SpanKind",
        protocol="ASGIApp LAB Node Pending Scenario World",
        run="CRASHED Run",
    )
