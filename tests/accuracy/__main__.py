"""`python -m tests.accuracy`: judge every case, print the table, write it to docs/accuracy.md, and fail if one is judged wrongly."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

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
sys.stdout.write(rows)
if not wrong:
    page = Path(__file__).parents[2] / "docs" / "accuracy.md"
    page.write_text(re.sub(r"\| generation \| caught.*\n(?:\|.*\n)+", lambda _: rows, page.read_text()))
sys.exit(bool(wrong))
