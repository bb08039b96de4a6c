"""`check IMAGE`: what the image can do, and if it cannot, why."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from cosinspect.commands.command import Command, Terminal, WrongUse
from cosinspect.commands.options import add_image, add_report
from cosinspect.commands.progress import layer_bars
from cosinspect.inspection import inspect
from cosinspect.render import RENDERERS
from cosinspect.report import Report, Verdict

__all__ = ["COMMAND", "check_image"]

EXIT_STATUSES = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.OPEN: 3}


def _configure(parser: argparse.ArgumentParser) -> None:
    add_image(parser)
    add_report(parser)


def _run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    return check_image(arguments.image, arguments, terminal)


def check_image(name: str, arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Inspect an image, write its report where the arguments say, and give the exit status of its verdict.

    Raises:
        WrongUse: the report could not be written to where it shall go.
        CosinspectError: it cannot be decided.
        OSError: the report cannot be written.
    """
    if arguments.output not in (None, "-"):
        _check_output(Path(arguments.output))
    with layer_bars(terminal) as bars:
        report = inspect(
            name,
            profile=arguments.profile,
            platform=arguments.platform,
            plain_http=arguments.plain_http,
            docker_config=arguments.docker_config,
            verify_diff_ids=not arguments.no_diff_ids,
            on_image=bars.begin,
            progress=bars.advance,
        )
    _write(report, arguments, terminal)
    return EXIT_STATUSES[report.verdict]


def _check_output(path: Path) -> None:
    """Find out before the work what would make it useless; an old report stays until the new one is complete."""
    if path.is_dir():
        raise WrongUse(f"--output: expected a file, {path} is a directory")
    if not path.parent.is_dir():
        raise WrongUse(f"--output: the directory {path.parent} does not exist")


def _write(report: Report, arguments: argparse.Namespace, terminal: Terminal) -> None:
    renderer = RENDERERS[arguments.format]
    if arguments.output in (None, "-"):
        renderer.render(report, terminal.out, color=terminal.color, width=terminal.columns)
        return
    text = io.StringIO()
    renderer.render(report, text)
    Path(arguments.output).write_text(text.getvalue(), "utf-8", "backslashreplace")


COMMAND = Command("check", "IMAGE", "say what an image can do, and if not, why", _configure, _run)
