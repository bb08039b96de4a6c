"""Golden files: what renderers wrote when people last read and approved of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DIRECTORY = Path(__file__).parent.parent / "golden"
UPDATE = "COSINSPECT_UPDATE_GOLDEN"


@pytest.fixture
def golden():
    """Compare text with a golden file; COSINSPECT_UPDATE_GOLDEN=1 writes it instead, for a person to review."""

    def compare(name, actual):
        path = DIRECTORY / name
        if os.environ.get(UPDATE) == "1":
            assert not os.environ.get("CI"), f"{UPDATE} is for people who read what changes"
            path.write_text(actual, "utf-8")
        assert path.read_text("utf-8") == actual

    return compare
