"""The option that looks into a file of the image: `--in FILE`, for initrds and EFI programs.

It is an option, and not a part of the image's name or of the path: shells expand `!`, and any other separator may be in a name.
"""

from __future__ import annotations

import argparse
import logging
from importlib import import_module
from typing import TYPE_CHECKING

from cosinspect.commands.command import NotInImage
from cosinspect.errors import FormatError, RootfsError
from cosinspect.image.image import Image
from cosinspect.rootfs.rootfs import Rootfs

if TYPE_CHECKING:
    from cosinspect.facts.inner_files import Container

__all__ = ["add_within", "container_of"]

_logger = logging.getLogger("cosinspect.initrd")


def add_within(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument(
        "--in",
        dest="within",
        action="append",
        default=[],
        metavar="FILE",
        help="look into this file: the files of an initrd, or the sections of an EFI program; may be repeated: "
        "--in /EFI/Linux/os.efi --in .initrd",
    )


def container_of(
    arguments: argparse.Namespace, image: Image, rootfs: Rootfs, *, wanted: str = ""
) -> Container:
    """Open the file that the arguments of `add_within` name; print what of it is not read.

    Raises:
        NotInImage: it is not there, or neither an initrd nor an EFI program.
        FormatError: it cannot be read here.
    """
    first, *within = arguments.within
    try:
        # Imported on demand: few look into initrds.
        inner_files = import_module("cosinspect.facts.inner_files")
        container: Container = inner_files.open_container(
            rootfs, first, within, wanted=wanted, limits=image.limits
        )
    except RootfsError as fault:
        raise NotInImage(str(fault)) from fault
    except FormatError as fault:
        raise fault.but(remedy=fault.remedy or "unpack it with the tool that made it") from fault
    for problem in container.problems:
        _logger.warning("%s: %s", arguments.within[-1], problem)
    return container
