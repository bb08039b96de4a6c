"""Whose turn it is: work that waits, by the host that it waits for, so that a slow host holds up nobody else's work."""

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
        host: where its bytes come from.
        urgency: less goes first.
        granted: done when its turn comes.
    """

    host: str
    urgency: int
    granted: asyncio.Future[None] = field(repr=False)


class Turns:
    """Grants turns, a bounded number at once, in one event loop.

    One host may have all `most` turns while nothing else waits. A host that has no turn takes one of `reserve` further
    ones at once: so many slow hosts hold up no other. Of several hosts that wait, the one with the fewest turns goes first.

    Args:
        most: turns at once.
        reserve: further turns, for hosts that have none.
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
        """End a turn, or no longer wait for one."""
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
        """Take the piece of work whose turn it is out of its line; None if none may begin."""
        best: tuple[int, int, int, str] | None = None
        for host in list(self._waiting):
            line = self._waiting[host]
            # What was given up, or is in the line a second time as it became more urgent, is skipped.
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
