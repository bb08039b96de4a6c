"""An image that several places may have: each is asked in turn, and the first that has it serves all of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from attrs import frozen

from cosinspect.blob import ByteStream
from cosinspect.errors import RegistryError, SourceError, TransportError
from cosinspect.oci.descriptor import Descriptor
from cosinspect.sources.registry.source import RegistrySource

__all__ = ["Candidate", "MirroredSource"]


@frozen
class Candidate:
    """One place to ask.

    Attributes:
        name: for messages.
        open: returns the source there, without a request.
        after_silence: asked only if the place before it did not answer at all: plain HTTP, where TLS was tried first.
        after_plain: asked only if the place before it refused plain HTTP: TLS, where plain HTTP was tried first.
    """

    name: str
    open: Callable[[], RegistrySource]
    after_silence: bool = False
    after_plain: bool = False


class MirroredSource:
    """One image, as a `cosinspect.blob.Source`, from the first of several places that has it."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._candidates = candidates
        self._chosen: RegistrySource | None = None
        self._resolved: Descriptor | None = None
        self._lock = threading.Lock()

    def resolve(self) -> Descriptor:
        """Ask one place after the other for the manifest.

        Raises:
            SourceError: no place has it; the error is that of the image's own registry, with the errors of the others.
            CosinspectError: what a place sends is not what it must be.
        """
        with self._lock:
            if self._resolved is None:
                self._resolved = self._choose()
            return self._resolved

    def open(self, descriptor: Descriptor) -> ByteStream:
        """Open a blob where the manifest came from.

        Raises:
            SourceError: as of a `RegistrySource`.
        """
        self.resolve()
        assert self._chosen is not None  # noqa: S101 - or resolve has raised
        return self._chosen.open(descriptor)

    def open_range(self, descriptor: Descriptor, start: int, stop: int) -> ByteStream | None:
        """Open a part of a blob where the manifest came from.

        Raises:
            SourceError: as of a `RegistrySource`.
        """
        self.resolve()
        assert self._chosen is not None  # noqa: S101 - or resolve has raised
        return self._chosen.open_range(descriptor, start, stop)

    def close(self) -> None:
        """Close the connections."""
        if self._chosen is not None:
            self._chosen.close()

    def _choose(self) -> Descriptor:
        told: list[str] = []
        last: SourceError | None = None
        for candidate in self._candidates:
            if candidate.after_silence and not isinstance(last, TransportError):
                continue
            if candidate.after_plain and not _refuses_plain_http(last):
                continue
            source = candidate.open()
            try:
                found = source.resolve()
            except SourceError as fault:
                source.close()
                told.append(f"{candidate.name}: {fault.message}")
                last = fault
            except BaseException:
                source.close()
                raise
            else:
                self._chosen = source
                return found
        assert last is not None  # noqa: S101 - there is one candidate at least
        if len(told) > 1:
            before = "; ".join(told[:-1])
            raise last.but(message=f"{last.message} (before that, {before})") from last
        raise last


def _refuses_plain_http(fault: SourceError | None) -> bool:
    """Return whether a server that speaks TLS answered plain HTTP: with 400 and without an error of a registry."""
    return isinstance(fault, RegistryError) and fault.status == 400 and not fault.codes
