"""Carries copies of states between the sites of an exercise, over a network that may lose, delay or
repeat them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

import httpx

from labkit.world import ASGIApp, World


class Merging(Protocol):
    """What a site has: a state to tell, and a way to learn from another's."""

    def state(self) -> Any:
        """What this site tells the others."""

    def merge(self, state: Any) -> None:
        """Learn from what another site told."""


class Post:
    """Sends states as copies. `measure` says what a site counts, before and after a merge; what
    `merge` raises is kept in `errors`.
    """

    def __init__(
        self, world: World, sites: Mapping[str, Merging], measure: Callable[[Any], int]
    ) -> None:
        self._world, self._sites, self._measure = world, sites, measure
        self._letters: list[Any] = []
        self._arrived: list[tuple[str, str, int]] = []
        self.errors: list[Exception] = []
        for site in sites:
            world.serve(site, self._box(site))

    async def send(self, site: str, to: str) -> None:
        """Tell a site one's state. Nobody knows whether it arrives."""
        self._letters.append(copy.deepcopy(self._sites[site].state()))
        await self._deliver(site, to, len(self._letters) - 1)

    async def everybody(self) -> None:
        """Let every site tell every other one, and then let what had arrived before arrive again,
        the oldest last; raises what a `merge` has raised so far.

        Each hears from all the others, so some of what they relay is older than what it knows.
        """
        late = list(reversed(self._arrived))
        for to in self._sites:
            for site in self._sites:
                if site != to:
                    await self._world.join(self._world.node(site).start(self.send, site, to))
        for site, to, letter in late:
            await self._world.join(self._world.node(site).start(self._deliver, site, to, letter))
        if self.errors:
            raise self.errors[0]

    async def _deliver(self, site: str, to: str, letter: int) -> None:
        async with self._world.http(timeout=5.0) as http:
            with suppress(httpx.TransportError):
                await http.post(f"http://{to}/state", content=f"{site} {letter}")

    def _box(self, to: str) -> ASGIApp:
        async def receive_state(scope: Any, receive: Any, send: Any) -> None:
            site, number = (await receive())["body"].decode().split()
            letter, mine = int(number), self._sites[to]
            self._arrived.append((site, to, letter))
            try:
                before = self._measure(mine)
                mine.merge(copy.deepcopy(self._letters[letter]))
                self._world.record("merges", before=before, after=self._measure(mine))
            except Exception as error:
                self.errors.append(error)
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        return receive_state
