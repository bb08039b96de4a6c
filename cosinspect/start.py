"""The program: it prints an answer of the cache if it still holds, or else runs the command line.

Nothing is imported before that which an answer does not need: parsing arguments and importing the library take
longer than a verdict that is known. An answer is what the command line would print; `cache.answers` says when it holds.
"""

from __future__ import annotations

import os
import sys
import time
from importlib import import_module

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import NoReturn

    from cosinspect.cache.answers import Answer, Question

__all__ = ["run"]

OVERVIEWS: tuple[list[str], ...] = ([], ["-h"], ["--help"], ["help"], ["--version"], ["version"])
"""The command lines that are about the program itself."""

USUAL_COLUMNS = 80


def run() -> NoReturn:
    """Answer the process's command line, and exit the process."""
    started = time.monotonic()
    if sys.argv[1:] in OVERVIEWS:
        text: str = import_module("cosinspect.commands.overview").overview("".join(sys.argv[1:]), _columns())
        if _printed(text):
            sys.exit(0)
    question = _question(sys.argv[1:])
    answer = question.stored() if question is not None else None
    if (
        answer is not None
        and (not answer.image or _still_means(answer))
        and _printed(answer.text(time.monotonic() - started))
    ):
        sys.exit(answer.status)
    import_module("cosinspect.cli").run(question)
    raise AssertionError  # `cli.run` does not return


def _still_means(answer: Answer) -> bool:
    """Ask the registry whether the image's name still means the digest; return False if the command line must ask."""
    logging = import_module("logging")
    told: list[object] = []
    handler, logger = logging.Handler(logging.WARNING), logging.getLogger("cosinspect")
    handler.emit = told.append
    logger.addHandler(handler)
    try:
        endpoints = import_module("cosinspect.sources.registry.endpoints")
        found: str = endpoints.current_digest(answer.image, os.environ, plain_http=answer.plain_http)
    except (Exception, KeyboardInterrupt) as fault:  # noqa: BLE001 - a traceback is no message
        logger.removeHandler(handler)
        if told:
            return False
        import_module("cosinspect.cli").exit_with(fault)
    logger.removeHandler(handler)
    # What the registry says to its users is printed by the command line.
    return found == answer.digest and not told


def _printed(text: str) -> bool:
    """Print a text; return False if the command line must do it, because it says what is wrong with standard output."""
    try:
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # or it is caught
        sys.stdout.write(text)
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        return False
    return True


def _columns() -> int:
    """Return the width of the terminal as `shutil.get_terminal_size` does, which takes long to import."""
    try:
        columns = int(os.environ.get("COLUMNS", "0"))
    except ValueError:
        columns = 0
    if columns > 0:
        return columns
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or USUAL_COLUMNS
    except (OSError, ValueError, AttributeError):
        return USUAL_COLUMNS


def _question(words: list[str]) -> Question | None:
    answers = import_module("cosinspect.cache.answers")
    try:
        output = sys.stdout.isatty()
        columns = str(os.get_terminal_size(sys.stdout.fileno()).columns) if output else ""
        surroundings = answers.Surroundings(
            os.environ, os.getcwd(), (str(output), columns, sys.stdout.encoding)
        )
        found: Question | None = answers.Question.of(words, surroundings)
    except (OSError, ValueError, AttributeError):  # no standard output, or a directory that is gone
        return None
    return found
