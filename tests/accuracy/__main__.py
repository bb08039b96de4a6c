"""`python -m tests.accuracy`: judge every case, print the table, write it to docs/accuracy.md, and fail if one is judged wrongly."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from accuracy import judges
from accuracy.cases import mutations, variations
from accuracy.measure import RIGHT, judge, table

outcomes = [judge(case) for case in (*mutations(), *variations())]
wrong = [outcome for outcome in outcomes if outcome.verdict not in RIGHT]
for outcome in wrong:
    case = outcome.case
    sys.stdout.write(
        f"{outcome.verdict}: {case.generation}, {case.name}; expected {case.check or 'nothing'}, found "
        f"{', '.join(outcome.failed) or 'nothing'}; lost {', '.join(sorted(outcome.lost)) or 'nothing'}\n"
    )
rows = "\n".join(table(outcomes)) + "\n"
others = judges.judges()
disagree = [line for each in others for line in each.wrong()]
judged = "\n".join(judges.table(others, disagree)) + "\n"
sys.stdout.write("".join(f"{line}\n" for line in (*disagree, "")) + rows + "\n" + judged)
for each in others:
    sys.stdout.writelines(f"not expressed: {each.name}, {name}: {why}\n" for name, why in each.not_expressed)
if not wrong and not disagree:
    page = Path(__file__).parents[2] / "docs" / "accuracy.md"
    text = re.sub(r"\| generation \| caught.*\n(?:\|.*\n)+", lambda _: rows, page.read_text())
    if judges.REAL_FILES and judges.CASES:
        text = re.sub(r"\| judge \|.*\n(?:\|.*\n)+", lambda _: judged, text)
    page.write_text(text)
sys.exit(bool(wrong or disagree))
