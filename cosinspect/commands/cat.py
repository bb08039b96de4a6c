"""`cat IMAGE PATH`: one file of the merged tree, byte by byte."""

from __future__ import annotations

import argparse

from cosinspect.commands.command import Terminal
from cosinspect.commands.options import (
    add_image,
    add_semantics,
    add_trust,
    merged_image,
    path_in_image,
)
from cosinspect.errors import CosinspectError

__all__ = ["configure", "run"]

PIECE_BYTES = 1 << 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_image(parser)
    add_trust(parser)
    add_semantics(parser)
    parser.add_argument("path", metavar="PATH", help="a regular file, or a link to one")


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Run the command and return the exit status."""
    # If the path has no links, the file is kept while its layer is read. If it has links, or the file is too
    # large, the layer is read a second time.
    plain = "/".join(part for part in arguments.path.split("/") if part not in ("", "."))
    with merged_image(arguments, terminal, retain=(plain,)) as (_, rootfs):
        stream = path_in_image(rootfs.open, arguments.path)
        terminal.out.flush()
        written = 0
        try:
            with stream:
                while piece := stream.read(PIECE_BYTES):
                    terminal.out.buffer.write(piece)
                    written += len(piece)
        except CosinspectError as fault:
            if not written:
                raise
            remedy = f"do not use the {written} bytes already written: they are not verified"
            raise fault.but(remedy=remedy) from fault
        terminal.out.buffer.flush()
    return 0
