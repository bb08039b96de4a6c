"""`layers IMAGE`: what each layer adds, changes and removes, and what of it later layers waste."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from cosinspect.commands.command import Terminal
from cosinspect.commands.options import add_format, add_image, add_semantics, merged_image
from cosinspect.image.image import Image
from cosinspect.layer.layer import Layer
from cosinspect.report.display import printable, size
from cosinspect.report.evidence import shorten_step
from cosinspect.report.json_text import json_text
from cosinspect.rootfs.effects import LayerEffect, StackEffects, WastedFile, stack_effects
from cosinspect.rootfs.efficiency import Efficiency, measure_efficiency
from cosinspect.rootfs.rootfs import Rootfs

__all__ = ["configure", "run"]

TOP = 10
"""The number of wasted files that are listed by default."""
_MOST_LISTED = 1_000_000
_UNNAMED = "(not named)"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_image(parser)
    add_semantics(parser)
    parser.add_argument(
        "--top",
        type=_count,
        default=TOP,
        metavar="N",
        help=f"maximum number of wasted files to list, the largest first; default: {TOP}",
    )
    add_format(parser)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 8 and int(text) <= _MOST_LISTED):
        raise argparse.ArgumentTypeError(f"expected a number from 0 to {_MOST_LISTED}, found {text[:20]!r}")
    return int(text)


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Run the command and return the exit status."""
    with merged_image(arguments, terminal, restartable=False) as (image, rootfs):
        with image.deadline.running(image.name):
            effects = stack_effects(rootfs.indexes, rootfs.semantics, limits=image.limits)
            efficiency = measure_efficiency(rootfs.indexes)
        if arguments.format == "json":
            values = _values(image, rootfs, effects, efficiency, arguments.top)
            terminal.out.write(json_text(values, indent=2) + "\n")
            return 0
        for line in _lines(image, rootfs, effects, efficiency, arguments.top, terminal.columns):
            terminal.out.write(line + "\n")
    return 0


def _values(
    image: Image, rootfs: Rootfs, effects: StackEffects, efficiency: Efficiency, top: int
) -> dict[str, Any]:
    return {
        "schema": "cosinspect.layers/1",
        "image": {"name": image.name, "digest": str(image.digest)},
        "semantics": rootfs.semantics.value,
        "layers": [
            {
                "layer": layer.position,
                "digest": str(layer.descriptor.digest),
                "media_type": layer.descriptor.media_type,
                "size": layer.descriptor.size,
                "uncompressed_size": index.uncompressed_size,
                "added": effect.added,
                "changed": effect.changed,
                "removed": effect.removed,
                "content_bytes": effect.content_bytes,
                "wasted_bytes": effect.wasted_bytes,
                "created_by": layer.created_by,
            }
            for layer, index, effect in zip(image.layers, rootfs.indexes, effects.layers, strict=True)
        ],
        "content_bytes": effects.content_bytes,
        "wasted_bytes": effects.wasted_bytes,
        "wasted_files": len(effects.wasted),
        "wasted": [
            {
                "path": file.path,
                "size": file.size,
                "layer": file.layer,
                "gone": file.gone,
                "action": file.action.value,
            }
            for file in effects.wasted[:top]
        ],
        "dive": {"efficiency": efficiency.score, "wasted_bytes": efficiency.wasted_bytes},
    }


def _lines(
    image: Image, rootfs: Rootfs, effects: StackEffects, efficiency: Efficiency, top: int, columns: int
) -> Iterator[str]:
    yield f"{printable(image.name)}  {image.digest}"
    yield ""
    yield f"{'layer':>5}  {'size':>9}  {'contents':>9}  {'added':>7}  {'changed':>7}  {'removed':>7}  {'wasted':>9}  step"
    for layer, effect in zip(image.layers, effects.layers, strict=True):
        yield _row(layer, effect, columns)
    yield ""
    stored = sum(layer.descriptor.size for layer in image.layers)
    unpacked = sum(index.uncompressed_size for index in rootfs.indexes)
    number = f"{len(image.layers)} layer{'' if len(image.layers) == 1 else 's'}"
    yield f"{number}, {size(stored)}, {size(unpacked)} uncompressed"
    yield f"wasted: {size(effects.wasted_bytes)} of {size(effects.content_bytes)} are replaced or removed by later layers"
    yield f"efficiency: {100 * efficiency.score:.1f} % as dive counts it, {size(efficiency.wasted_bytes)} wasted"
    if effects.wasted and top:
        yield ""
        yield "wasted files, the largest first"
        for file in effects.wasted[:top]:
            yield _wasted(file)
        if len(effects.wasted) > top:
            yield f"  and {len(effects.wasted) - top} more; --top {min(len(effects.wasted), _MOST_LISTED)} lists them"


def _row(layer: Layer, effect: LayerEffect, columns: int) -> str:
    counts = f"{effect.added:>7}  {effect.changed:>7}  {effect.removed:>7}"
    sizes = f"{size(layer.descriptor.size):>9}  {size(effect.content_bytes):>9}"
    row = f"{layer.position:>5}  {sizes}  {counts}  {size(effect.wasted_bytes):>9}  "
    step = shorten_step(layer.created_by, max(columns - len(row), 20)) if layer.created_by else _UNNAMED
    return row + printable(step)


def _wasted(file: WastedFile) -> str:
    by = "the layer itself" if file.gone == file.layer else f"layer {file.gone}"
    return f"  {size(file.size):>9}  {printable(file.path)}  layer {file.layer}, {file.action.value} by {by}"
