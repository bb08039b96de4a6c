"""Renderers: each writes a report to a stream, and does not read images or run checks.

It may import `checks`, `oci`, `report` and `rootfs`. An output is a module and an entry in `RENDERERS`. What a
reader may choose about some of them is a value, `Choices`.
`cosinspect.report.lines` has the sentences that several outputs share.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Protocol, TextIO

from cosinspect.render.choices import DEFAULT_CHOICES, Choices, ReportPart
from cosinspect.render.github import GithubRenderer
from cosinspect.render.json import JsonRenderer
from cosinspect.render.junit import JunitRenderer
from cosinspect.render.markdown import MarkdownRenderer
from cosinspect.render.sarif import SarifRenderer
from cosinspect.report.report import Report

__all__ = ["DEFAULT_CHOICES", "RENDERERS", "SUFFIXES", "Choices", "Renderer", "ReportPart", "chosen_renderer"]


class Renderer(Protocol):
    """Writes whole reports to streams."""

    def render(self, report: Report, stream: TextIO, *, color: bool = False, width: int = 100) -> None:
        """Write `report`.

        Args:
            report: what to write.
            stream: the target; it is neither flushed nor closed.
            color: whether terminal colours may be used.
            width: the number of columns, for formats with lines.
        """
        ...


class _Deferred:
    """A renderer that is imported at its first use: importing its library takes longer than most reports."""

    def __init__(self, module: str, name: str, *arguments: object) -> None:
        self._module = module
        self._name = name
        self._arguments = arguments

    def render(self, report: Report, stream: TextIO, *, color: bool = False, width: int = 100) -> None:
        """Write `report`."""
        renderer: Renderer = getattr(import_module(self._module), self._name)(*self._arguments)
        renderer.render(report, stream, color=color, width=width)


RENDERERS: Mapping[str, Renderer] = MappingProxyType(
    {
        "text": _Deferred("cosinspect.render.text", "TextRenderer"),
        "json": JsonRenderer(),
        "sarif": SarifRenderer(),
        "junit": JunitRenderer(),
        "github": GithubRenderer(),
        "markdown": MarkdownRenderer(),
        "html": _Deferred("cosinspect.render.html", "HtmlRenderer"),
    }
)
"""Renderers by the name of their format, with the default choices."""

SUFFIXES: Mapping[str, str] = MappingProxyType(
    {".txt": "text", ".json": "json", ".sarif": "sarif", ".xml": "junit", ".md": "markdown", ".html": "html"}
)
"""Suffixes of file names, and their formats."""


def chosen_renderer(name: str, choices: Choices) -> Renderer:
    """Return the renderer of a format with a reader's choices; a format ignores choices that do not concern it."""
    if name == "text":
        return _Deferred("cosinspect.render.text", "TextRenderer", choices.show)
    return RENDERERS[name]
