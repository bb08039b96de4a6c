"""`python -m tests.remedies_page` writes docs/remedies.md: every breakage is repaired by its own remedy, and counted.

It takes minutes. It stops at a remedy that does not cure.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from attrs import frozen

sys.path.insert(0, str(Path(__file__).parent))

from cosinspect.checks import CATALOGUE
from remedy_trials import KINDS, How, attempt, pairs

PAGE = Path(__file__).parents[1] / "docs" / "remedies.md"

HEAD = """# Remedies

A finding has a remedy: text, and where instructions of a Containerfile do it, these instructions (`remedy_commands` in JSON). A remedy is made from
the evidence and from the generation: it names the layer whose step to leave out, the path and the version of this image, the package manager of
its distribution, and the command by which the generation brings its files.

Each breakage of the testing kit (`cosinspect demo --broken`) is applied to a derivative of its own generation, and each of the toolkit to one of
another generation in turn; `pytest -m modules tests/checks/test_remedies.py` takes all others. Then the instructions of its findings are applied as
a further layer, and the image is inspected again: the checks pass, and no other fails. If the remedy names a layer to leave out, the image without
that layer is inspected too. A breakage that does no harm to a generation is not counted. The table counts by what the instructions need:

- **a shell**: a shell and the core utilities. They are run, in a directory that holds the image's tree.
- **a program of the image**: dracut, depmod, `elemental init`, systemctl. systemctl is run. The others cannot run here: the files that they make
  come from the good derivative, the initrd with what the drop-ins request.
- **the network**: a package manager, luet, kairos-init, `COPY --from`. The files of the named packages come from the good derivative.
- **a step left out**: there are no instructions, and the image without the named layer passes.
- **by hand**: words alone, which no test can apply.

This page is generated: `python -m tests.remedies_page`.
"""
TITLES = {
    How.SHELL: "a shell",
    How.IMAGE: "a program of the image",
    How.NETWORK: "the network",
    How.OMITTED: "a step left out",
    How.BY_HAND: "by hand",
}


@frozen
class Row:
    """What came of one breakage of one generation."""

    kind: str
    generation: str
    how: How
    checks: tuple[str, ...]


def page(rows: Iterable[Row]) -> str:
    """Return the whole page."""
    known = list(rows)
    return "\n".join([HEAD, *_counts(known), "", *_hands(known)]) + "\n"


def _counts(rows: list[Row]) -> Iterator[str]:
    yield f"| generation | breakages | {' | '.join(TITLES.values())} |"
    yield f"|---|---:|{'---:|' * len(TITLES)}"
    for generation in [*dict.fromkeys(sorted(row.generation for row in rows)), ""]:
        own = [row for row in rows if generation in ("", row.generation)]
        numbers = [sum(row.how is how for row in own) for how in TITLES]
        yield f"| {generation or 'all'} | {len(own)} | {' | '.join(map(str, numbers))} |"


def _hands(rows: list[Row]) -> Iterator[str]:
    yield "## By hand"
    yield ""
    yield "These breakages have a remedy in words: what is wrong is outside the Containerfile, or only the author knows what was meant."
    yield ""
    yield "| breakage | check | remedy |"
    yield "|---|---|---|"
    remedies = {item.id: item.remedy for item in CATALOGUE}
    for kind in dict.fromkeys(row.kind for row in rows if row.how is How.BY_HAND):
        check = KINDS[kind].check
        yield f"| `{kind}` | [{check}](checks.md) | {remedies[check]} |"


def measure() -> Iterator[Row]:
    """Try every remedy.

    Raises:
        SystemExit: one does not cure.
    """
    scratch = Path(tempfile.mkdtemp())
    try:
        for kind, generation in pairs():
            place = scratch / f"{kind}-{generation}"
            found = attempt(kind, generation, place)
            shutil.rmtree(place, ignore_errors=True)
            if found is None:
                continue
            if found.left or found.left_omitted:
                raise SystemExit(f"{kind} of {generation} is not cured: {found}")
            yield Row(kind, generation, found.how, found.checks)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    PAGE.write_text(page(measure()))
