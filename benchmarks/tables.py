"""The figures of a run as a table, and the pages that have it: `python -m benchmarks.tables FILE`.

FILE is what `python -m benchmarks --json FILE` wrote. The table goes between `<!-- figures -->` and `<!-- /figures -->` of each page.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attrs import asdict

from benchmarks.processes import Figure

__all__ = ["machine", "record", "table"]

BEGIN, END = "<!-- figures -->", "<!-- /figures -->"
PROJECT = Path(__file__).parents[1]
PAGES = (PROJECT / "benchmarks/README.md",)


def machine() -> str:
    """Return what a run is measured on."""
    return f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}"


def record(figures: Iterable[Figure]) -> dict[str, Any]:
    """Return the figures of a run as a document."""
    load = os.getloadavg()[0]
    today = dt.datetime.now(tz=dt.UTC).date().isoformat()
    return {
        "measured": today,
        "machine": machine(),
        "load": round(load, 1),
        "figures": [asdict(each) for each in figures],
    }


def table(figures: Iterable[Figure]) -> str:
    """Return the figures as a table of Markdown."""
    lines = ["| | figure | value | target | met |", "|---|---|---|---|---|"]
    group = ""
    for each in figures:
        shown = "" if each.group == group else each.group
        group = each.group
        target = "" if each.target is None else f"{'>=' if each.at_least else '<='} {each.target:,g}"
        met = {None: "", True: "yes", False: "no"}[each.met]
        value = f"{each.value:,.0f}" if each.value >= 100 else f"{each.value:.2f}"
        name = each.name.replace("|", "\\|")
        lines.append(f"| {shown} | {name} | {value} {each.unit} | {target} | {met} |")
    return "\n".join(lines)


def main() -> None:
    """Write the table into the pages."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE", help="the figures")
    run = json.loads(parser.parse_args().file.read_text())
    figures = [Figure(**each) for each in run["figures"]]
    said = f"Measured {run['measured']}: {run['machine']}, load {run['load']} at the end."
    for page in PAGES:
        before, begin, rest = page.read_text().partition(BEGIN)
        _, end, after = rest.partition(END)
        if not begin or not end:
            raise SystemExit(f"{page}: expected {BEGIN} and {END}, found no such place for the table")
        page.write_text(f"{before}{BEGIN}\n{said}\n\n{table(figures)}\n{END}{after}")


if __name__ == "__main__":
    main()
