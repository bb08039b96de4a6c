"""Work that starts before its result is needed: an initrd is unpacked while its layer passes, and others are still being read.

Which file boots is known only when all layers are merged. An initrd in its usual place is very likely the one
that boots; if another one boots, the work is unused, and the verdict is the same. What is unpacked so is not
kept beside what comes of it.
"""

from __future__ import annotations

import queue
import re
import threading

from cosinspect.cache.parsed import Parsed
from cosinspect.facts.facts import unpack_initrd
from cosinspect.formats.boot.initrd import Initrd
from cosinspect.layer.changeset import LayerEntry
from cosinspect.layer.indexing import BodySink
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci.documents import Descriptor

__all__ = ["MOST", "InitrdPrefetch"]

MOST = 2
"""Initrds that are unpacked ahead: the second one for an image whose base brought one, too."""

_USUAL = re.compile(
    r"boot/(?:initrd|initramfs|elemental\.initrd)[^/]*|(?:usr/)?lib/modules/[^/]+/initramfs\.img"
)
# Less is done in no time.
_WORTH_BYTES = 1024 * 1024
_PIECES = 16
_PATIENCE_S = 0.1


class InitrdPrefetch:
    """Begins to unpack the initrds of layers as they come; of several in a layer, the first.

    Attributes:
        least: the size in bytes of the smallest file that is worth it.
    """

    least = _WORTH_BYTES

    def __init__(self, parsed: Parsed, *, limits: Limits = DEFAULT_LIMITS) -> None:
        """Store the result in `parsed`."""
        self._parsed = parsed
        self._limits = limits
        self._lock = threading.Lock()
        self._layers: set[str] = set()

    def follow(self, layer: Descriptor, entry: LayerEntry) -> BodySink | None:
        """Take a file that is likely the initrd; called from the threads that read layers."""
        if entry.size < _WORTH_BYTES or not _USUAL.fullmatch(entry.path):
            return None
        digest = str(layer.digest)
        with self._lock:
            if len(self._layers) >= MOST or digest in self._layers:
                return None
            self._layers.add(digest)
        pipe = _Pipe()

        def unpack() -> Initrd:
            try:
                return unpack_initrd(pipe, entry.size, self._limits)
            finally:
                pipe.abandon()

        begun = self._parsed.begin(
            "initrd", (digest, entry.data), unpack, type=Initrd, confirmed=pipe.is_verified
        )
        return pipe if begun else None


class _Pipe:
    """A file on its way from the thread that reads its layer to the one that unpacks it: a few pieces at a time."""

    def __init__(self) -> None:
        self._pieces: queue.Queue[bytes] = queue.Queue(_PIECES)
        self._piece = b""
        self._ended = False
        self._abandoned = threading.Event()
        self._known = threading.Event()
        self._verified = False

    # -- for the layer ---------------------------------------------------------------------------------------------

    def write(self, data: bytes, /) -> None:
        """Pass bytes on, as soon as there is room."""
        while not self._abandoned.is_set():
            try:
                self._pieces.put(data, timeout=_PATIENCE_S)
            except queue.Full:
                continue
            return

    def end(self) -> None:
        """Pass on that these were all."""
        self.write(b"")

    def confirm(self, verified: bool, /) -> None:
        """Pass on whether the layer is what the image says; one that was left in the middle of the file is not."""
        self._verified = verified
        self._known.set()
        if not verified:
            self.end()

    # -- for who unpacks it ----------------------------------------------------------------------------------------

    def read(self, size: int, /) -> bytes:
        """Return at most `size` further bytes, and none at the end."""
        if not self._piece and not self._ended:
            self._piece = self._pieces.get()
            self._ended = not self._piece
        data, self._piece = self._piece[:size], self._piece[size:]
        return data

    def abandon(self) -> None:
        """Stop reading; the writer does not wait."""
        self._abandoned.set()

    def is_verified(self) -> bool:
        """Return whether what was read was what the image says; that is known when the layer has passed."""
        self._known.wait()
        return self._verified
