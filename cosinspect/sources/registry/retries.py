"""Time-outs, retries, back-off, `Retry-After`.

Follows RFC 9110, 10.2.3 for `Retry-After`. Nothing here waits without a bound or uses the network.
"""

from __future__ import annotations

import email.utils
import re
from collections.abc import Callable, Mapping

from attrs import frozen

from cosinspect.errors import SourceError, TransportError

__all__ = ["Attempts", "Failure", "Retries", "Timeouts", "retry_after"]


@frozen(kw_only=True)
class Timeouts:
    """How long one request may take, in seconds.

    Attributes:
        connect: until a connection is established.
        read: until an answer's head is complete, and then the maximum time without a byte.
        total: waiting for one document or blob, from the first request to its last byte, retries included.
    """

    connect: float = 10.0
    read: float = 30.0
    total: float = 3600.0


@frozen(kw_only=True)
class Retries:
    """How often and how patiently a request is repeated, and a broken blob resumed.

    Attributes:
        attempts: requests in all, the first included.
        backoff: seconds before the second; doubled before each further one.
        longest_backoff: the most that this comes to.
        longest_retry_after: the maximum `Retry-After` of a server; there is no retry after a larger one.
    """

    attempts: int = 4
    backoff: float = 0.5
    longest_backoff: float = 8.0
    longest_retry_after: float = 60.0


class Attempts:
    """What is left of the patience for one document or blob, which `where` names in messages."""

    def __init__(
        self, timeouts: Timeouts, retries: Retries, sleep: Callable[[float], None], where: str
    ) -> None:
        self._timeouts = timeouts
        self._retries = retries
        self._sleep = sleep
        self.where = where
        self._made = 1
        self._spent = 0.0

    def spend(self, seconds: float) -> None:
        """Count time that was spent waiting.

        Raises:
            TransportError: it is more than `Timeouts.total`.
        """
        self._spent += seconds
        if self._spent > self._timeouts.total:
            raise TransportError(
                f"expected the whole answer within {self._timeouts.total:g} s of waiting, found it unfinished",
                where=self.where,
                remedy="try again over a faster connection, or allow more time",
            )

    def renew(self) -> None:
        """Restart the count of attempts: the last one received enough to justify another."""
        self._made = 1

    def pause(self, failure: SourceError, retry_after: float | None = None) -> None:
        """Wait before the next attempt.

        Args:
            failure: what ended this one.
            retry_after: the seconds that the server requests, if any.

        Raises:
            SourceError: `failure`, if no attempt is left, or the server requests a longer wait.
        """
        policy = self._retries
        if self._made >= policy.attempts or (retry_after or 0) > policy.longest_retry_after:
            raise failure
        wait = min(policy.backoff * 2 ** (self._made - 1), policy.longest_backoff)
        wait = max(wait, retry_after or 0)
        self._made += 1
        self.spend(wait)
        self._sleep(wait)


@frozen
class Failure:
    """An attempt that came to nothing, and whether another may fare better."""

    error: SourceError
    again: bool
    retry_after: float | None = None

    def settle(self, attempts: Attempts) -> None:
        """Wait for the next attempt, or raise the error if none is left."""
        error = self.error.but(where=attempts.where)
        if not self.again:
            raise error
        attempts.pause(error, self.retry_after)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read `Retry-After`, seconds or a date that is compared with the server's own (RFC 9110, 10.2.3)."""
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        until = email.utils.parsedate_to_datetime(text)
        now = email.utils.parsedate_to_datetime(headers.get("Date", ""))
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
