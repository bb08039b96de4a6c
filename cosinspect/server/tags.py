"""The digests of tags: requested from registries in threads, with turns by registry, and remembered for a moment."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from cosinspect.server.recent import Recent
from cosinspect.server.turns import Turns

__all__ = ["NoRoom", "Tags"]

TURNS = 16
"""Registries' answers that are awaited at once."""
RESERVE = 32
"""Further answers, for registries without an awaited one."""
WAITING = 256
"""Tags of one registry that may wait for its answer."""


class NoRoom(Exception):
    """More tags of a registry wait than the limit."""


class Tags:
    """Resolves tags; used in one event loop.

    Args:
        seconds: how long the digest of a tag is remembered; 0 asks its registry each time.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._known: Recent[str, str] = Recent()
        self._asking: dict[str, asyncio.Task[str]] = {}
        self._waiting: Counter[str] = Counter()
        self._turns = Turns(TURNS, RESERVE)
        self._threads = ThreadPoolExecutor(TURNS + RESERVE, thread_name_prefix="tags")

    async def digest(self, name: str, host: str, ask: Callable[[], str], *, until: float) -> str:
        """Return the digest of a tag; concurrent requests for the same tag share one answer.

        Args:
            name: the image with its tag.
            host: the registry.
            ask: asks the registry; it runs in a thread.
            until: when an answer is due, by `time.monotonic`.

        Raises:
            TimeoutError: the digest is unknown by then.
            NoRoom: too many tags of the registry wait.
            CosinspectError: `ask` raised it.
        """
        known = self._known.get(name)
        if known is not None:
            return known
        asking = self._asking.get(name)
        if asking is None:
            if self._waiting[host] >= WAITING:
                raise NoRoom
            self._waiting[host] += 1
            asking = asyncio.create_task(self._asked(host, ask))
            self._asking[name] = asking
            asking.add_done_callback(lambda done: self._answered(name, host, done))
        return await asyncio.wait_for(asyncio.shield(asking), max(0.0, until - time.monotonic()))

    async def close(self) -> None:
        """Drop open requests; their threads end with them."""
        asking = list(self._asking.values())
        for each in asking:
            each.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _asked(self, host: str, ask: Callable[[], str]) -> str:
        turn = self._turns.ask(host)
        try:
            await turn.granted
            return await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        finally:
            self._turns.give_back(turn)

    def _answered(self, name: str, host: str, done: asyncio.Task[str]) -> None:
        self._asking.pop(name, None)
        self._waiting[host] -= 1
        if not self._waiting[host]:
            del self._waiting[host]
        if not done.cancelled() and done.exception() is None and self.seconds:
            self._known.keep(name, done.result(), self.seconds)
