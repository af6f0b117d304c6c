"""A synchronous Redis client in an asynchronous program, simulated: what it costs is that
everything else on the node stops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import redis
from fakeredis import FakeStrictRedis
from fakeredis._clients._sync import FakeRedisConnection

if TYPE_CHECKING:
    from labkit.sim.redis_server import SimRedisServer
    from labkit.sim.world import SimWorld


def blocking_client(world: SimWorld, server: SimRedisServer) -> redis.Redis:
    """A `redis.Redis` whose every call blocks the caller's event loop for a round trip of virtual
    time.

    Left out: pauses, partitions and lost answers between it and the server; it shows the freeze,
    not the network."""

    class Connection(FakeRedisConnection):
        def send_packed_command(self, command: Any, check_health: bool = True) -> None:
            world.block(world.network.usual_round_trip)
            if self._server is not server.fake:  # another one after a crash or a fail-over
                self.disconnect()  # type: ignore[no-untyped-call]  # redis-py's
                self._server = server.fake
            super().send_packed_command(command, check_health)  # type: ignore[no-untyped-call]  # redis-py's

    return FakeStrictRedis(
        server=server.fake, connection_class=Connection, protocol=2, driver_info=None
    )
