"""Text in records: names in layers need not be UTF-8, but msgpack accepts only UTF-8.

Bytes that are not UTF-8 are surrogate escapes here (PEP 383). A record states whether its text is escaped:
then a zero is written before the character of each such byte, and before each zero.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from cosinspect.layer.changeset import LayerEntry

__all__ = ["escape", "rewrite", "unescape"]

_ODD = re.compile("[\x00\udc80-\udcff]")
_ESCAPED = re.compile("\x00(.)", re.DOTALL)


def escape(text: str) -> str:
    """Return text that UTF-8 can hold."""
    return _ODD.sub(lambda found: "\x00" + chr(ord(found[0]) & 0xFF), text)


def unescape(text: str) -> str:
    """Return the text that `escape` converted."""
    return _ESCAPED.sub(lambda found: "\x00" if found[1] == "\x00" else chr(0xDC00 | ord(found[1])), text)


def rewrite(entry: LayerEntry, change: Callable[[str], str]) -> LayerEntry:
    """Return an entry with all its text converted."""
    xattrs = entry.xattrs
    return msgspec.structs.replace(
        entry,
        path=change(entry.path),
        link=change(entry.link),
        name=change(entry.name),
        target=change(entry.target),
        xattrs={change(name): change(value) for name, value in xattrs.items()} if xattrs else xattrs,
    )
