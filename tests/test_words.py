"""Plain words: phrases of the old style do not return to pages, docstrings, comments and the help of options."""

import argparse
import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

from cosinspect.commands import COMMANDS
from parsed_modules import nodes_of

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")]
)
MODULES = sorted((ROOT / "cosinspect").rglob("*.py"))

INSTEAD = {
    r"\btells? of\b": "reports, prints, lists",
    r"\b(is|are) told of\b": "is reported",
    r"\bof which no\b": "that no ...",
    r"\bless a\b": "minus",
    r"\bless than verified\b": "say what is missing",
    r"\bgives? how\b": "returns",
    r"^(Give|Tell|Say) (the|a|an|whether|why|what|where|how|which)\b": "Return ...",
    r"\b(passes|passed) over\b": "skip",
    r"\bhangs? on\b": "depends on",
    r"\bgravest\b": "most severe",
    r"\bhow grave\b": "severity",
    r"\bfor want of\b": "without",
    r"\bso that it is heard\b": "say the number",
    r"\bin vain\b": "unused",
    r"\bspeaks? of it\b": "matches it",
    r"\bnobody honest\b": "hostile or unusual",
    r"\bit is none\b": "it is not a ...",
    r"\bmade up by hand\b": "synthetic",
    r"\bwhat it is a function of\b": "what decides it",
    r"\bheld against\b": "compared with",
    r"\bside by side\b": "in parallel",
    r"\bbe it (a|the|that)\b": "or",
    r"\bto the letter\b": "exactly",
    r"\bsomebody answers for\b": "is waived",
    r"\bNone for none\b": "None if there is none",
    r"\"\" for none\b": '"" if there is none',
    r"\bat hand\b": "available",
    r"\bwhatever is wrong with it\b": "its faults",
    r"\bwhat is left of\b": "the rest of",
    r"\bwhoever asks\b": "the client",
    r"\banother check's\b": "another check reports ...",
    r"\bas other checks say\b": "other checks report that",
    r"\bmore than (is|are) followed\b": "more than the limit",
    r"\bin the making\b": "while it is built",
    r"\bhands it over\b": "passes it",
    r"^Part (a|an|the) ": "Split ...",
    r"\bput in front of each\b": "before each",
}
"""Phrases, and what to write instead."""


def faults(text):
    """The phrases of a text that must not be there, with what to write instead."""
    text = " ".join(text.split())
    for phrase, instead in INSTEAD.items():
        if found := re.search(phrase, text):
            yield f"{text[max(found.start() - 40, 0) : found.end() + 40]!r}: write {instead}"


def texts(path):
    """Docstrings and comments of a module."""
    source = path.read_text()
    for node in nodes_of(path):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield node.value.lineno, node.value.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_are_in_plain_words(path):
    found = [
        f"{path.name}:{number}: {fault}"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for fault in faults(line)
    ]
    assert [] == found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_and_comments_are_in_plain_words(path):
    found = [f"{path.name}:{line}: {fault}" for line, text in texts(path) for fault in faults(text)]
    assert [] == found


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_options_is_in_plain_words(name):
    parser = argparse.ArgumentParser()
    COMMANDS[name].configure(parser)
    assert [] == list(faults(parser.format_help()))
