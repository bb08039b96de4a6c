"""Values parsed from an image's files, each file once: by its place in a layer, independent of its paths.

With a cache, later inspections use them too, so that large files (an initrd, a kernel, a package database)
are read once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import nullcontext
from typing import TypeVar

import msgspec
from attrs import evolve, frozen

from cosinspect.cache import Cache
from cosinspect.cache.code import code_digest
from cosinspect.deadline import running
from cosinspect.errors import ContentError, FormatError
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.wire_types import ready

__all__ = ["Parsed"]

KIND = "parsed"

T = TypeVar("T")


@frozen
class _Fault:
    message: str
    kind: str
    offset: int | None
    where: str | None
    remedy: str | None


class _Outcome(msgspec.Struct, array_like=True):
    fault: _Fault | None
    value: msgspec.Raw


class Parsed:
    """Values by kind and place of their bytes; the error for a file of another format is a value too."""

    def __init__(self, cache: Cache | None = None, *, limits: Limits = DEFAULT_LIMITS) -> None:
        """Start empty, or with the values that `cache` has for the same bounds."""
        self._cache = cache
        self._bounds = repr(evolve(limits, seconds=0.0))
        self._known: dict[tuple[str, str, int], object] = {}

    def get(self, kind: str, place: tuple[str, int], parse: Callable[[], T], *, type: type[T]) -> T:  # noqa: A002
        """Return the value of the file at a place; `parse` makes it if it is not known.

        Args:
            kind: of the value.
            place: the digest of a layer and the offset of the content in it (`Rootfs.origin`).
            parse: reads the file.
            type: of the value.

        Raises:
            FormatError: the file does not have that format.
            CosinspectError: other errors of `parse`; they are not stored.
        """
        key = (kind, *place)
        found = self._known.get(key)
        if isinstance(found, Future):
            found = self._known[key] = found.result()
        if found is None:
            found = self._known[key] = self._recalled(key, type) or self._made(key, parse)
        if isinstance(found, FormatError):
            raise found
        value: T = found  # type: ignore[assignment] # of the type that was asked for
        return value

    def begin(
        self,
        kind: str,
        place: tuple[str, int],
        parse: Callable[[], T],
        *,
        type: type[T],  # noqa: A002
        confirmed: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Start to parse a file in a separate thread; `get` waits for it, and raises its error.

        Args:
            kind: of the value.
            place: as for `get`.
            parse: reads the file.
            type: of the value.
            confirmed: waits for the verification of the bytes, and returns its result; unverified values are dropped.

        Returns:
            whether it was started; a known value is not parsed again.
        """
        key = (kind, *place)
        if key in self._known:
            return False
        recalled = self._recalled(key, type)
        if recalled is not None:
            self._known[key] = recalled
            return False
        future: Future[object] = Future()
        self._known[key] = future

        deadline = running()

        def work() -> None:
            try:
                with deadline.running(kind) if deadline is not None else nullcontext():
                    future.set_result(self._made(key, parse, confirmed))
            except BaseException as fault:  # noqa: BLE001 - the caller gets the error
                future.set_exception(fault)

        # Not a thread of a pool: the process does not wait for an unused value at its end.
        threading.Thread(target=work, name=kind, daemon=True).start()
        return True

    def _made(
        self, key: tuple[str, str, int], parse: Callable[[], T], confirmed: Callable[[], bool] = lambda: True
    ) -> T | FormatError:
        try:
            value = parse()
            _require(confirmed)
        except FormatError as fault:
            _require(confirmed)
            told = _Fault(fault.message, fault.kind, fault.offset, fault.where, fault.remedy)
            self._keep(key, told, None)
            return fault
        self._keep(key, None, value)
        return value

    def _keep(self, key: tuple[str, str, int], fault: _Fault | None, value: object) -> None:
        if self._cache is None:
            return
        try:
            data = msgspec.msgpack.encode(_Outcome(fault, msgspec.Raw(msgspec.msgpack.encode(value))))
        except UnicodeEncodeError:  # names in it are not UTF-8
            return
        self._cache.keep_value(data, KIND, *self._parts(key))

    def _recalled(self, key: tuple[str, str, int], of: type[T]) -> T | FormatError | None:
        data = self._cache.value(KIND, *self._parts(key)) if self._cache is not None else None
        if data is None:
            return None
        try:
            outcome = msgspec.msgpack.decode(data, type=ready(_Outcome))
            if outcome.fault is None:
                return msgspec.msgpack.decode(outcome.value, type=ready(of))
        except msgspec.DecodeError:  # an invented file
            return None
        fault = outcome.fault
        return FormatError(
            fault.message, kind=fault.kind, offset=fault.offset, where=fault.where, remedy=fault.remedy
        )

    def _parts(self, key: tuple[str, str, int]) -> tuple[bytes | str, ...]:
        kind, digest, offset = key
        return code_digest(), self._bounds, kind, digest, str(offset)


def _require(confirmed: Callable[[], bool]) -> None:
    if not confirmed():
        raise ContentError("what was parsed was not what the image says")
