"""HTTP in the simulated world: an ASGI app on a node, and a client to which node names are hosts.

A request is a message to the callee's node; there it runs as a task in a fresh context, so that
nothing but its headers crosses the hop (`httpx.ASGITransport` alone would carry the caller's
context variables along). The answer is a message back. A client that hears nothing within its read
time-out gets `httpx.ReadTimeout`: the request may have been executed.

Leaves out: connections (each request stands alone), streaming (bodies are whole), TLS, and an app's
lifespan events."""

from __future__ import annotations

import asyncio

import httpx

from labkit.sim.kernel import Kernel
from labkit.world import ASGIApp


class SimTransport(httpx.AsyncBaseTransport):
    """Carries requests over the simulated network."""

    def __init__(self, kernel: Kernel, services: dict[str, ASGIApp]) -> None:
        self._kernel = kernel
        self._services = services

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request to the callee's node, and wait for the answer until the client's
        time-out.
        """
        kernel, host = self._kernel, request.url.host
        app = self._services.get(host)
        if app is None:
            known = ", ".join(sorted(self._services)) or "none"
            raise httpx.ConnectError(
                f"no service named {host!r}; served are: {known}", request=request
            )
        if not kernel.node(host).place.alive:
            raise httpx.ConnectError(f"connection refused by {host}", request=request)
        body = await request.aread()
        here, label = kernel.here(), f"{request.method} {request.url.path}"
        answer: asyncio.Future[httpx.Response] = kernel.loop.create_future()

        async def serve() -> None:
            callee = httpx.ASGITransport(app, raise_app_exceptions=False)
            copy = httpx.Request(request.method, request.url, headers=request.headers, content=body)
            response = await callee.handle_async_request(copy)
            content = await response.aread()
            whole = httpx.Response(response.status_code, headers=response.headers, content=content)
            kernel.network.send(
                host,
                here,
                f"{response.status_code} {label}",
                lambda: _settle(answer, whole),
                reply=True,
            )

        def arrive() -> None:
            kernel.background(serve(), kernel.node(host), f"{host}: {label}")

        for _ in range(2 if kernel.network.twice(here, host) else 1):
            kernel.network.send(here, host, label, arrive)
        kernel.node(host).on_death.append(
            lambda: _fail(answer, httpx.RemoteProtocolError(f"{host} closed the connection"))
        )
        patience = request.extensions.get("timeout", {}).get("read")
        try:
            async with asyncio.timeout(patience):
                response = await answer
        except TimeoutError:
            raise httpx.ReadTimeout(
                f"no answer from {host} within {patience:g} s", request=request
            ) from None
        response.request = request
        return response


def _settle(answer: asyncio.Future[httpx.Response], response: httpx.Response) -> None:
    if not answer.done():
        answer.set_result(response)


def _fail(answer: asyncio.Future[httpx.Response], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
