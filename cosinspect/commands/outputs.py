"""The outputs of reports and their formats: `-o - -o sarif=os.sarif -o junit=os.xml` writes three reports."""

from __future__ import annotations

import difflib
import io
from collections.abc import Iterable
from pathlib import Path

from attrs import evolve, frozen

from cosinspect.commands.command import Terminal, WrongUse
from cosinspect.commands.files import require_file, write_whole
from cosinspect.extras import require_extra
from cosinspect.oci.documents import Platform
from cosinspect.render import DEFAULT_CHOICES, PACKAGES, RENDERERS, SUFFIXES, Choices, chosen_renderer
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

    def of_platform(self, platform: Platform) -> Output:
        """Return the output for one of several platforms: a file has it in its name, `os-linux-amd64.json`."""
        if self.path is None:
            return self
        return evolve(self, path=self.path.with_stem(f"{self.path.stem}-{str(platform).replace('/', '-')}"))

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
        write_whole(self.path, text.getvalue())


def report_outputs(named: Iterable[str] | None, given: str | None) -> tuple[Output, ...]:
    """Return the outputs; find errors in them before the work begins.

    Args:
        named: each `FILE` or `FORMAT=FILE`; none means standard output.
        given: the format of outputs without one; None takes it from the file's suffix, else text.

    Raises:
        WrongUse: a file cannot be written, or two reports have the same file.
        MissingPackage: a format needs a package that is not installed.
    """
    outputs = tuple(_output(text, given) for text in named or ("-",))
    places = [output.path and output.path.resolve() for output in outputs]
    for number, place in enumerate(places):
        # The log of GitHub Actions is for people, and its lines of annotations are commands.
        shared = {each.format for each, other in zip(outputs, places, strict=True) if other == place}
        if place in places[:number] and not (place is None and shared == {"text", "github"}):
            raise WrongUse(f"--output: expected different files, found {place or '-'} twice")
    return outputs


def _output(text: str, given: str | None) -> Output:
    prefix, mark, rest = text.partition("=")
    if mark and prefix in RENDERERS:
        name, chosen = rest, prefix
    elif mark and _is_word(prefix):
        near = difflib.get_close_matches(prefix, RENDERERS, n=1)
        raise WrongUse(
            f"--output: expected one of the formats {', '.join(RENDERERS)} before the =, found {prefix}; "
            + (f"did you mean {near[0]}={rest}?" if near else f"for a file of that name write ./{text}")
        )
    else:
        name, chosen = text, given or SUFFIXES.get(Path(text).suffix.lower(), "text")
    if chosen in PACKAGES:
        require_extra(*PACKAGES[chosen])
    if name == "-":
        return Output(chosen, None)
    if not name:
        raise WrongUse(f"--output: expected a file after {text}" if text else "--output: expected a file")
    path = Path(name)
    require_file("--output", path)
    return Output(chosen, path)


def _is_word(text: str) -> bool:
    """Return whether text before a = can only be meant as a format: a path has a dot or a slash."""
    return text.replace("-", "").replace("_", "").isalnum()
