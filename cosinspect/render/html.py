"""A report as a self-contained page: one file without external scripts or pictures, for phones and screens.

It renders the document of `Report.to_dict`, so that stored reports can be shown. Content of the image is made
harmless first (`cosinspect.report.display`) and escaped in the page. The page names the day on which it was
written: it is the only output that depends on the clock besides the cost of the inspection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from typing import Any, TextIO

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from cosinspect.cost import cost_line
from cosinspect.profiles import generation_tables
from cosinspect.report.boot_chain import STAGES, StageState, stage_states, stage_titles
from cosinspect.report.display import printable, size
from cosinspect.report.lines import verdict_words
from cosinspect.report.remedy import Instruction, Remedy
from cosinspect.report.report import Kind, Report, shorten_step
from cosinspect.version import __version__

__all__ = ["HtmlRenderer", "page", "report_page", "short_name"]

WORDS = {
    "pass": "pass",
    "fail": "fail",
    "open": "undecided",
    "notReached": "not reached",
    "notApplicable": "not applicable",
    "error": "not inspected",
}
_GRAVITY = {"error": 0, "warning": 1, "note": 2}
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
    day: date | None = None,
) -> str:
    """Return the page of one report.

    Args:
        report: as `Report.to_dict` returns it.
        home: address of the overview, if any.
        packages: databases with their packages, as `PackageDatabase.to_dict` returns them.
        day: on which the page is written; None for today, UTC.

    Raises:
        InvalidReport: `report` does not have the schema of a report.
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
        title=short_name(report["image"]["name"]),
        summary=verdict_words(Report.from_dict(report)),
        version=__version__,
        day=(day or datetime.now(UTC).date()).isoformat(),
        lead=_lead,
        home=home,
        results=told,
        count=sum(len(each["findings"]) or 1 for each in told),
        chain=_chain(results, report["generation"]),
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


def short_name(name: str) -> str:
    """Return the last part of an image's name with its tag, which tells pages apart: `os:v1` of `quay.io/org/os:v1`."""
    path, at, digest = name.partition("@")
    last = path.rpartition("/")[2] or name
    # A tag names the image better than a digest does.
    return last if ":" in last or not at else f"{last}@{digest[:19]}"


def _lead(finding: Mapping[str, Any]) -> str:
    """Return the remedy of a finding without its instructions, which have lines of their own."""
    steps = tuple(map(Instruction, finding.get("remedy_commands", ())))
    return Remedy(finding["remedy"], steps).lead


def _chain(results: list[dict[str, Any]], generation: str) -> list[dict[str, Any]]:
    """Return the stages of the boot: the results and the evidence of the checks that decide booting."""
    stages = []
    for tag in STAGES:
        own = [each for each in results if tag in each.get("tags", ())]
        stages.append([each for each in own if "boot" in each["capabilities"]] or own)
    states = stage_states([{Kind(each["kind"]) for each in deciding} for deciding in stages])
    chain = []
    table = generation_tables().get(generation)
    titles = stage_titles(table.starts if table is not None else "")
    for title, deciding, state in zip(titles, stages, states, strict=True):
        if state in (StageState.FAIL, StageState.UNDECIDED):
            lines = [f"{each['check']} {each['name']}" for each in deciding if each["kind"] == state.value]
        elif state is StageState.PASS:
            lines = [line for each in deciding for line in each["evidence"]]
        else:
            lines = []
        chain.append({"title": title, "state": state.value, "lines": lines[:LINES]})
    return chain


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
