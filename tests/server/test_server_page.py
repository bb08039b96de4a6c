"""docs/server.md against the server: its keys, its example, its defaults."""

import re
from pathlib import Path

import msgspec
import pytest

from cosinspect.kubernetes_images import BUILTIN
from cosinspect.server.configuration import (
    Admission,
    AdmissionRule,
    Guarded,
    Harbor,
    Inspections,
    Listen,
    parse_configuration,
)
from cosinspect.server.metrics import Metrics

PAGE = (Path(__file__).parents[2] / "docs/server.md").read_text()
RUNNING = (Path(__file__).parents[2] / "docs/running-a-server.md").read_text()
TABLES = {
    "listen": Listen,
    "inspections": Inspections,
    "admission": Admission,
    "rules": AdmissionRule,
    "notifications": Guarded,
    "harbor": Harbor,
}


@pytest.mark.parametrize("table", TABLES)
def test_every_key_is_told(table):
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{table}` |"))

    keys = set(re.findall(r"`(\w+)`", row.partition("|")[2].partition("|")[2]))
    assert keys == {field.name for field in msgspec.structs.fields(TABLES[table])}


def test_the_example_is_read(tmp_path):
    (tmp_path / "tls.crt").touch()
    (tmp_path / "tls.key").touch()
    examples = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)

    found = parse_configuration("\n".join(examples), directory=tmp_path)

    assert [rule.mode.value for rule in found.rules] == ["enforce", "skip"]
    assert [field.kind for field in found.kinds] == ["Machine"]


def test_the_page_lists_each_kind_of_an_operating_system_as_the_code_reads_it():
    rows = [
        f"| {each.group} | `{each.kind}` | {', '.join(f'`{path}`' for path in each.paths)} | {each.formed} "
        f"| {'yes' if each.privileged else 'no'} |"
        for each in BUILTIN
        if each.group not in ("", "apps", "batch")
    ]
    assert "\n".join(rows) in PAGE


def test_the_page_lists_each_metric():
    described = re.findall(r"^# TYPE (\w+)", Metrics().text().decode(), re.MULTILINE)

    assert described
    assert [name for name in described if f"`{name}`" not in RUNNING] == []
