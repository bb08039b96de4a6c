"""A report as a self-contained page: one file without external scripts or pictures, for phones and screens.

It renders the document of `Report.to_dict`, so that stored reports can be shown. Content of the image is made
harmless first (`cosinspect.report.display`) and escaped in the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, TextIO

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from cosinspect.cost import cost_line
from cosinspect.report.display import printable, size
from cosinspect.report.lines import BOOT_CHAIN
from cosinspect.report.report import Report, shorten_step

__all__ = ["HtmlRenderer", "page", "report_page"]

WORDS = {
    "pass": "passes",
    "fail": "fails",
    "open": "undecided",
    "notApplicable": "not applicable",
    "error": "not inspected",
}
_GRAVITY = {"error": 0, "warning": 1, "note": 2}
_KINDS = ("fail", "open", "pass", "notApplicable")
STEP = 160
"""The number of characters of a build step that are shown."""
LINES = 3
"""The number of lines of evidence at each stage of the boot chain."""


class HtmlRenderer:
    """Writes a page; ignores colour and width."""

    def render(self, report: Report, stream: TextIO, *, color: bool = False, width: int = 100) -> None:
        """Write the report."""
        stream.write(report_page(report.to_dict()))


def report_page(
    report: Mapping[str, Any],
    *,
    home: str | None = None,
    packages: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Return the page of one report.

    Args:
        report: as `Report.to_dict` returns it.
        home: address of the overview, if any.
        packages: databases with their packages, as `PackageDatabase.to_dict` returns them.
    """
    results = report["results"]
    told = [each for each in results if each["kind"] in ("fail", "open")]
    required = set(report["required"])

    def gravity(result: Mapping[str, Any]) -> tuple[bool, bool, int]:
        decisive = not required.isdisjoint(result["capabilities"])
        return result["kind"] != "fail", not decisive, _GRAVITY[result["level"]]

    told.sort(key=gravity)
    layers = report["image"]["layers"]
    largest = max((layer["size"] for layer in layers), default=0) or 1
    stats = report["stats"]
    return page(
        "report.html",
        report=report,
        home=home,
        results=told,
        count=sum(len(each["findings"]) or 1 for each in told),
        chain=[_stage(title, tag, results) for title, tag in BOOT_CHAIN],
        layers=[_layer(number, layer, largest, told) for number, layer in enumerate(layers)],
        total=f"{size(sum(layer['size'] for layer in layers))} compressed",
        passed=[each for each in results if each["kind"] == "pass"],
        skipped=[each["check"] for each in results if each["kind"] == "notApplicable"],
        packages=packages,
        cost=cost_line(stats["seconds"], stats["bytes"], stats["entries"]),
    )


def page(template: str, **values: object) -> str:
    """Return a page from a template of this package, with escaped values."""
    return _environment().get_template(template).render(values)


def _stage(title: str, tag: str, results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one stage of the boot: the results and the evidence of its checks that decide booting."""
    own = [each for each in results if tag in each.get("tags", ())]
    deciding = [each for each in own if "boot" in each["capabilities"]] or own
    kind = min((each["kind"] for each in deciding), key=_KINDS.index, default="notApplicable")
    if kind in ("fail", "open"):
        lines = [f"{each['check']} {each['name']}" for each in deciding if each["kind"] == kind]
    else:
        lines = [line for each in deciding for line in each["evidence"]]
    return {"title": title, "kind": kind, "lines": lines[:LINES]}


def _layer(number: int, layer: Mapping[str, Any], largest: int, told: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "size": size(layer["size"]),
        "share": f"{100 * layer['size'] / largest:.1f}",
        "step": shorten_step(layer["created_by"], STEP) if layer["created_by"] else "",
        "checks": [
            each["check"] for each in told if any(finding["layer"] == number for finding in each["findings"])
        ],
    }


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FunctionLoader(_text),
        autoescape=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        finalize=_harmless,
    )
    made.globals.update(words=WORDS, style=Markup(_text("style.css")), script=Markup(_text("search.js")))  # noqa: S704 - own
    return made


def _text(name: str) -> str:
    return files("cosinspect.render").joinpath("pages", name).read_text("utf-8")


def _harmless(value: object) -> object:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
