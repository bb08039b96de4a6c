"""The one schedule by which an image's layers are read: each once, some in parallel, until all are there or one cannot be read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self, TypeAlias

from cosinspect.deadline import Deadline
from cosinspect.errors import InvalidLayer
from cosinspect.layer.changeset import LayerIndex
from cosinspect.layer.layer import Layer
from cosinspect.oci.documents import Digest

__all__ = ["LayerKey", "LayerSchedule", "key_of"]

LayerKey: TypeAlias = tuple[Digest, Digest]
"""What makes two layers the same: digest and diff_id."""


def key_of(layer: Layer | LayerIndex) -> LayerKey:
    """Return what a layer is known by."""
    return layer.descriptor.digest, layer.diff_id


class LayerSchedule:
    """Layers that are being read, in threads; use it in a `with` statement, which gives up what still runs after an error."""

    def __init__(
        self,
        layers: Mapping[LayerKey, Layer],
        read: Callable[[Layer, threading.Event], LayerIndex],
        *,
        jobs: int,
        deadline: Deadline,
        where: str,
    ) -> None:
        """Begin to read.

        Args:
            layers: in the order in which they are begun.
            read: reads one, and gives up soon once the event is set.
            jobs: layers read in parallel.
            deadline: by when it must be done.
            where: the image's name, for messages.
        """
        self._cancelled = threading.Event()
        self._deadline = deadline
        self._where = where
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="layer")
        self._futures = {
            key: self._pool.submit(read, layer, self._cancelled) for key, layer in layers.items()
        }

    def results(self, keys: Iterable[LayerKey] | None = None) -> dict[LayerKey, LayerIndex]:
        """Wait until these layers are read, all by default, and return their indexes.

        If no runtime can read some layers, all are awaited and the lowest is reported, so that the error is always the same.

        Raises:
            LimitExceeded: the deadline passes.
            CosinspectError: a layer cannot be had or read.
        """
        wanted = self._futures if keys is None else {key: self._futures[key] for key in keys}
        unreadable: list[InvalidLayer] = []
        pending: set[Future[LayerIndex]] = set(wanted.values())
        while pending:
            done, pending = wait(pending, timeout=self._deadline.left(), return_when=FIRST_EXCEPTION)
            for future in done:
                fault = future.exception()
                if isinstance(fault, InvalidLayer) and fault.kind:
                    unreadable.append(fault)
                elif fault is not None:
                    raise fault
            if pending:
                self._deadline.heed(self._where)
        if unreadable:
            raise min(unreadable, key=lambda fault: fault.layer or 0)
        return {key: future.result() for key, future in wanted.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._cancelled.set()
        # A worker that hangs in a read would delay the report of an error or an interrupt.
        self._pool.shutdown(wait=kind is None, cancel_futures=True)
