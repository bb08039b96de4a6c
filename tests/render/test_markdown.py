"""The summary, read by a CommonMark parser of another project: what strangers wrote is code and nothing else."""

import io

import pytest
from handmade import report
from markdown_it import MarkdownIt
from strangers import NASTY, nasty, waived

from cosinspect.render.markdown import MarkdownRenderer
from cosinspect.report.display import printable


def rendered(made):
    stream = io.StringIO()
    MarkdownRenderer().render(made, stream)
    return stream.getvalue()


def tokens(made):
    parser = MarkdownIt("gfm-like", {"linkify": False})
    for token in parser.parse(rendered(made)):
        yield token
        yield from token.children or ()


def test_a_page_for_people():
    text = rendered(report())

    assert text.startswith("## Fail: `quay.io/org/os:v1`\n")
    assert "| boot | **no** | yes | COS011 |" in text
    assert "### What fails (1)" in text
    assert "### Undecided (1)" in text
    assert "### Warnings and notes (2)" in text
    assert "**COS011 kernel-link-dangling** (error, breaks boot, install)" in text


def test_what_is_waived_stays_visible():
    text = rendered(waived())

    assert "### Waived (1)" in text
    assert "waived until 2027-03-31: the kernel comes with the next layer, see PLAT-12" in text
    assert "its waiver expired on 2026-01-31" in text
    assert "### Unused waivers" in text


def test_strangers_are_code():
    found = list(tokens(nasty()))
    kinds = {token.type for token in found}

    assert not kinds & {"html_block", "html_inline", "link_open", "image", "s_open"}
    headings = [found[at + 1].content for at, token in enumerate(found) if token.type == "heading_open"]
    assert ["Fail", "What", "Undecided", "Warnings"] == [
        text.replace(":", "").split()[0] for text in headings
    ]
    prose = "".join(token.content for token in found if token.type == "text")
    assert not any(mark in prose for mark in ("@", "evil.example", "javascript", "owned"))


@pytest.mark.parametrize("text", NASTY)
def test_and_stay_readable(text):
    fences = "".join(token.content for token in tokens(nasty()) if token.type == "fence")

    assert printable(text) in fences
