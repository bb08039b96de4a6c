"""The pages under docs/: their tables are compared, their examples executed."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from cosinspect.cli import main
from cosinspect.render import RENDERERS, SUFFIXES
from cosinspect.testing.derivative import derivative

DOCUMENTS = Path(__file__).parent.parent / "docs"
REPORTS = (DOCUMENTS / "reports.md").read_text()


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_the_formats_are_those_there_are():
    rows = re.findall(r"^\| `(\w+)` \| (?:`(\.\w+)`|-) \|", REPORTS, re.MULTILINE)

    assert list(RENDERERS) == [name for name, _ in rows]
    assert {suffix: name for name, suffix in rows if suffix} == dict(SUFFIXES)


def commands():
    """Every command line that begins with `cosinspect`, folded as YAML and the shell fold it."""
    for text in blocks(REPORTS, "sh"):
        yield from (line for line in text.splitlines() if line.startswith("cosinspect "))
    github, gitlab = (yaml.safe_load(text) for text in blocks(REPORTS, "yaml"))
    steps = [step.get("run", "") for step in github["jobs"]["image"]["steps"]]
    yield from (line for line in [*steps, *gitlab["image"]["script"]] if line.startswith("cosinspect "))


@pytest.mark.parametrize("command", list(commands()))
def test_the_recipes_run(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = derivative().write_layout(tmp_path / "image")
    (tmp_path / "Dockerfile").write_text("FROM base\nRUN luet install -y meta/cos-minimal meta/cos-verify\n")
    words = shlex.split(command.replace("$GITHUB_STEP_SUMMARY", "step-summary"))[1:]

    assert 0 == main([name, *words[1:]])
    outputs = [word.rpartition("=")[2] for flag, word in pairwise(words) if flag == "-o"]
    assert all(Path(output).stat().st_size for output in outputs if output != "-")
    assert len(outputs) >= 3
