"""The page of dependencies names what `pyproject.toml` has, and where."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAGE = (ROOT / "docs" / "dependencies.md").read_text()
FOR_DEVELOPERS = {"all", "bench", "dev", "docs", "fuzz", "test"}


def rows(marker):
    text = PAGE[PAGE.index(f"<!-- {marker} -->") :]
    table = re.search(r"((?:^\|.*\|\n)+)", text, re.MULTILINE)[1]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in table.splitlines()[2:]]


def name_of(requirement):
    return re.match(r"[\w-]+", requirement)[0]


def test_the_base_is_what_the_page_says():
    assert [name_of(each) for each in PROJECT["dependencies"]] == [row[0] for row in rows("base")]
    assert all(len(row) == 3 and all(row) for row in rows("base"))


def test_the_extras_are_what_the_page_says():
    expected = {
        (name_of(each), extra)
        for extra, requirements in PROJECT["optional-dependencies"].items()
        if extra not in FOR_DEVELOPERS
        for each in requirements
        if not each.startswith("cosinspect[")
    }
    found = {(row[0], extra) for row in rows("extras") for extra in re.findall(r"`([a-z]+)`", row[1])}
    assert expected == found
    assert all(len(row) == 4 and all(row) for row in rows("extras"))
