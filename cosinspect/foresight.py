"""Work that begins before it is asked for: an initrd is unpacked while other layers are still being read.

Which file boots is known only when all layers are merged. One that lies in its usual place is very likely it; if another one
boots, the work was in vain, and no verdict is another one.
"""

from __future__ import annotations

import io
import re
import threading

from cosinspect.changeset import LayerIndex
from cosinspect.checks.facts import unpack_initrd
from cosinspect.formats.initrd import Initrd
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.parsed import Parsed

__all__ = ["InitrdForesight"]

MOST = 2
"""Initrds that are unpacked ahead: the second one for an image whose base brought one, too."""

_USUAL = re.compile(
    r"boot/(?:initrd|initramfs|elemental\.initrd)[^/]*|(?:usr/)?lib/modules/[^/]+/initramfs\.img"
)
# Less is done in no time.
_WORTH_BYTES = 1024 * 1024


class InitrdForesight:
    """Begins to unpack the initrds of layers as they come."""

    def __init__(self, parsed: Parsed, *, limits: Limits = DEFAULT_LIMITS) -> None:
        """Put what comes of it into `parsed`, where whoever asks finds it."""
        self._parsed = parsed
        self._limits = limits
        self._lock = threading.Lock()
        self._left = MOST

    def __call__(self, index: LayerIndex) -> None:
        """Look at a layer that was read; called from the threads that read layers."""
        found = [
            entry
            for entry in index.entries
            if entry.type == "file"
            and entry.size >= _WORTH_BYTES
            and entry.data in index.contents
            and _USUAL.fullmatch(entry.path)
        ]
        if len(found) != 1:  # with several, nobody knows
            return
        with self._lock:
            if not self._left:
                return
            self._left -= 1
        (entry,) = found
        body = index.contents[entry.data]
        self._parsed.begin(
            "initrd",
            (str(index.descriptor.digest), entry.data),
            lambda: unpack_initrd(io.BytesIO(body), entry.size, self._limits),
            type=Initrd,
        )
