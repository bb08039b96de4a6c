"""No line of any command commands the CI system that reads it."""

import io
import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cosinspect.cli import main
from cosinspect.report.display import InertStream
from cosinspect.testing import ImageBuilder, Symlink

EVIL = "::add-mask::x"
NAMES = {
    f"boot/{EVIL}": "x",
    "boot/##[add-mask]x": "x",
    "boot/##vso[task.setvariable variable=a]b": "x",
    "boot/vmlinuz": Symlink("  ::stop-commands::token"),
    "boot/initrd": Symlink("##[group]x"),
}


def commanding(text):
    """The lines that GitHub's runner or Azure's agent would act on (ActionCommand.TryParse; logging commands)."""
    return [
        line for line in text.splitlines() if line.lstrip().startswith("::") or re.search(r"##(vso)?\[", line)
    ]


@pytest.fixture
def layout(tmp_path):
    image = ImageBuilder(platform="linux/amd64").layer(NAMES, created_by=f"RUN \n{EVIL}\n##[group]").build()
    return image.write_layout(tmp_path / "layout")


@pytest.mark.parametrize(
    "arguments",
    [
        *(
            ["check", "-o", f"{form}=-", "LAYOUT"]
            for form in ("text", "json", "sarif", "junit", "markdown", "html")
        ),
        *(["ls", "-R", "LAYOUT", "/"], ["ls", "-R", "LAYOUT", "/", "--format", "json"]),
        *(
            ["history", "LAYOUT", "/boot/vmlinuz"],
            ["explain", "LAYOUT"],
            ["diff", "LAYOUT"],
            ["packages", "LAYOUT"],
        ),
        *(
            ["cat", "LAYOUT", f"/boot/{EVIL}-gone"],
            ["ls", "LAYOUT", "\n::error::x"],
            ["check", "oci:\n::error::x"],
        ),
        *(["scan", "LAYOUT"],),
    ],
    ids=" ".join,
)
def test_no_line_is_a_command(layout, arguments):
    out, err = io.StringIO(), io.StringIO()
    out.buffer = io.BytesIO()

    main([each.replace("LAYOUT", layout) for each in arguments], stdout=out, stderr=err)

    assert out.getvalue() or err.getvalue()
    assert [] == commanding(out.getvalue() + err.getvalue())
    if "json=-" in arguments:
        json.loads(out.getvalue())
    if arguments[-1] == "json":
        assert [json.loads(line) for line in out.getvalue().splitlines()]


@example(parts=["##["])
@given(parts=st.lists(st.text(alphabet=" :#[vso]\n\t\xa0a", max_size=12) | st.just(None), max_size=12))
def test_however_it_is_cut_into_pieces_no_line_is_a_command(parts):
    raw = io.StringIO()
    stream = InertStream(raw)
    for part in parts:
        if part is None:
            stream.flush()
        else:
            stream.write(part)
    stream.flush()
    if None not in parts:
        assert [] == commanding(raw.getvalue())
        text = "".join(parts)
        assert text == raw.getvalue().replace("\\u005b", "[").replace("\\u003a", ":")
