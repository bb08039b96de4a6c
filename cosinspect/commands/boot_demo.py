"""`boot --demo`: a real boot of a small derivative, made on the spot and pulled from a registry inside the process."""

from __future__ import annotations

import argparse

from cosinspect.boot.demo import demo_image
from cosinspect.commands.boot import boot_named
from cosinspect.commands.command import Terminal
from cosinspect.testing import Registry

__all__ = ["run_demo"]

NAME = "cos/derivative:demo"


def run_demo(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Make the image, boot it, and give the exit status.

    Raises:
        CannotBoot: this machine has nothing to make it of, or no emulator.
    """
    image = demo_image()
    # It is made anew each time.
    arguments.cache, arguments.no_cache = None, True
    arguments.platform = None
    with Registry() as registry:
        return boot_named(registry.push(image, NAME), arguments, terminal)
