"""Keys expire in virtual time, and nobody else's clock is touched."""

from __future__ import annotations

import ast
import pkgutil
import threading
import time
from pathlib import Path

import fakeredis
import pytest

from labkit.sim import _library_patches, run
from labkit.world import Pause, Skew, World
from tests.sim.scenarios import ONE_HOLDER, leased


async def expiry(world: World, unit: float = 1.0) -> list[object]:
    """A key that lives for five units of so many seconds, read at 0, 2.4, 4.8 and 7.2."""
    import asyncio

    redis = world.redis()
    await redis.set("key", "value", px=round(5000 * unit))
    seen = []
    for _ in range(3):
        seen.append((await redis.get("key"), round((await redis.pttl("key")) / 1000 / unit)))
        await asyncio.sleep(2.4 * unit)
    seen.append(await redis.get("key"))
    return seen


def test_a_key_expires_after_its_virtual_time() -> None:
    day, results = 86_400.0, []

    def week() -> None:
        results.append(run(expiry, args={"unit": day}, max_seconds=10 * day).result)

    waiting = threading.Thread(target=week, daemon=True)
    waiting.start()
    waiting.join(120.0)
    assert not waiting.is_alive(), "a week of virtual time is waited for in real time"
    assert results == [[(b"value", 5), (b"value", 3), (b"value", 0), None]]


def test_every_module_of_fakeredis_that_asks_for_the_time_is_taught() -> None:
    taught = set(_library_patches.install())
    for found in pkgutil.walk_packages(fakeredis.__path__, "fakeredis."):
        path = Path(found.module_finder.find_spec(found.name).origin)  # type: ignore[union-attr, arg-type, call-arg]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import) and any(name.name == "time" for name in node.names):
                assert found.name in taught
            if isinstance(node, ast.ImportFrom) and node.module == "time":
                pytest.fail(
                    f"{found.name} imports a name from time: a Clock in its place would not be seen"
                )


def test_without_the_clock_a_broken_lease_looks_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    pause = [Pause("a", after="acquired", for_=3.0)]  # in the calm world, a is first
    assert ONE_HOLDER.check(run(leased, seed=None, faults=pause)).status == "broken"
    for name in _library_patches.install():
        monkeypatch.setattr(f"{name}.{'mod_time' if name == 'redis.lock' else 'time'}", time)
    assert ONE_HOLDER.check(run(leased, seed=None, faults=pause)).status == "holds", (
        "this is the trap the clock is there for"
    )


def test_time_in_another_thread_is_untouched_during_a_run() -> None:
    readings: list[float] = []
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            readings.append(time.time())
            from fakeredis import _helpers

            readings.append(_helpers.time.time())

    thread = threading.Thread(target=read)
    before = time.time()
    thread.start()
    try:
        run(expiry)
    finally:
        over.set()
        thread.join()
    assert readings and all(before <= reading <= time.time() for reading in readings)


def test_a_skewed_server_expires_its_keys_by_its_own_clock() -> None:
    async def scenario(world: World) -> list[object]:
        import asyncio

        redis = world.redis()
        await redis.set("key", "value", px=5000)
        await asyncio.sleep(1)
        return [
            await redis.get("key"),
            round(world.node("redis").clock() - world.node("other").clock()),
        ]

    assert run(scenario).result == [b"value", 0]
    assert run(scenario, faults=[Skew("redis", by=60.0, at=0.5)]).result == [None, 60]
    assert run(scenario, faults=[Skew("redis", rate=10.0, at=0.5)]).result == [
        None,
        4,
    ]  # 0.5 s at ten times the rate
