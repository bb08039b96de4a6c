"""`export IMAGE [-o FILE]`: writes the merged tree as a tar archive."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import BinaryIO

from cosinspect.commands.command import Terminal, WrongUse
from cosinspect.commands.files import replaced, require_file
from cosinspect.commands.options import add_image, add_semantics, merged_image
from cosinspect.rootfs.archive import write_archive
from cosinspect.rootfs.rootfs import Rootfs

__all__ = ["configure", "run"]

PIECE_BYTES = 1 << 20
"""Bytes that are collected before they are written: headers are short."""

_logger = logging.getLogger("cosinspect.export")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_image(parser)
    add_semantics(parser)
    parser.add_argument(
        "-o",
        "--output",
        default="-",
        metavar="FILE",
        help="the archive; default: -, which is standard output",
    )


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Run the command and return the exit status."""
    to_stdout = arguments.output == "-"
    if to_stdout and terminal.out.isatty():
        raise WrongUse(
            "expected a file or a pipe for the archive, standard output is a terminal; add -o FILE"
        )
    if not to_stdout:
        require_file("--output", Path(arguments.output))
    with merged_image(arguments, terminal, restartable=False) as (_, rootfs):
        _warn(rootfs)
        if to_stdout:
            terminal.out.flush()
            _write(rootfs, terminal.out.buffer)
        else:
            with replaced(Path(arguments.output)) as beside, beside.open("wb") as file:
                _write(rootfs, file)
    return 0


def _write(rootfs: Rootfs, stream: BinaryIO) -> None:
    collected = bytearray()

    def write(data: bytes) -> None:
        if len(collected) + len(data) > PIECE_BYTES:
            stream.write(collected)
            collected.clear()
        if len(data) >= PIECE_BYTES:
            stream.write(data)
        else:
            collected.extend(data)

    write_archive(rootfs, write)
    stream.write(collected)
    stream.flush()


def _warn(rootfs: Rootfs) -> None:
    """Report the entries that are not in the archive because the reader refuses them."""
    refused = [problem for problem in rootfs.problems if problem.fatal]
    if refused:
        first = refused[0]
        more = f"; {len(refused) - 1} more are missing" if refused[1:] else ""
        _logger.warning(
            "%s cannot apply an entry, and the archive lacks it: layer %d, /%s: %s%s",
            rootfs.semantics.reader,
            first.layer,
            first.path,
            first.message,
            more,
        )
