"""Renderers: each writes a report to a stream, and does not read images or run checks.

It may import `checks`, `facts`, `formats`, `oci`, `profiles`, `report` and `rootfs`. An output is a module and an entry in `RENDERERS`.
What a reader may choose about some of them is a value, `Choices`.
`cosinspect.report.lines` has the sentences that several outputs share.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Protocol, TextIO

from cosinspect.extras import load_extra
from cosinspect.render.choices import DEFAULT_CHOICES, Choices, ReportPart
from cosinspect.report.report import Report

__all__ = [
    "DEFAULT_CHOICES",
    "PACKAGES",
    "RENDERERS",
    "SUFFIXES",
    "Choices",
    "Renderer",
    "ReportPart",
    "chosen_renderer",
]


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

    def __init__(self, module: str, name: str, *arguments: object, extra: str = "") -> None:
        self._module = module
        self._name = name
        self._arguments = arguments
        self._extra = extra

    def render(self, report: Report, stream: TextIO, *, color: bool = False, width: int = 100) -> None:
        """Write `report`."""
        module = load_extra(self._module, self._extra) if self._extra else import_module(self._module)
        renderer: Renderer = getattr(module, self._name)(*self._arguments)
        renderer.render(report, stream, color=color, width=width)


RENDERERS: Mapping[str, Renderer] = MappingProxyType(
    {
        "text": _Deferred("cosinspect.render.text", "TextRenderer"),
        "json": _Deferred("cosinspect.render.json", "JsonRenderer"),
        "sarif": _Deferred("cosinspect.render.sarif", "SarifRenderer"),
        "junit": _Deferred("cosinspect.render.junit", "JunitRenderer"),
        "github": _Deferred("cosinspect.render.github", "GithubRenderer"),
        "markdown": _Deferred("cosinspect.render.markdown", "MarkdownRenderer"),
        "html": _Deferred("cosinspect.render.html", "HtmlRenderer", extra="html"),
    }
)
"""Renderers by the name of their format, with the default choices."""

PACKAGES: Mapping[str, tuple[str, str]] = MappingProxyType({"html": ("jinja2", "html")})
"""The package that a format needs beyond those of the library, and the extra that brings it."""

SUFFIXES: Mapping[str, str] = MappingProxyType(
    {".txt": "text", ".json": "json", ".sarif": "sarif", ".xml": "junit", ".md": "markdown", ".html": "html"}
)
"""Suffixes of file names, and their formats."""


def chosen_renderer(name: str, choices: Choices) -> Renderer:
    """Return the renderer of a format with a reader's choices; a format ignores choices that do not concern it."""
    if name == "text":
        return _Deferred("cosinspect.render.text", "TextRenderer", choices.show)
    if name == "sarif":
        return _Deferred("cosinspect.render.sarif", "SarifRenderer", choices.containerfile, choices.all_rules)
    if name == "github":
        return _Deferred("cosinspect.render.github", "GithubRenderer", choices.containerfile)
    return RENDERERS[name]
