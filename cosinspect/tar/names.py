"""Names in archives: cleaned as the runtimes do and confined to the root, or as Go's `filepath.Clean` returns them."""

from __future__ import annotations

import re

__all__ = ["cleaned", "normalise"]

# A component that is empty, "." or "..".
_ODD_COMPONENT = re.compile(r"(?:^|/)\.{0,2}(?:/|$)")


def cleaned(name: str) -> str:
    """Return a name as Go's `filepath.Clean` does, "." for an empty one; a leading `..` or slash stays."""
    kept: list[str] = []
    for component in name.split("/"):
        if component == ".." and (not kept or kept[-1] == ".."):
            if not name.startswith("/"):
                kept.append("..")
        elif component == "..":
            kept.pop()
        elif component not in ("", "."):
            kept.append(component)
    path = "/".join(kept)
    return f"/{path}" if name.startswith("/") else path or "."


def normalise(name: str) -> tuple[str, bool]:
    """Clean a name lexically, confined to the root as containerd and umoci do; return whether it tried to leave the root."""
    path = name.removeprefix("./").removesuffix("/")
    if not _ODD_COMPONENT.search(path):
        return path, False
    kept: list[str] = []
    escapes = False
    for component in name.split("/"):
        if component == "..":
            escapes = escapes or not kept
            del kept[-1:]
        elif component not in ("", "."):
            kept.append(component)
    return "/".join(kept), escapes
