"""`boot IMAGE`: write the image to a disk, start it in an emulator, and say what came of it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from attrs import evolve

from cosinspect.boot.outcome import BootResult, Outcome
from cosinspect.boot.trial import Trial, try_boot
from cosinspect.commands.command import Terminal, WrongUse
from cosinspect.commands.options import add_format, add_image, open_named
from cosinspect.commands.progress import layer_bars
from cosinspect.commands.rule_options import add_profile, policies_of
from cosinspect.inspection.inspection import Inspection
from cosinspect.inspection.plan import plan_inspection
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.report.display import printable, wrap
from cosinspect.report.json_text import json_text
from cosinspect.report.lines import generation_words
from cosinspect.report.report import Capability, Report, Status

__all__ = ["boot_named", "configure", "run"]

STATUSES = {True: 0, False: 1, None: 3}
LEAST_MEMORY = 256
SHOWN_LINES = 12
_ANSI = {"good": "\x1b[1;32m", "bad": "\x1b[1;31m", "open": "\x1b[1;33m", "end": "\x1b[0m"}
_WORDS = {Status.YES: "boots", Status.NO: "does not boot", Status.UNKNOWN: "unknown whether it boots"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_image(parser)
    image = next(action for action in parser._actions if action.dest == "image")  # noqa: SLF001 - argparse has no other way
    image.nargs = "?"
    timeout = next(action for action in parser._actions if action.dest == "timeout")  # noqa: SLF001 - see above
    timeout.help = (
        "give the machine up after so many seconds of its own processor time; default: 600, with KVM 120"
    )
    # The inspection has its own bound; this one is for the machine.
    timeout.dest, timeout.default = "machine_seconds", None
    parser.set_defaults(timeout=DEFAULT_LIMITS.seconds)
    parser.add_argument(
        "--demo",
        action="store_true",
        help="boot a small image that is made on the spot of this machine's kernel and busybox",
    )
    parser.add_argument(
        "--entry",
        choices=("active", "recovery"),
        default="active",
        help="the entry of the menu; default: active",
    )
    parser.add_argument(
        "--firmware",
        action="store_true",
        help="have UEFI firmware start the image's own shim, GRUB and menu (needs OVMF)",
    )
    parser.add_argument(
        "--memory", type=_memory, default=2048, metavar="MIB", help="of the machine; default: 2048"
    )
    parser.add_argument(
        "--accel",
        choices=("auto", "kvm", "tcg"),
        default="auto",
        help="default: auto, which is KVM where a machine runs by it",
    )
    parser.add_argument(
        "--console", type=Path, metavar="FILE", help="write everything that the machine prints there"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave disk, kernel and initrd there")
    parser.add_argument(
        "--anyway",
        action="store_true",
        help="try it although GRUB would start nothing, or installation would refuse",
    )
    add_profile(parser)
    add_format(parser, json="json for the report of check, with the key boot")


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Do it, and give the exit status."""
    if arguments.demo == (arguments.image is not None):
        raise WrongUse("expected an image, or --demo for one that is made on the spot")
    if arguments.keep is not None and arguments.keep.exists() and not arguments.keep.is_dir():
        raise WrongUse(f"expected a directory for --keep, found a file: {arguments.keep}")
    if arguments.demo:
        # It is made anew each time.
        arguments.cache, arguments.no_cache, arguments.platform = None, True, None
        # Loaded by its name: few need it.
        with import_module("cosinspect.boot.demo").served_demo() as name:
            return boot_named(name, arguments, terminal)
    return boot_named(arguments.image, arguments, terminal)


def boot_named(name: str, arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Boot an image, write what came of it, and give the exit status.

    Raises:
        CosinspectError: the image cannot be had, or a boot cannot be tried.
        OSError: a file cannot be written.
    """
    trial = Trial(
        arguments.entry, arguments.firmware, arguments.machine_seconds, arguments.memory, arguments.accel, arguments.console, arguments.keep,
        arguments.anyway,
    )  # fmt: skip
    plan = plan_inspection(arguments.profile, policies_of(arguments), build_manifest=arguments.manifest)
    with open_named(name, arguments) as image:
        with layer_bars(terminal) as bars:
            bars.begin(image)
            inspection = Inspection(image, plan, progress=bars.advance)
            results, context = inspection.run_checks()
            report = inspection.report(results)

        def tell(text: str) -> None:
            if not arguments.quiet:
                terminal.err.write(f"{text}\n")
                terminal.err.flush()

        outcome = try_boot(context.rootfs, context.facts, trial, tell)
    report = evolve(report, boot=outcome.to_dict())
    if arguments.format == "json":
        terminal.out.write(json_text(report.to_dict(), indent=2) + "\n")
    else:
        terminal.out.writelines(line + "\n" for line in _page(report, outcome, terminal))
    return STATUSES[outcome.booted]


def _page(report: Report, outcome: Outcome, terminal: Terminal) -> Iterator[str]:
    """Lay the outcome out for people."""
    mark, style = {True: ("BOOTED", "good"), False: ("NOT BOOTED", "bad"), None: ("UNDECIDED", "open")}[
        outcome.booted
    ]
    label = f"{_ANSI[style]}{mark}{_ANSI['end']}" if terminal.color else mark
    result = (
        "" if outcome.result in (BootResult.BOOTED, BootResult.UNDECIDED) else f"{outcome.result.value}: "
    )
    yield f"{label}  {printable(report.name)}"
    yield from _folded("  ", f"{result}{printable(outcome.reason)}", terminal.columns)
    yield ""
    for name, text in _rows(report, outcome):
        if text:
            yield from _folded(f"  {name:<13}", printable(text), terminal.columns)
    differs = _difference(report, outcome)
    if differs:
        yield ""
        yield from _folded("  they differ: ", differs, terminal.columns)
    if outcome.booted is not True:
        if outcome.telling:
            yield from ("", "What the console names")
            yield from (f"  {printable(line)}" for line in outcome.telling[:SHOWN_LINES])
        yield from ("", "The console's last lines")
        yield from (f"  {printable(line)}" for line in outcome.tail[-SHOWN_LINES:])


def _rows(report: Report, outcome: Outcome) -> Iterator[tuple[str, str]]:
    capability = report.capabilities[Capability.BOOT]
    because = f" ({', '.join(capability.because)})" if capability.status is Status.NO else ""
    proof = {"password": "somebody logged in", "stage": "the image ran our commands"}.get(
        outcome.login, "none"
    )
    yield "digest", report.digest
    yield "generation", generation_words(report)
    yield "inspection", f"{_WORDS[capability.status]}{because}"
    yield "proof", proof
    units = f"; failed units: {', '.join(outcome.proof.failed)}" if outcome.proof.failed else ""
    yield "system", f"{outcome.proof.system}{units}" if outcome.proof.system else ""
    yield (
        "took",
        f"{outcome.cpu:.0f} s of processor time, {outcome.wall:.0f} s by the clock ({outcome.accel})",
    )
    yield "disk", "; ".join(outcome.layout)
    yield "command line", outcome.command_line
    for note in outcome.notes:
        yield "note", note


def _difference(report: Report, outcome: Outcome) -> str:
    """Return where the inspection and the boot do not agree."""
    said = report.capabilities[Capability.BOOT].status
    if said is Status.YES and outcome.booted is False:
        return "the inspection finds nothing that stops the boot, and the image did not boot here; please report it"
    if said is Status.NO and outcome.booted is True:
        return "the inspection says that the image does not boot, and it booted here; please report it"
    return ""


def _folded(label: str, text: str, columns: int) -> Iterator[str]:
    for number, line in enumerate(wrap(text, columns - len(label))):
        yield (label if number == 0 else " " * len(label)) + line


def _memory(text: str) -> int:
    most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    if not (text.isascii() and text.isdigit() and len(text) < 8 and LEAST_MEMORY <= int(text) <= most):
        raise argparse.ArgumentTypeError(f"expected MiB, from {LEAST_MEMORY} to {most}, found {text[:20]!r}")
    return int(text)
