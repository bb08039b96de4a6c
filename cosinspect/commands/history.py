"""`history IMAGE PATH`: prints what each layer did to a path, and the layer's build step."""

from __future__ import annotations

import argparse
from typing import Any

from cosinspect.commands.command import NotInImage, Terminal
from cosinspect.commands.options import add_format, add_image, add_semantics, merged_image
from cosinspect.layer.layer import Layer
from cosinspect.report.display import printable, size
from cosinspect.report.json_text import json_text
from cosinspect.report.report import shorten_step
from cosinspect.rootfs.history import Action, Change

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_image(parser)
    add_semantics(parser)
    parser.add_argument(
        "path", metavar="PATH", help="path, which need not exist any more; a link at its end is not followed"
    )
    add_format(parser)


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Run the command and return the exit status."""
    with merged_image(arguments, terminal, restartable=False) as (image, rootfs):
        changes = rootfs.history(arguments.path)
        layers = image.layers
    if not changes:
        raise NotInImage(f"{arguments.path}: no layer ever had it")
    if arguments.format == "json":
        values = [_values(change, layers[change.layer]) for change in changes]
        terminal.out.write(json_text(values, indent=2) + "\n")
        return 0
    for change in changes:
        for line in _lines(change, layers[change.layer], terminal.columns):
            terminal.out.write(line + "\n")
    return 0


def _values(change: Change, layer: Layer) -> dict[str, Any]:
    return {
        "layer": change.layer,
        "digest": str(layer.descriptor.digest),
        "action": change.action.value,
        "cause": change.cause,
        "type": change.type,
        "size": change.size,
        "link": change.link,
        "created_by": layer.created_by,
    }


def _lines(change: Change, layer: Layer, columns: int) -> list[str]:
    head = f"layer {change.layer:<4} {change.action.value:<10}"
    if change.action is Action.REMOVED:
        lines = [f"{head}  by {printable(change.cause)}"]
    else:
        lines = [f"{head}  {_what(change)}"]
    step = (
        shorten_step(layer.created_by, columns - 11)
        if layer.created_by
        else "the image does not name the build step"
    )
    return [*lines, f"           {printable(step)}"]


def _what(change: Change) -> str:
    if change.type == "symlink":
        return f"symlink -> {printable(change.link)}"
    if change.type == "file":
        return f"file, {size(change.size)}"
    if change.action is Action.IMPLIED:
        return "dir, implied by its content in the layer"
    return change.type
