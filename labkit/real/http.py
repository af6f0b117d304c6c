"""HTTP between the nodes of a real world: an ASGI app on a node, and a client to which node names
are hosts.

Each request runs as a task on the callee's node, in a fresh context, so that nothing but its
headers crosses the hop. A client that hears nothing within its read time-out gets
`httpx.ReadTimeout`, and the handler runs on: it may have happened.

Left out: sockets (the app is called in this process), streaming (bodies are whole), and an app's
lifespan events."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx

from labkit.real.lives import checkpoint
from labkit.world import ASGIApp

if TYPE_CHECKING:
    from labkit.real.world import RealWorld


class NodeTransport(httpx.AsyncBaseTransport):
    """Carries requests to the apps that nodes serve."""

    def __init__(self, world: RealWorld, services: dict[str, ASGIApp]) -> None:
        self._world = world
        self._services = services

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Run the callee's app for this request, and wait for its answer as long as the client
        wants to.
        """
        await checkpoint()
        host = request.url.host
        app = self._services.get(host)
        if app is None:
            known = ", ".join(sorted(self._services)) or "none"
            raise httpx.ConnectError(
                f"no service named {host!r}; served are: {known}", request=request
            )
        node = self._world.node(host)
        life = node.life
        if life.dead:
            raise httpx.ConnectError(f"connection refused by {host}", request=request)
        copy = httpx.Request(
            request.method, request.url, headers=request.headers, content=await request.aread()
        )
        answer = asyncio.get_running_loop().create_task(
            _answer(app, copy),
            name=f"{host}: {request.method} {request.url.path}",
            context=node.context(),
        )
        patience = request.extensions.get("timeout", {}).get("read")
        either: list[asyncio.Future[Any]] = [answer, life.death]
        await asyncio.wait(either, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            response = answer.result()
            response.request = request
            return response
        if life.dead:
            raise httpx.RemoteProtocolError(f"{host} closed the connection", request=request)
        raise httpx.ReadTimeout(f"no answer from {host} within {patience:g} s", request=request)


async def _answer(app: ASGIApp, request: httpx.Request) -> httpx.Response:
    response = await httpx.ASGITransport(app, raise_app_exceptions=False).handle_async_request(
        request
    )
    return httpx.Response(
        response.status_code, headers=response.headers, content=await response.aread()
    )
