"""The modules from which a Go program was built, as the linker records them.

Go's linker stores the text that `go version -m` prints between two marks of 16 bytes each (`cmd/go/internal/modload`,
`infoStart` and `infoEnd`): lines of `dep`, a module's path, its version and its checksum, tab between them; a line `=>`
after one names its replacement. `strip` keeps this text, packing with UPX hides it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["read_go_modules"]

_START = bytes.fromhex("3077af0c9274080241e1c107e6d618e6")
_END = bytes.fromhex("f932433186182072008242104116d8f2")
_MAX_TEXT = 1024 * 1024


def read_go_modules(chunks: Iterable[bytes]) -> Mapping[str, str]:
    """Return the versions of the modules in a program, by their paths; empty if the text is missing.

    Args:
        chunks: the program's bytes in pieces of any size, read only as far as needed.
    """
    held = b""
    inside = False
    for chunk in chunks:
        held += chunk
        while (at := held.find(_END if inside else _START)) >= 0:
            if inside and (found := _modules(held[:at])):
                return found
            held, inside = held[at + (0 if inside else len(_START)) :], not inside
        if not inside or len(held) > _MAX_TEXT:
            held, inside = held[-len(_START) :], False
    return {}


def _modules(text: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    last = ""
    for line in text.decode("utf-8", "replace").splitlines():
        kind, *fields = line.split("\t")
        if kind in {"mod", "dep"} and len(fields) >= 2:
            last = fields[0]
            found[last] = fields[1]
        elif kind == "=>" and len(fields) >= 2 and last:
            found.pop(last)
            found[fields[0]] = fields[1]
            last = ""
    return found
