"""Reports of others, each a program that ends with 1 where an image is judged wrongly."""

from pathlib import Path

import pytest

from accuracy.judges import CASES, SETTLED, of_case

PATHS = [path for path in sorted(Path(CASES).iterdir()) if (path / "case.py").is_file()] if CASES else []

pytestmark = pytest.mark.skipif(CASES is None, reason="COSINSPECT_CASES names no folder of reports")


@pytest.mark.parametrize(
    "path", [path for path in PATHS if path.name not in SETTLED], ids=lambda path: path.name
)
def test_what_others_reported_is_judged_rightly(path):
    assert "" == of_case(path)
