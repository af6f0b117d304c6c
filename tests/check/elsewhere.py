"""The same history for detangle's checker (a development dependency): a second, independent
implementation.
"""

from __future__ import annotations

from collections.abc import Sequence

from detangle import lin

from labkit.world.history import Operation

MODELS: dict[str, lin.Model] = {
    "register": lin.Register(0),
    "cas_register": lin.Register(0),
    "mutex": lin.Mutex(),
    "counter": lin.Counter(),
    "key_value_store": lin.KV({"x": 1}),
}
STATUS = {"ok": lin.OK, "failed": lin.FAIL, "unknown": lin.INFO}


def comparable(kind: str, operations: Sequence[Operation]) -> list[Operation]:
    """Without what detangle's mutex does not know: several locks, and a release that found itself
    not the holder.
    """
    if kind != "mutex":
        return list(operations)
    return [
        op
        for op in operations
        if op.argument == "p" and (op.name == "acquire" or op.result is not False)
    ]


def translated(operations: Sequence[Operation]) -> list[lin.Operation]:
    """The operations as detangle's."""
    return [
        lin.Operation(
            index=index,
            process=op.process,
            f=op.name,
            arg=op.argument,
            call=op.called,
            call_time=0.0,
            output=op.result,
            status=STATUS[op.outcome],
            ret=op.returned,
        )
        for index, op in enumerate(operations)
    ]
