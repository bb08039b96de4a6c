"""`python -m tests.catalogue` writes docs/checks.md, and the parts of README.md that the program prints.

docs/checks.md lists every check, what it decides, for which images, why, and what to do.

The generations are those of whose good images the check has something to say, which is found out by inspecting one of each.
"""

from __future__ import annotations

import io
import re
import tempfile
from functools import cache
from pathlib import Path

from cosinspect.checks import CATALOGUE
from cosinspect.checks.base import Check
from cosinspect.cli import main
from cosinspect.inspection.inspection import inspect
from cosinspect.report.report import Kind
from cosinspect.testing.derivative import BREAKAGES, DEGRADATIONS, derivative, derivative_of
from cosinspect.testing.derivative.variants import VARIANTS

PAGE = Path(__file__).parents[1] / "docs" / "checks.md"
README = PAGE.parents[1] / "README.md"
GENERATIONS = ("G0", "G1", "G2", "G3", "G4", "G5", "G6", "kairos", "bootc")

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
    return {check: tuple(names) for check, names in found.items()}


def page() -> str:
    """Give the whole page."""
    return HEAD + "".join(f"\n{_section(item)}" for item in CATALOGUE)


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


def _table() -> str:
    """Give the README's table of checks."""
    rows = [
        f"| {item.id} | {item.name} | {item.level.value} "
        f"| {', '.join(each.value for each in item.capabilities) or '-'} | {item.summary} |"
        for item in CATALOGUE
    ]
    return "\n".join(["| id | name | level | decides | what is wrong |", "|---|---|---|---|---|", *rows])


def _session(arguments: str) -> str:
    """Give what the command prints."""
    out = io.StringIO()
    main(arguments.split(), stdout=out, stderr=out)
    lines = [line.rstrip() for line in out.getvalue().strip().splitlines()]
    return "\n".join([f"$ cosinspect {arguments}", *lines])


def readme(text: str) -> str:
    """Give the README with its session and its table of checks written anew."""
    text = re.sub(
        r"(<!-- session: (.*?) -->\n```text\n).*?(\n```)",
        lambda found: f"{found[1]}{_session(found[2])}{found[3]}",
        text,
        flags=re.DOTALL,
    )
    return re.sub(r"(<!-- checks -->\n)(?:\|.*\n)+", lambda found: f"{found[1]}{_table()}\n", text)


if __name__ == "__main__":
    PAGE.write_text(page())
    README.write_text(readme(README.read_text()))
