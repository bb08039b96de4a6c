"""What cosinspect makes of the cases: caught by the right check, caught by another, missed, false alarms."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable

from attrs import frozen

from accuracy.cases import Case
from cosinspect.inspection.inspection import inspect
from cosinspect.report.report import Kind, Level, Status, Verdict

OUTCOMES = (
    "caught by the right check",
    "caught, and another check changed",
    "caught by another",
    "missed",
    "no alarm",
    "false alarm",
)

RIGHT = ("caught by the right check", "no alarm")
"""What should come of a mutation, and of a variation."""


@frozen
class Outcome:
    """What came of one case.

    Attributes:
        verdict: one of `OUTCOMES`.
        failed: the checks that failed.
        lost: names of the capabilities that are said to be missing.
    """

    case: Case
    verdict: str
    failed: tuple[str, ...]
    lost: frozenset[str]


def judge(case: Case) -> Outcome:
    """Inspect the image of a case, and hold the report against what is true."""
    with tempfile.TemporaryDirectory() as directory:
        report = inspect(case.build().write_layout(directory))
    failed = tuple(result.check for result in report.results if result.kind is Kind.FAIL)
    undecided = any(result.kind is Kind.OPEN for result in report.results)
    lost = frozenset(name.value for name, each in report.capabilities.items() if each.status is Status.NO)
    if not case.check:
        grave = [each for each in report.results if each.check in failed and each.level is not Level.NOTE]
        good = report.verdict is Verdict.PASS and not grave and not undecided
        return Outcome(case, "no alarm" if good else "false alarm", failed, lost)
    if case.check in failed and case.loses <= lost:
        others = [each for each in failed if each not in case.besides]
        alone = others == [case.check] and (not undecided or case.check == "COS005")
        return Outcome(case, OUTCOMES[0] if alone else OUTCOMES[1], failed, lost)
    return Outcome(case, "missed" if report.verdict is Verdict.PASS else "caught by another", failed, lost)


def table(outcomes: Iterable[Outcome]) -> list[str]:
    """Give the table in Markdown, a row for each generation."""
    rows: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        rows.setdefault(outcome.case.generation, Counter())[outcome.verdict] += 1
    total: Counter[str] = sum(rows.values(), Counter())
    lines = [f"| generation | {' | '.join(OUTCOMES)} |", "|---|" + "---|" * len(OUTCOMES)]
    lines += [
        f"| {name} | {' | '.join(str(row[each]) for each in OUTCOMES)} |"
        for name, row in sorted(rows.items())
    ]
    lines.append(f"| all | {' | '.join(str(total[each]) for each in OUTCOMES)} |")
    return lines
