"""`python -m tests.catalogue` writes docs/checks.md.

It lists every check, what it decides, for which images, why, and what to do.

The generations are those of whose good images the check has something to say, which is found out by inspecting one of each.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import get_args

from cosinspect.checks import CATALOGUE
from cosinspect.checks.base import Check
from cosinspect.inspection.inspection import inspect
from cosinspect.profiles import generation_tables
from cosinspect.report.report import Kind
from cosinspect.testing.derivative import BREAKAGES, DEGRADATIONS, derivative, derivative_of
from cosinspect.testing.derivative.toolkit_files import GenerationName
from cosinspect.testing.derivative.variants import VARIANTS

PAGE = Path(__file__).parents[1] / "docs" / "checks.md"
GENERATIONS: tuple[GenerationName, ...] = get_args(GenerationName)

HEAD = """# The checks

Every check of the catalogue, as `cosinspect checks ID` tells it. A check that fails takes from the image the capabilities it decides. The
generations are those whose good images it has something to say about; of an image of another one, the check is not
applicable. This page is generated: `python -m tests.catalogue`.
"""


@cache
def applied() -> dict[str, tuple[str, ...]]:
    """Give for each check the generations of whose good images it says something."""
    found: dict[str, list[str]] = {item.id: [] for item in CATALOGUE}
    images = [(generation, derivative(generation=generation)) for generation in GENERATIONS]
    images += [(each.recognised, derivative_of(each.parts())) for each in VARIANTS.values()]
    for generation, image in images:
        with tempfile.TemporaryDirectory() as directory:
            report = inspect(image.write_layout(directory))
        for result in report.results:
            if result.kind is not Kind.NOT_APPLICABLE and generation not in found[result.check]:
                found[result.check].append(generation)
    for item in CATALOGUE:  # what a good image has nothing of
        if not found[item.id] and item.is_for_some:
            found[item.id] = [*item.generations_of(generation_tables())]
    return {check: tuple(names) for check, names in found.items()}


def page() -> str:
    """Give the whole page."""
    return f"{HEAD}\n{_table()}\n" + "".join(f"\n{_section(item)}" for item in CATALOGUE)


def _section(item: Check) -> str:
    names = applied()[item.id]
    if item.universal or set(GENERATIONS) <= set(names):
        of = (
            "every generation, Kairos, bootc and unknown ones"
            if item.universal
            else "every generation, Kairos, bootc"
        )
    else:
        of = ", ".join(names) or "images that a policy says must be signed, or that bring settings of cosign"
    kinds = {**BREAKAGES, **DEGRADATIONS}
    broken = [f"`{kind}`" for kind, breakage in kinds.items() if breakage.check == item.id]
    lines = [
        f"## {item.id} {item.name}",
        "",
        item.summary,
        "",
        f"- **level** {item.level.value}",
        f"- **decides** {', '.join(each.value for each in item.capabilities) or 'nothing by itself'}",
        f"- **for** {of}",
        f"- **looks** {' '.join((item.run.__doc__ or '').split()).rstrip('.')}",
        f"- **why** {item.why}",
        f"- **remedy** {item.remedy}",
    ]
    if broken:
        lines.append(f"- **see it** `cosinspect demo --broken` {', '.join(broken)}")
    return "\n".join(lines) + "\n"


def rows() -> list[list[str]]:
    """The cells of the table of checks."""
    return [
        [
            f"[{item.id}](#{item.id.lower()}-{item.name})",
            item.name,
            item.level.value,
            ", ".join(capability.value for capability in item.capabilities) or "-",
            item.summary,
        ]
        for item in CATALOGUE
    ]


def _table() -> str:
    head = ["| id | name | level | decides | what is wrong |", "|---|---|---|---|---|"]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows())])


if __name__ == "__main__":
    PAGE.write_text(page())
