"""The storing of what `check` and `checks` print, so that the program can print it again before anything is imported.

An answer is stored only if everything that it depends on is known: standard output is the only output, every argument that is
not listed here has its default, no plugin and no signature takes part, nothing was logged, and the image is in a layout, or in a registry that is
reached as the machine's files say.
"""

from __future__ import annotations

import argparse
import io
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, TypeAlias, TypedDict, cast

from attrs import evolve, frozen

from cosinspect.blob import ByteStream, Source
from cosinspect.cache import Cache, DirectoryStore
from cosinspect.cache.answers import (
    FILE_BYTES,
    KIND,
    Answer,
    Question,
    content_digest,
    file_digest,
    split_text,
    today,
)
from cosinspect.cache.record_writer import RecordWriter
from cosinspect.checks import CATALOGUE
from cosinspect.checks.plugins import installed_checks
from cosinspect.commands.command import Terminal
from cosinspect.errors import CosinspectError
from cosinspect.image.resolution import resolve_image
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.oci.documents import Platform
from cosinspect.oci.reference import ImageName, Transport
from cosinspect.profiles.names import BUILTIN
from cosinspect.report.display import InertStream
from cosinspect.report.report import Report
from cosinspect.report.results import Stats
from cosinspect.sources.local.files import DirectoryFiles, read_file
from cosinspect.sources.local.layout import DirSource, LayoutSource

__all__ = ["AnswerRecorder", "answer_recorder", "store_listing"]

Write: TypeAlias = Callable[[Report, Terminal], None]

KNOWN = frozenset({
    "cache", "cache_home", "environment", "format", "image", "jobs", "manifest", "no_color", "no_cache", "notices", "only", "output",
    "plain_http", "platform", "policy", "profile", "question", "quiet", "semantics", "show", "timeout", "tls_verify",
})  # fmt: skip
"""Arguments whose effect on an answer is known: they are in the key, and the files that they name are compared."""


class _RegistryPlace(TypedDict):
    image: str
    digest: str
    plain_http: bool


class AnswerRecorder:
    """Notes what one check depends on, and stores what it prints.

    Attributes:
        question: the command line.
        files: the files that were there when the check began, and their digests.
        told: whether the library logged something, which an answer would not repeat.
    """

    def __init__(self, question: Question, arguments: argparse.Namespace) -> None:
        self.question = question
        self.told = False
        self._arguments = arguments
        self.files = self._named_files()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Notice within the block what the library logs."""
        logger, handler = logging.getLogger("cosinspect"), _Notice(self)
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)

    def store(
        self, report: Report, status: int, terminal: Terminal, cache: Cache | None, write: Write
    ) -> None:
        """Store the answer, unless it depends on something that is not known.

        Args:
            report: what was printed.
            status: the exit status.
            terminal: on which it was printed.
            cache: where the answer is stored.
            write: prints a report.
        """
        if cache is None or not self._is_settled(report) or self.files != self._named_files():
            return
        store = cache.store
        if not isinstance(store, DirectoryStore) or store.path != Path(self.question.directory):
            return
        place, files = self._registry_place(report), self._image_files(report)
        if place is None and files is None:
            return
        files = files or {}
        pieces = self._pieces(report, terminal, write)
        if pieces is None:
            return
        files.update(self.files)
        known = {path: digest for path, digest in files.items() if digest is not None}
        if len(known) != len(files):
            return
        arguments = self._arguments
        dated = bool(arguments.policy) or arguments.profile not in BUILTIN
        day = today() if dated else ""
        answer = Answer(
            status,
            report.stats.entries,
            day,
            known,
            pieces,
            **(place or _RegistryPlace(image="", digest="", plain_http=False)),
        )
        _save(store, self.question, answer)

    def _is_settled(self, report: Report) -> bool:
        """Return whether the report is the same each time."""
        return not (
            self.told
            or report.provisional
            or report.signatures is not None
            or report.boot is not None
            or not report.stats.entries
            or any(result.transient for result in report.results)
        )

    def _named_files(self) -> dict[str, str | None]:
        arguments = self._arguments
        return _named_files(self.question, arguments.profile, *arguments.policy, arguments.manifest or "")

    def _registry_place(self, report: Report) -> _RegistryPlace | None:
        """Return where the image's name must still mean the same; None for other images, or if another access was asked for."""
        arguments = self._arguments
        if ImageName.parse(report.name).transport is not Transport.DOCKER:
            return None
        if arguments.tls_verify is not None or arguments.timeout != DEFAULT_LIMITS.seconds:
            return None
        return _RegistryPlace(
            image=report.name, digest=report.index or report.digest, plain_http=arguments.plain_http
        )

    def _image_files(self, report: Report) -> dict[str, str | None] | None:
        """Return the files in which the image's name finds its documents; None if it finds another image, or they cannot be told."""
        name, platform = ImageName.parse(report.name), self._arguments.platform
        local = name.transport in (Transport.OCI, Transport.DIR)
        if not local or not isinstance(platform, Platform | None):
            return None
        files = _NotedFiles(DirectoryFiles(Path(name.path)))
        source: Source = (
            LayoutSource(files, name.selector, name.digest)
            if name.transport is Transport.OCI
            else DirSource(files)
        )
        try:
            found = resolve_image(source, platform, DEFAULT_LIMITS)
        except CosinspectError:
            return None
        index = str(found.index_digest) if found.index_digest else None
        if (str(found.digest), index) != (report.digest, report.index):
            return None
        return files.noted

    def _pieces(self, report: Report, terminal: Terminal, write: Write) -> list[str] | None:
        """Return the text with holes in place of its cost; None if what is filled in is not what is printed."""
        mark = f"hole{secrets.token_hex(16)}"
        marks = {
            "line": f"{mark}line",
            "time": f"{mark}time",
            "seconds": f'"{mark}seconds"',
            "bytes": f'"{mark}bytes"',
        }
        stats = report.stats
        marked = evolve(report, stats=_MarkedStats(0.0, 0, stats.entries, mark))
        pieces = split_text(_printed(write, marked, terminal), marks)
        answer = Answer(0, stats.entries, "", {}, pieces)
        for seconds in (0.02, 12.345):
            alike = evolve(report, stats=Stats(seconds, 0, stats.entries))
            if answer.text(seconds) != _printed(write, alike, terminal):
                return None
        return pieces


def _printed(write: Write, report: Report, terminal: Terminal) -> str:
    out = io.StringIO()
    inert = cast("TextIO", InertStream(out))
    write(report, Terminal(inert, terminal.err, color=terminal.color, columns=terminal.columns))
    inert.flush()
    return out.getvalue()


def store_listing(question: Question | None, text: str) -> None:
    """Store what a command printed that reads no image, such as the list of checks; it ended with status 0.

    Args:
        question: the command line, None to store nothing.
        text: what was printed.
    """
    if question is None or len(installed_checks()) != len(CATALOGUE):
        return
    files = _named_files(question)
    known = {path: digest for path, digest in files.items() if digest is not None}
    if known == files:
        out = io.StringIO()
        InertStream(out).write(text)
        answer = Answer(0, 0, "", known, [out.getvalue()])
        _save(DirectoryStore(Path(question.directory)), question, answer)


def _save(store: DirectoryStore, question: Question, answer: Answer) -> None:
    store.save(KIND, question.key, RecordWriter(question.key).finish(answer.encode()))


def _named_files(question: Question, *others: str) -> dict[str, str | None]:
    """Return the digest of each file that the words or the settings may name, and of `others`."""
    words = [part for word in question.words for part in (word, word.partition("=")[2])]
    return {path: file_digest(path) for path in dict.fromkeys([*question.settings, *words, *others]) if path}


class _Notice(logging.Handler):
    def __init__(self, recorder: AnswerRecorder) -> None:
        super().__init__(logging.WARNING)
        self._recorder = recorder

    def emit(self, record: logging.LogRecord) -> None:
        self._recorder.told = True


@frozen
class _MarkedStats(Stats):
    """A cost that is written as marks, for the holes of an answer."""

    mark: str = ""

    @property
    def line(self) -> str:
        return f"{self.mark}line"

    @property
    def long_seconds(self) -> str:
        return f"{self.mark}time"

    def to_dict(self) -> dict[str, object]:
        return {**super().to_dict(), "seconds": f"{self.mark}seconds", "bytes": f"{self.mark}bytes"}


class _NotedFiles:
    """Files of a directory.

    Attributes:
        noted: the digest of each file that was read or looked for, None for one that cannot be told.
    """

    def __init__(self, files: DirectoryFiles) -> None:
        self.noted: dict[str, str | None] = {}
        self._files = files

    def size(self, name: str) -> int | None:
        """Return a file's size in bytes, None if it is missing."""
        where = self.describe(name)
        if where not in self.noted:
            self.noted[where] = file_digest(where)
        return self._files.size(name)

    def open(self, name: str, start: int = 0) -> ByteStream:
        """Open a file, from byte `start` on."""
        data = read_file(self._files, name, limit=FILE_BYTES)
        self.noted[self.describe(name)] = content_digest(data)
        return io.BytesIO(data[start:])

    def describe(self, name: str) -> str:
        """Return where a file is."""
        return self._files.describe(name)

    def doubt(self, name: str) -> str:
        """Return why readers may take another file for this name."""
        return self._files.doubt(name)


def answer_recorder(arguments: argparse.Namespace, defaults: Mapping[str, object]) -> AnswerRecorder | None:
    """Return the recorder for a check; None if an answer cannot be stored.

    Args:
        arguments: of the command.
        defaults: the default of each argument.
    """
    question = getattr(arguments, "question", None)
    if question is None or set(arguments.output or ()) - {"-"} or arguments.format == "html":
        return None
    if getattr(arguments, "notices", ()):  # they are printed each time
        return None
    if any(
        name not in KNOWN and (name not in defaults or value != defaults[name])
        for name, value in vars(arguments).items()
    ):
        return None
    if len(installed_checks()) != len(CATALOGUE):
        return None
    recorder = AnswerRecorder(question, arguments)
    return None if None in recorder.files.values() else recorder
