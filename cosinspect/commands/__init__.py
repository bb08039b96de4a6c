"""The commands, one module each: their arguments and what they do.

A module is imported when its command is used: importing all takes longer than a cached verdict. It may import
every room but `cli`. `options` has the options that several commands share.
"""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType

from cosinspect.commands.command import Command

TYPE_CHECKING = False

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from cosinspect.commands.command import Terminal

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
            ("check", "IMAGE", "report what an image can do, and why not the rest"),
            ("boot", "IMAGE", "start an image in QEMU, and report the result"),
            ("explain", "IMAGE [CAPABILITY|CHECK|PATH]", "print the chain from cause to verdict"),
            ("diff", "IMAGE [OTHER]", "compare how runtimes read an image, or two images"),
            ("ls", "IMAGE [PATH]", "list the merged tree"),
            ("cat", "IMAGE PATH", "write one file; resolve links"),
            ("history", "IMAGE PATH", "print what each layer did to a path"),
            ("layers", "IMAGE", "print what each layer adds, changes, removes and wastes"),
            ("explore", "IMAGE", "look around in an image on a terminal"),
            ("export", "IMAGE [-o FILE]", "write the merged tree as a tar archive"),
            ("packages", "IMAGE", "list the packages, with the layer that brought each"),
            ("checks", "[ID]", "list the checks, or explain one"),
            ("scan", "IMAGE...", "inspect many images, each layer once"),
            ("serve", "--config FILE", "answer admission requests, registries and scanners"),
            (
                "deploy",
                "kubernetes|gatekeeper|harbor|systemd",
                "print the manifests, or the unit, that deploy a server",
            ),
            ("attest", "IMAGE --key FILE", "sign the verdict, and push it beside the image"),
            ("cache", "info|verify|prune", "show, verify or shrink the cache of layers and verdicts"),
            ("completion", "bash|zsh|fish", "print the script that completes commands and options"),
            ("schema", "[NAME]", "print the JSON Schema of an output, or list them"),
            ("demo", "[--broken KIND]", "build a small derivative, serve it, and check it"),
        )
    }
)
"""Every command by its name, in the order of the help text."""
