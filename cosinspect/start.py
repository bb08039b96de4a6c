"""The program: it prints an answer of the cache if it still holds, or else runs the command line.

Nothing is imported before that which an answer does not need: parsing arguments and importing the library take
longer than a verdict that is known. An answer is what the command line would print; `cache.answers` says when it holds.
"""

from __future__ import annotations

import os
import sys
import time
from importlib import import_module

from cosinspect.cache.answers import Question, Surroundings

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["run"]


def run() -> NoReturn:
    """Answer the process's command line, and exit the process."""
    started = time.monotonic()
    question = _question(sys.argv[1:])
    answer = question.stored() if question is not None else None
    if answer is not None and not answer.image and _printed(answer.text(time.monotonic() - started)):
        sys.exit(answer.status)
    import_module("cosinspect.cli").run(question)
    raise AssertionError  # `cli.run` does not return


def _printed(text: str) -> bool:
    """Print a text; return False if the command line must do it, because it says what is wrong with standard output."""
    try:
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # or it is caught
        sys.stdout.write(text)
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        return False
    return True


def _question(words: list[str]) -> Question | None:
    try:
        output = sys.stdout.isatty()
        columns = str(os.get_terminal_size(sys.stdout.fileno()).columns) if output else ""
        return Question.of(
            words, Surroundings(os.environ, os.getcwd(), (str(output), columns, sys.stdout.encoding))
        )
    except (OSError, ValueError, AttributeError):  # no standard output, or a directory that is gone
        return None
