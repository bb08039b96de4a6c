"""What real machines did: `boot` says the same of the small derivative, row by row."""

import pytest

from accuracy.boots import QEMU, UML
from accuracy.judges import of_boot


@pytest.mark.parametrize("row", [*QEMU, *UML], ids=lambda row: row.name.replace("/", "|"))
def test_an_image_boots_where_a_machine_did(row):
    assert "" == of_boot(row)


def test_there_are_rows_of_both_kinds():
    for rows in (QEMU, UML):
        assert {True, False} == {row.boots for row in rows}
        assert len({row.name for row in rows}) == len(rows)
