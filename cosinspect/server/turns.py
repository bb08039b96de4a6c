"""Turns for waiting work, by host, so that a slow host does not delay the work of others."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import Counter

from attrs import define, field

__all__ = ["Ticket", "Turns"]


@define(eq=False)
class Ticket:
    """One piece of work.

    Attributes:
        host: the source of its bytes.
        urgency: the lowest goes first.
        granted: done when its turn comes.
    """

    host: str
    urgency: int
    granted: asyncio.Future[None] = field(repr=False)


class Turns:
    """Grants a bounded number of turns at once, in one event loop.

    One host may have all `most` turns while no other host waits. A host without a turn gets one of `reserve` further turns at once, so
    that up to `reserve` slow hosts delay no other. Of several waiting hosts, the one with the fewest turns goes first.

    Args:
        most: turns at once.
        reserve: further turns, for hosts without one.
    """

    def __init__(self, most: int, reserve: int) -> None:
        self._most = most
        self._reserve = reserve
        self._order = itertools.count()
        self._waiting: dict[str, list[tuple[int, int, Ticket]]] = {}
        self._running: Counter[str] = Counter()
        self._total = 0

    def ask(self, host: str, urgency: int = 0) -> Ticket:
        """Ask for a turn; `give_back` ends it, whether it was granted or not."""
        ticket = Ticket(host, urgency, asyncio.get_running_loop().create_future())
        self._push(ticket)
        self._grant()
        return ticket

    def hurry(self, ticket: Ticket, urgency: int) -> None:
        """Make a piece of work that waits more urgent."""
        if urgency < ticket.urgency and not ticket.granted.done():
            ticket.urgency = urgency
            self._push(ticket)

    def give_back(self, ticket: Ticket) -> None:
        """End a turn, or stop waiting for one."""
        if ticket.granted.done() and not ticket.granted.cancelled():
            self._running[ticket.host] -= 1
            self._total -= 1
            if not self._running[ticket.host]:
                del self._running[ticket.host]
        ticket.granted.cancel()
        self._grant()

    def _push(self, ticket: Ticket) -> None:
        line = self._waiting.setdefault(ticket.host, [])
        heapq.heappush(line, (ticket.urgency, next(self._order), ticket))

    def _grant(self) -> None:
        while (ticket := self._next()) is not None:
            self._running[ticket.host] += 1
            self._total += 1
            ticket.granted.set_result(None)

    def _next(self) -> Ticket | None:
        """Return the next piece of work and remove it from its queue; None if none may begin."""
        best: tuple[int, int, int, str] | None = None
        for host in list(self._waiting):
            line = self._waiting[host]
            # Skip work that was given up, or that is queued again because it became more urgent.
            while line and line[0][2].granted.done():
                heapq.heappop(line)
            if not line:
                del self._waiting[host]
                continue
            running = self._running[host]
            if self._total < self._most + (0 if running else self._reserve):
                urgency, order, _ = line[0]
                best = min(best or (urgency, running, order, host), (urgency, running, order, host))
        return None if best is None else heapq.heappop(self._waiting[best[3]])[2]
