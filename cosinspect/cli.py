"""The command line: it selects the command, parses arguments, and maps the result to an exit status.

A name that is not a command is an image to check: `cosinspect IMAGE` is `cosinspect check IMAGE`. Only this
module reads the environment: NO_COLOR, TERM, COLUMNS, COSIGN_REPOSITORY, COSINSPECT_CACHE, XDG_CACHE_HOME,
the variables that locate podman's and docker's credentials and settings (`sources.access`), and those that
env://NAME names. A failure prints one line on standard error; the mistakes of a document follow, one a line.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import logging
import os
import shutil
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn, TextIO, cast

from cosinspect import __version__
from cosinspect.cache.answers import Question
from cosinspect.commands import COMMANDS
from cosinspect.commands.command import (
    Command,
    ExitStatus,
    NotInImage,
    Terminal,
    WrongUse,
)
from cosinspect.commands.overview import PROGRAM, overview
from cosinspect.commands.parser import CommandParser
from cosinspect.commands.settings import OptionSources
from cosinspect.deadline import Deadline, OutOfTime
from cosinspect.errors import (
    ContentError,
    CosinspectError,
    InvalidAccess,
    InvalidCache,
    InvalidConfiguration,
    InvalidImage,
    InvalidProfile,
    InvalidReference,
    InvalidScan,
    InvalidSignaturePolicy,
    MissingPackage,
)
from cosinspect.image.recognition import local_name
from cosinspect.report.display import InertStream, printable
from cosinspect.shortage import shortage_of

__all__ = ["exit_with", "main", "run"]

COLUMNS = (40, 100, 120)
"""The minimum width of a report, the width without a terminal, and the maximum."""

MOST_MISTAKES = 50
"""The number of mistakes of one document that are printed."""

GRACE = 0.5
"""Seconds after its deadline that a command has to end by itself."""

EXIT_STATUSES: tuple[tuple[type[BaseException], ExitStatus], ...] = (
    (KeyboardInterrupt, ExitStatus.INTERRUPTED),
    (WrongUse, ExitStatus.WRONG_USE),
    (InvalidReference, ExitStatus.WRONG_USE),
    (InvalidProfile, ExitStatus.WRONG_USE),
    (InvalidSignaturePolicy, ExitStatus.WRONG_USE),
    (InvalidAccess, ExitStatus.WRONG_USE),
    (InvalidCache, ExitStatus.WRONG_USE),
    (InvalidConfiguration, ExitStatus.WRONG_USE),
    (InvalidScan, ExitStatus.WRONG_USE),
    (MissingPackage, ExitStatus.WRONG_USE),
    (NotInImage, ExitStatus.NO),
    (CosinspectError, ExitStatus.UNDECIDED),
    (BrokenPipeError, ExitStatus.READER_GONE),
    (Exception, ExitStatus.UNDECIDED),
)
"""The exit status for each error; the first matching class counts."""


def main(
    argv: Sequence[str] | None = None,
    *,
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
    question: Question | None = None,
) -> int:
    """Run a command and return its exit status; raise nothing.

    Args:
        argv: the arguments, without the program's name; by default those of the process.
        stdout: for results; for `cat` it must have a `buffer`.
        stderr: for errors and progress.
        question: under which an answer is stored, None to store none.
    """
    with contextlib.ExitStack() as opened:
        # Python has no stream if the process was started without one.
        nowhere = opened.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
        # A CI system reads both streams for commands: content of an image must not become one.
        out = cast("TextIO", InertStream(stdout or sys.stdout or nowhere))
        err = cast("TextIO", InertStream(stderr or sys.stderr or nowhere))
        try:
            status = _run(list(sys.argv[1:] if argv is None else argv), out, err, question)
            out.flush()
        except (Exception, KeyboardInterrupt) as fault:  # noqa: BLE001 - a traceback is no message
            return _failed(fault, err)
        return status


def run(question: Question | None = None) -> NoReturn:
    """Run `main` and exit the process.

    Args:
        question: as for `main`.
    """
    # Warnings of libraries are for developers, not for readers of a report.
    logging.getLogger().addHandler(logging.NullHandler())
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    _leave(main(question=question))


def exit_with(fault: BaseException) -> NoReturn:
    """Print the line for an error that ended the program before its command line was parsed, and exit the process."""
    _leave(_failed(fault, cast("TextIO", InertStream(sys.stderr or io.StringIO()))))


def _failed(fault: BaseException, err: TextIO) -> int:
    """Print the line for an error, and return the exit status."""
    with contextlib.suppress(OSError, ValueError):
        err.write(_told(fault))
        err.flush()
    return next(status for kind, status in EXIT_STATUSES if isinstance(fault, kind))


def _leave(status: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            # The reader is gone, and `main` has handled it; the interpreter would flush again at exit, and
            # complain.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    alone = all(each.daemon or each is threading.main_thread() for each in threading.enumerate())
    if status == ExitStatus.INTERRUPTED or not alone:
        os._exit(status)  # a worker may block in a read, and the interpreter would wait for it
    sys.exit(status)


def _run(argv: list[str], out: TextIO, err: TextIO, question: Question | None) -> int:
    with contextlib.redirect_stdout(out):
        try:
            command, arguments = _parse(argv)
        except SystemExit:  # --help and --version have written their text
            return 0
    arguments.question = question
    debug = getattr(arguments, "debug", False)
    # A server writes a log of its own.
    silent = getattr(arguments, "quiet", False) or getattr(arguments, "own_log", False)
    with _log_told(err, quiet=silent, debug=debug), _ended_in_time(arguments):
        for notice in getattr(arguments, "notices", ()):
            logging.getLogger(PROGRAM).warning(notice)
        _take_paths(arguments)
        try:
            return command.run(arguments, _terminal(arguments, out, err))
        except (ContentError, InvalidImage) as fault:
            raise _of_image(fault, arguments) from fault


def _of_image(fault: CosinspectError, arguments: argparse.Namespace) -> CosinspectError:
    """Return an error of an image's content with the image's name, and with what to do."""
    remedy = fault.remedy
    if remedy is None and isinstance(fault, ContentError):
        remedy = "the image is damaged, or was changed on the way: copy or push it again"
    name, told = getattr(arguments, "image", None), str(fault)
    origin = getattr(arguments, "upgrade_from", None)
    if (
        not isinstance(name, str)
        or getattr(arguments, "other", None)
        or name in told
        or (origin and origin in told)
    ):
        return fault.but(remedy=remedy)
    return fault.but(where=f"{name}, {fault.where}" if fault.where else name, remedy=remedy)


def _take_paths(arguments: argparse.Namespace) -> None:
    """Replace local paths in place of image names by names with a transport."""
    for name in ("image", "other", "upgrade_from"):
        given = getattr(arguments, name, None)
        if given:
            setattr(arguments, name, local_name(given))


@contextlib.contextmanager
def _ended_in_time(arguments: argparse.Namespace) -> Iterator[None]:
    """Hold a command that is on one image to its --timeout, what it computes and writes included.

    An alarm ends what does not look at the clock by itself.
    """
    if not getattr(arguments, "on_one_image", False):
        yield
        return
    deadline = Deadline(arguments.timeout)
    with deadline.running(getattr(arguments, "image", PROGRAM)):
        if (
            threading.current_thread() is not threading.main_thread()
            or signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL
        ):
            yield
            return
        signal.signal(signal.SIGALRM, _ring)
        signal.setitimer(signal.ITIMER_REAL, min(deadline.left() + GRACE, 1e8), 0.5)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)


def _ring(_signal: int, _frame: object) -> NoReturn:
    raise OutOfTime


@contextlib.contextmanager
def _log_told(err: TextIO, *, quiet: bool, debug: bool) -> Iterator[None]:
    """Print what the library logs, one line each: warnings, and requests if `--debug` is given."""
    logger, handler = logging.getLogger(PROGRAM), _Teller(err)
    if quiet:
        yield
        return
    level = logger.level
    if debug:
        logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Teller(logging.Handler):
    """A logging handler that writes messages for people."""

    def __init__(self, err: TextIO) -> None:
        super().__init__(logging.INFO)
        self._err = err

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; ignore a closed stream."""
        with contextlib.suppress(OSError, ValueError):
            grave = "warning: " if record.levelno >= logging.WARNING else ""
            self._err.write(f"{PROGRAM}: {grave}{printable(record.getMessage())}\n")


def _parse(argv: list[str]) -> tuple[Command, argparse.Namespace]:
    if not argv or argv == ["help"]:
        argv = ["--help"]
    if argv[0] == "version":
        argv = ["--version", *argv[1:]]
    if argv[0] == "help":
        if argv[1] not in COMMANDS or len(argv) > 2:
            near = difflib.get_close_matches(argv[1], COMMANDS, n=1)
            raise WrongUse(
                f"help: expected one command, found {' '.join(argv[1:])[:100]}; "
                + (f"did you mean {PROGRAM} help {near[0]}?" if near else f"{PROGRAM} --help lists them")
            )
        argv = [argv[1], "--help"]
    if argv[0] in ("-h", "--help", "--version"):
        if len(argv) > 1 and not argv[1].startswith("-"):
            raise WrongUse(
                f"{argv[0]}: expected nothing behind it, found {argv[1][:100]}; see {PROGRAM} --help"
            )
        sys.stdout.write(overview(argv[0], shutil.get_terminal_size().columns) or "")
        raise SystemExit
    command = COMMANDS.get(argv[0])
    implied = command is None
    if command is None:
        command = COMMANDS["check"]
    parser = CommandParser(
        prog=f"{PROGRAM} {command.name}",
        description=f"{command.summary[0].upper()}{command.summary[1:]}.",
        epilog="Each option is also a variable (--no-color is COSINSPECT_NO_COLOR) and a key of cosinspect.toml: docs/command-line.md.",
        allow_abbrev=False,
    )
    command.configure(parser)
    try:
        arguments = OptionSources.of(os.environ).parse(parser, argv if implied else argv[1:], command.name)
    except WrongUse as fault:
        near = difflib.get_close_matches(argv[0], COMMANDS, n=1) if implied else []
        if near:
            raise WrongUse(
                f"{argv[0]}: expected a command or an image, found neither; did you mean the command {near[0]}?"
            ) from fault
        raise
    if hasattr(arguments, "no_cache"):
        _place_cache(arguments)
    if any(hasattr(arguments, name) for name in ("verify_key", "authfile", "config")):
        arguments.environment = os.environ
    return command, arguments


def _place_cache(arguments: argparse.Namespace) -> None:
    """Return the cache's place from the environment (XDG Base Directory Specification); `off` is none."""
    if arguments.cache == "off":
        arguments.cache, arguments.no_cache = None, True
    home = os.environ.get("XDG_CACHE_HOME", "")
    if not Path(home).is_absolute():  # the specification says to ignore it
        try:
            home = str(Path.home() / ".cache")
        except RuntimeError:  # a user without a home directory
            arguments.no_cache = arguments.no_cache or arguments.cache is None
    arguments.cache_home = home


def _terminal(arguments: argparse.Namespace, out: TextIO, err: TextIO) -> Terminal:
    """Return the properties of the terminal and the user's preferences."""
    capable = os.environ.get("TERM") != "dumb"
    plain = bool(os.environ.get("NO_COLOR")) or getattr(arguments, "no_color", False)
    least, usual, most = COLUMNS
    columns = usual
    if out.isatty():
        columns = min(max(shutil.get_terminal_size((usual, 24)).columns, least), most)
    # Progress bars and a log would overwrite each other.
    hushed = getattr(arguments, "quiet", False) or getattr(arguments, "debug", False)
    return Terminal(
        out=out,
        err=err,
        color=capable and not plain and out.isatty(),
        columns=columns,
        progress=capable and err.isatty() and not hushed,
    )


def _told(fault: BaseException) -> str:
    """Return the line for the error that ended a command, "" if nobody can read it."""
    if isinstance(fault, BrokenPipeError):
        return ""
    if isinstance(fault, KeyboardInterrupt):
        done = f": {printable(str(fault))}" if fault.args else ""
        return f"{PROGRAM}: interrupted{done}\n"
    mistakes: tuple[str, ...] = getattr(fault, "mistakes", ())
    if mistakes:
        where = fault.where if isinstance(fault, CosinspectError) else None
        if len(mistakes) == 1:
            return f"{PROGRAM}: error: {printable(f'{where}, ' if where else '')}{printable(mistakes[0])}\n"
        shown = "".join(f"  {printable(line)}\n" for line in mistakes[:MOST_MISTAKES])
        more = f"  and {len(mistakes) - MOST_MISTAKES} more\n" if len(mistakes) > MOST_MISTAKES else ""
        return f"{PROGRAM}: error: {printable(f'{where}: ' if where else '')}{len(mistakes)} mistakes\n{shown}{more}"
    if isinstance(fault, (CosinspectError, WrongUse, NotInImage)):
        text = str(fault)
    elif lacking := shortage_of(fault):
        text = lacking
    elif isinstance(fault, OSError):
        text = ": ".join(str(part) for part in (fault.filename, fault.strerror or fault) if part)
    else:
        last = traceback.extract_tb(fault.__traceback__)[-1]
        place = f"{Path(last.filename).name}, line {last.lineno}"
        text = f"internal error, please report it: {type(fault).__name__}: {fault} ({place}, version {__version__})"
    return f"{PROGRAM}: error: {printable(text)}\n"
