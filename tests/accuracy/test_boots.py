"""What real machines did: `boot` says the same of the small derivative, row by row."""

import pytest

from accuracy.boots import QEMU, UML
from cosinspect.inspection.inspection import inspect
from cosinspect.report.report import Capability, Kind, Level, Status


def disagreement(row, directory):
    """Say where the report differs from what the machine did; "" for nowhere."""
    report = inspect(row.build().write_layout(directory))
    status = report.capabilities[Capability.BOOT].status
    failed = [each for each in report.results if each.kind is Kind.FAIL]
    if status is not (Status.YES if row.boots else Status.NO):
        return f"boot is {status.value}: {[each.check for each in failed]}"
    if row.told and not {each.check for each in failed} & set(row.told):
        return f"none of {row.told} speaks: {[each.check for each in failed]}"
    grave = [each.check for each in failed if each.level is not Level.NOTE]
    if row.boots and not row.told and grave:
        return f"something is told of a machine that runs: {grave}"
    return ""


@pytest.mark.parametrize("row", [*QEMU, *UML], ids=lambda row: row.name.replace("/", "|"))
def test_an_image_boots_where_a_machine_did(row, tmp_path):
    assert "" == disagreement(row, tmp_path)
