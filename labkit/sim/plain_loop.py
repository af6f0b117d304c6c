"""What asyncio asks of an event loop and a simulated one has little to say to.

Real sockets, processes and signals are refused by name; work for a thread is done in line; the rest
are the answers of a loop that runs one program once. `loop.py` is where the time and the order are
made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn

from labkit.sim.errors import NotSimulated

ExceptionHandler = Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object]
REFUSED = """
    add_reader add_signal_handler add_writer connect_accepted_socket connect_read_pipe connect_write_pipe create_connection
    create_datagram_endpoint create_server create_unix_connection create_unix_server getaddrinfo getnameinfo sendfile
    sock_accept sock_connect sock_recv sock_recv_into sock_sendall sock_sendfile start_tls subprocess_exec subprocess_shell
"""


class PlainLoop(asyncio.AbstractEventLoop):
    """See the module."""

    _on_exception: ExceptionHandler | None = None

    def run_in_executor(
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:  # type: ignore[override]
        """Work sent to a thread runs in line: on virtual time it takes none."""
        future = self.create_future()

        def work() -> None:
            if future.cancelled():
                return
            try:
                result = func(*args)
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        self.call_soon(work)
        return future

    def run_until_complete(self, future: Any) -> NoReturn:
        raise NotSimulated(
            "a simulated world runs one scenario; await instead of run_until_complete"
        )

    async def shutdown_asyncgens(self) -> None:
        return None

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  # asyncio's signature
        return None

    def set_exception_handler(self, handler: ExceptionHandler | None) -> None:
        self._on_exception = handler

    def get_exception_handler(self) -> ExceptionHandler | None:
        return self._on_exception

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self._on_exception is not None:
            self._on_exception(self, context)

    def get_debug(self) -> bool:
        return False

    def set_debug(self, enabled: bool) -> None:
        return None


def _refuse(name: str) -> Callable[..., NoReturn]:
    def refused(self: PlainLoop, *args: Any, **options: Any) -> NoReturn:
        raise NotSimulated(
            f"loop.{name}: the simulated world has no real sockets, processes or signals; ask the world for a client"
        )

    return refused


for _name in REFUSED.split():
    setattr(PlainLoop, _name, _refuse(_name))
