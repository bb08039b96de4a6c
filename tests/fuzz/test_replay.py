"""The seeds and the inputs that once broke a parser: each ends as the contract of its target says, and soon."""

import time

import pytest

from fuzz.__main__ import NAMES, SLOW_SECONDS
from fuzz.seeds import FOUND, found, seeds
from fuzz.targets import TARGETS


def test_every_target_can_be_named():
    assert list(NAMES) == list(TARGETS)
    assert {path.name for path in FOUND.iterdir()} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_seeds_are_read_and_fit(name):
    target = TARGETS[name]
    for data in seeds(name):
        assert len(data) <= target.largest
        target.read(data)


@pytest.mark.parametrize(
    ("name", "which"), [(name, which) for name in NAMES for which in found(name)], ids=lambda word: word
)
def test_what_was_found_stays_mended(name, which):
    begun = time.process_time()
    TARGETS[name].read(found(name)[which])
    assert time.process_time() - begun < SLOW_SECONDS
