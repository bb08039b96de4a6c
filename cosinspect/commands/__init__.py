"""The commands, a module each: what arguments they take and what they do with them.

A module is loaded when its command is used; a verdict that is known takes less time than all of them would.
It may import every room but `cli`. Options that several commands share are in `options`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

from cosinspect.commands.command import Command, Terminal

__all__ = ["COMMANDS"]


def _command(name: str, arguments: str, summary: str) -> Command:
    def configure(parser: argparse.ArgumentParser) -> None:
        import_module(f"cosinspect.commands.{name}").configure(parser)

    def run(given: argparse.Namespace, terminal: Terminal) -> int:
        status: int = import_module(f"cosinspect.commands.{name}").run(given, terminal)
        return status

    return Command(name, arguments, summary, configure, run)


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        name: _command(name, arguments, summary)
        for name, arguments, summary in (
            ("check", "IMAGE", "say what an image can do, and if not, why"),
            ("boot", "IMAGE", "start an image in an emulator, and say what came of it"),
            ("explain", "IMAGE [CHECK|PATH]", "tell the chain from cause to verdict"),
            ("diff", "IMAGE [OTHER]", "tell what others see in an image, or what another image has"),
            ("ls", "IMAGE [PATH]", "list the merged tree"),
            ("cat", "IMAGE PATH", "write one file, links resolved"),
            ("history", "IMAGE PATH", "tell what each layer did to a path"),
            ("packages", "IMAGE", "list the packages of every luet database"),
            ("checks", "[ID]", "list the checks, or explain one"),
            ("scan", "IMAGE...", "inspect many images, each layer once"),
            ("serve", "--config FILE", "answer admission requests, registries and scanners"),
            ("deploy", "kubernetes|gatekeeper|harbor", "print what puts a server into a cluster"),
            ("attest", "IMAGE --key FILE", "sign the verdict, and put it beside the image"),
            ("cache", "info|verify|prune", "show, verify or shrink what is kept of layers and verdicts"),
            ("demo", "[--broken KIND]", "make a small derivative, serve it, and check it"),
        )
    }
)
"""Every command by its name, in the order in which people are told of them."""
