"""`python -m tests.accuracy`: judge every case, print the table, and fail if one is judged wrongly."""

from __future__ import annotations

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
sys.stdout.write("\n".join(table(outcomes)) + "\n")
sys.exit(bool(wrong))
