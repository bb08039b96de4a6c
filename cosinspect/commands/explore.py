"""`explore IMAGE`: a terminal explorer of layers, tree, contents, findings and boot."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from typing import Any

from attrs import evolve

from cosinspect.commands.command import Terminal, WrongUse
from cosinspect.commands.options import add_image, open_named
from cosinspect.commands.progress import layer_bars
from cosinspect.commands.rule_options import add_profile
from cosinspect.explorer.pages import ImageFindings
from cosinspect.explorer.views import Views
from cosinspect.extras import load_extra, require_extra
from cosinspect.image.image import Image
from cosinspect.layer.layer import Progress

__all__ = ["configure", "explorer", "run"]

SESSION = 30 * 24 * 3600.0
"""Seconds that an explorer may be open; --timeout bounds each thing that it does."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_image(parser)
    add_profile(parser)
    # People may look at an image for hours.
    parser.set_defaults(on_one_image=False)


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Run the command and return the exit status."""
    require_extra("textual", "tui")
    if not terminal.out.isatty() or sys.stdin is None or not sys.stdin.isatty():
        raise WrongUse(
            "expected a terminal on standard input and output, found none; ls, layers and explain print"
        )
    seconds, arguments.timeout = arguments.timeout, SESSION
    with open_named(arguments.image, arguments) as image:
        image.limits = evolve(image.limits, seconds=seconds)
        with layer_bars(terminal) as bars:
            bars.begin(image)
            application = explorer(
                image,
                arguments.profile,
                arguments.policy,
                build_manifest=arguments.manifest,
                progress=bars.advance,
            )
        application.run()
    return 0


def explorer(
    image: Image,
    profile: str = "auto",
    policies: list[str] | None = None,
    *,
    build_manifest: str | None = None,
    progress: Progress | None = None,
) -> Any:
    """Read an image and return the application.

    The checks are imported and run by a thread of it, unless layers must be read: then the files that checks need are kept.

    Args:
        image: open as long as the application runs.
        profile: of the checks.
        policies: further rules.
        build_manifest: names the kernel and initrd of an ISO.
        progress: of the layers.

    Raises:
        MissingPackage: textual is not installed.
        CosinspectError: a layer cannot be read.
    """

    def plan() -> Any:
        planned = import_module("cosinspect.inspection.plan").plan_inspection
        return planned(profile, policies or [], build_manifest=build_manifest)

    kept = (image.cache.layer(layer) for layer in image.layers) if image.cache is not None else ()
    known = tuple(index for index in kept if index is not None)
    reads: tuple[str, ...] = ()
    if len(known) < len(image.layers):
        reads = tuple(dict.fromkeys(pattern for item in plan().checks for pattern in item.reads))
    views = Views(image, image.read_rootfs(reads, known=known, progress=progress))

    def check() -> ImageFindings:
        results: ImageFindings = import_module("cosinspect.explorer.results").check_image(views, plan())
        return results

    return load_extra("cosinspect.explorer.screen", "tui").Explorer(views, check)
