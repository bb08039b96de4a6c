"""The outputs of reports and their formats: `-o - -o sarif=os.sarif -o junit=os.xml` writes three reports."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

from attrs import frozen

from cosinspect.commands.command import Terminal, WrongUse
from cosinspect.render import DEFAULT_CHOICES, RENDERERS, SUFFIXES, Choices, chosen_renderer
from cosinspect.report.report import Report

__all__ = ["Output", "report_outputs"]


@frozen
class Output:
    """One report to write.

    Attributes:
        format: name of the renderer.
        path: the file, None for standard output.
    """

    format: str
    path: Path | None

    def write(self, report: Report, terminal: Terminal, choices: Choices = DEFAULT_CHOICES) -> None:
        """Write the report; replace a file only when the new content is complete.

        Raises:
            OSError: it cannot be written.
        """
        renderer = chosen_renderer(self.format, choices)
        if self.path is None:
            # Workflow commands are intended here, and their content cannot form another one.
            stream = getattr(terminal.out, "raw", terminal.out) if self.format == "github" else terminal.out
            renderer.render(report, stream, color=terminal.color, width=terminal.columns)
            return
        text = io.StringIO()
        renderer.render(report, text)
        self.path.write_text(text.getvalue(), "utf-8", "backslashreplace")


def report_outputs(named: Iterable[str] | None, given: str | None) -> tuple[Output, ...]:
    """Return the outputs; find errors in them before the work begins.

    Args:
        named: each `FILE` or `FORMAT=FILE`; none means standard output.
        given: the format of outputs without one; None takes it from the file's suffix, else text.

    Raises:
        WrongUse: a file cannot be written, or two reports have the same file.
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
        raise WrongUse(f"--output: expected a file after {text!r}")
    if path.is_dir():
        raise WrongUse(f"--output: expected a file, {path} is a directory")
    if not path.parent.is_dir():
        near = (
            f"; formats are {', '.join(RENDERERS)}" if mark and prefix.isalpha() and "/" not in prefix else ""
        )
        raise WrongUse(f"--output: the directory {path.parent} does not exist{near}")
    return Output(chosen, path)
