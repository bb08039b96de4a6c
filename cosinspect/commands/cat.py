"""`cat IMAGE PATH`: one file of the merged tree, or of an initrd in it, byte by byte."""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager

from cosinspect.commands.command import Terminal
from cosinspect.commands.options import (
    add_image,
    add_semantics,
    add_trust,
    merged_image,
    path_in_image,
)
from cosinspect.commands.within import add_within, container_of
from cosinspect.errors import CosinspectError
from cosinspect.formats.boot.initrd_segments import Stream

__all__ = ["configure", "run"]

PIECE_BYTES = 1 << 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_image(parser)
    add_trust(parser)
    add_semantics(parser)
    add_within(parser)
    parser.add_argument("path", metavar="PATH", help="a regular file, or a link to one")


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Run the command and return the exit status."""
    # If the path has no links, the file is kept while its layer is read. If it has links, or the file is too
    # large, the layer is read a second time.
    plain = "/".join(part for part in arguments.path.split("/") if part not in ("", "."))
    retain = () if arguments.within else (plain,)
    with merged_image(arguments, terminal, retain=retain) as (image, rootfs):
        stream: AbstractContextManager[Stream]
        if arguments.within:
            container = container_of(arguments, image, rootfs, wanted=arguments.path)
            _, opened = path_in_image(container.open, arguments.path)
            stream = opened()
        else:
            stream = path_in_image(rootfs.open, arguments.path)
        terminal.out.flush()
        written = 0
        try:
            with stream as content:
                while piece := content.read(PIECE_BYTES):
                    terminal.out.buffer.write(piece)
                    written += len(piece)
        except CosinspectError as fault:
            if not written:
                raise
            remedy = f"do not use the {written} bytes already written: they are not verified"
            raise fault.but(remedy=remedy) from fault
        terminal.out.buffer.flush()
    return 0
