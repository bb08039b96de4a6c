"""Where reports go, and in which format: `-o - -o sarif=os.sarif -o junit=os.xml` writes three of one inspection."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

from attrs import frozen

from cosinspect.commands.command import Terminal, WrongUse
from cosinspect.render import RENDERERS, SUFFIXES
from cosinspect.report.report import Report

__all__ = ["Output", "report_outputs"]


@frozen
class Output:
    """One report that shall be written.

    Attributes:
        format: name of the renderer.
        path: the file, None for standard output.
    """

    format: str
    path: Path | None

    def write(self, report: Report, terminal: Terminal) -> None:
        """Write it; a file is replaced only when its content is complete.

        Raises:
            OSError: it cannot be written.
        """
        renderer = RENDERERS[self.format]
        if self.path is None:
            # Workflow commands are meant as such, and are made of nothing that could be another one.
            stream = getattr(terminal.out, "raw", terminal.out) if self.format == "github" else terminal.out
            renderer.render(report, stream, color=terminal.color, width=terminal.columns)
            return
        text = io.StringIO()
        renderer.render(report, text)
        self.path.write_text(text.getvalue(), "utf-8", "backslashreplace")


def report_outputs(named: Iterable[str] | None, given: str | None) -> tuple[Output, ...]:
    """Find out before the work where reports go: what would make it useless should not cost it.

    Args:
        named: each `FILE` or `FORMAT=FILE`; none at all is standard output.
        given: the format of those that name none; None takes what a file's name ends in, text where that means nothing.

    Raises:
        WrongUse: a file cannot be written, or two reports would be written over each other.
    """
    outputs = tuple(_output(text, given) for text in named or ("-",))
    places = [output.path and output.path.resolve() for output in outputs]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise WrongUse(f"--output: expected different files, found {place or '-'} twice")
    return outputs


def _output(text: str, given: str | None) -> Output:
    prefix, mark, rest = text.partition("=")
    if mark and prefix in RENDERERS:
        name, chosen = rest, prefix
    else:
        name, chosen = text, given or SUFFIXES.get(Path(text).suffix.lower(), "text")
    if name == "-":
        return Output(chosen, None)
    path = Path(name)
    if not name:
        raise WrongUse(f"--output: expected a file behind {text!r}")
    if path.is_dir():
        raise WrongUse(f"--output: expected a file, {path} is a directory")
    if not path.parent.is_dir():
        near = (
            f"; formats are {', '.join(RENDERERS)}" if mark and prefix.isalpha() and "/" not in prefix else ""
        )
        raise WrongUse(f"--output: the directory {path.parent} does not exist{near}")
    return Output(chosen, path)
