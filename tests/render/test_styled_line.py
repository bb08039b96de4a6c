"""Lines with styles, compared with those of rich."""

import io

import pytest
from rich.console import Console
from rich.text import Text

from cosinspect.render.styled_line import StyledLine

PIECES = [
    [("plain", "")],
    [("FAIL  ", "bold red"), ("name", "bold")],
    [("  ", ""), ("yes", "green"), ("  all of it  ", "dim")],
    [("unknown", "yellow"), (" ", ""), ("note", "bold cyan"), ("   ", "")],
    [("", "bold")],
]


@pytest.mark.parametrize("pieces", PIECES)
@pytest.mark.parametrize("color", [False, True])
def test_rich_draws_the_same(pieces, color):
    stream = io.StringIO()
    console = Console(
        file=stream, color_system="standard" if color else None, force_terminal=color, no_color=not color,
        width=80, legacy_windows=False, highlight=False, markup=False, emoji=False, _environ={},
    )  # fmt: skip
    theirs, mine = Text(), StyledLine()
    for text, style in pieces:
        theirs.append(text, style)
        mine.append(text, style)
    theirs.rstrip()
    console.print(theirs, soft_wrap=True)

    assert stream.getvalue() == f"{mine.render(color=color)}\n"
    assert len(mine) == sum(len(text) for text, _ in pieces)


def test_a_copy_is_another_line():
    line = StyledLine("a", "bold")
    other = line.copy().append("b")

    assert ("a", "ab") == (line.plain, other.plain)
