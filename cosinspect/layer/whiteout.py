"""The names of whiteouts and opaque whiteouts, with which a layer deletes paths (image-spec, layer.md, "Whiteouts").

This is the one module that knows the spelling. All others pass paths to it, and get the path of the marker or of the deleted path.
"""

from __future__ import annotations

__all__ = ["AUFS_PREFIX", "NAMELESS", "OPAQUE", "PREFIX", "deleted_by", "opaque_path", "whiteout_path"]

PREFIX = ".wh."
"""The last component of a whiteout's path is this and the name that it deletes."""

OPAQUE = ".wh..wh..opq"
"""The last component of an opaque whiteout's path; it hides what lower layers have in its directory."""

AUFS_PREFIX = ".wh..wh."
"""Names that AUFS keeps for itself."""

NAMELESS = frozenset({PREFIX, f"{PREFIX}.", f"{PREFIX}.."})
"""Whiteouts without a name that can be deleted."""


def whiteout_path(path: str) -> str:
    """Return the path of the whiteout that deletes `path`: `d/.wh.x` for `d/x`."""
    directory, slash, name = path.rpartition("/")
    return f"{directory}{slash}{PREFIX}{name}"


def opaque_path(directory: str) -> str:
    """Return the path of the opaque whiteout of a directory; "" is the root of relative paths."""
    return f"{directory}/{OPAQUE}" if directory else OPAQUE


def deleted_by(marker: str) -> str | None:
    """Return the path that the whiteout at a path deletes; None if the path is not a whiteout's.

    For an opaque whiteout, it is the directory with a slash after it, whose content is deleted.
    """
    directory, slash, name = marker.rpartition("/")
    if name == OPAQUE:
        return f"{directory}/"
    return f"{directory}{slash}{name.removeprefix(PREFIX)}" if name.startswith(PREFIX) else None
