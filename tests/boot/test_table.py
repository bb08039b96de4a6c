"""The table of what was booted: complete, of the page, and without a difference that nothing explains."""

import json

from tests.boots.__main__ import RESULTS
from tests.boots.rows import ROWS
from tests.boots.table import PAGE, disagreements, write_page

from cosinspect.boot.outcome import BootResult

BOOTED = json.loads(RESULTS.read_text())


def test_the_page_is_made_of_the_results():
    assert write_page(ROWS, BOOTED) == PAGE.read_text(), "run python -m tests.boots --table"


def test_inspection_and_boot_agree_or_it_is_explained():
    assert disagreements(ROWS, BOOTED) == []


def test_every_result_is_of_a_row():
    assert set(BOOTED) <= set(ROWS)


def test_every_result_was_seen_on_a_machine():
    assert {each["result"] for each in BOOTED.values()} == {each.value for each in BootResult}


def test_a_difference_is_told_unless_it_is_explained():
    wrong = {"G2-good": {**BOOTED["G2-good"], "said": "no"}}
    assert disagreements(ROWS, wrong) == [
        "G2-good: the inspection says no, the boot: booted (root logged in, and a shell answered)"
    ]
    assert disagreements(ROWS, {"restarts": {**wrong["G2-good"], "booted": False}}) == []
