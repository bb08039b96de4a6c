"""Whatever bytes a database of rpm has, its reader ends with packages or a FormatError."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosinspect.errors import FormatError
from cosinspect.formats.packages.rpm import read_rpm_database
from cosinspect.formats.packages.rpm_sqlite import sqlite_blobs
from cosinspect.limits import DEFAULT_LIMITS
from fuzz.seeds import seeds

SEEDS = seeds("rpm")


@pytest.mark.parametrize("which", range(len(SEEDS)))
def test_a_database_with_other_bytes_ends_in_packages_or_a_format_error(which):
    seed = SEEDS[which]

    @settings(deadline=None, max_examples=40)
    @given(st.lists(st.tuples(st.integers(0, len(seed) - 1), st.binary(min_size=1, max_size=8)), max_size=6))
    def check(changes):
        data = bytearray(seed)
        for at, new in changes:
            data[at : at + len(new)] = new
        with contextlib.suppress(FormatError):
            assert all(each.name and each.version for each in read_rpm_database(bytes(data)))
        with contextlib.suppress(FormatError):
            list(sqlite_blobs(bytes(data), bytes(data), DEFAULT_LIMITS))

    check()
