"""What the command printed before, and when it may be printed again: before anything else is imported.

An answer is found by everything that decides it and is known without parsing: the words of the command line, the directory
in which it runs, the variables that the command reads, the terminal, the code, and what is installed beside it. It names
the files that were read, with their digests; an answer whose files changed, appeared or vanished is not used. For an image
in a registry it names the digest, and the registry is asked again. The cost of an inspection is left open in it,
and filled in anew. Images that may have changed are inspected.

This module loads no third-party library, and none of this package that does.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from hashlib import blake2b

from cosinspect.cache.code import code_digest
from cosinspect.cache.location import is_private, open_record, record_path
from cosinspect.cache.record import Damaged, Record
from cosinspect.cost import cost_line, long_seconds

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = [
    "HOLES",
    "KIND",
    "Answer",
    "Question",
    "Surroundings",
    "content_digest",
    "file_digest",
    "split_text",
    "today",
]

KIND = "answer"

VARIABLES = frozenset({
    "COLUMNS", "CONTAINERS_REGISTRIES_CONF", "COSIGN_REPOSITORY", "CURL_CA_BUNDLE", "DOCKER_CONFIG", "HOME", "LANG", "LC_ALL",
    "LC_CTYPE", "LINES", "NO_COLOR", "PYTHONIOENCODING", "PYTHONUTF8", "REGISTRY_AUTH_FILE", "REQUESTS_CA_BUNDLE", "TERM",
    "XDG_CACHE_HOME", "XDG_CONFIG_DIRS", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR",
})  # fmt: skip
"""The variables that the command reads, beside those whose name starts with `COSINSPECT_`."""

HOLES = ("line", "time", "seconds", "bytes")
"""What an answer leaves open: the line of the cost, the time in JUnit, and two numbers in JSON."""

DIRECTORY = "directory"
"""The placeholder for the digest of a directory."""

FILE_BYTES = 8 << 20
"""Larger files are not read again: an answer that needs one is not stored."""
_ANSWER_BYTES = 64 << 20


class Surroundings:
    """What decides an answer beside the words, the files and the image.

    Attributes:
        environment: of the process.
        directory: the working directory.
        output: the properties of standard output.
    """

    def __init__(self, environment: Mapping[str, str], directory: str, output: Sequence[str]) -> None:
        self.environment = environment
        self.directory = directory
        self.output = output

    def parts(self) -> Iterator[str]:
        """Yield each part as text."""
        yield from (sys.version, os.uname().machine, str(os.getuid()), self.directory, *self.output)
        for name in sorted(self.environment):
            if name in VARIABLES or name.startswith("COSINSPECT_"):
                yield f"{name}={self.environment[name]}"
        yield from _installed()


class Question:
    """A command line in its surroundings.

    Attributes:
        words: the arguments of the command.
        directory: the cache's directory.
        key: of the answer.
        settings: the files of settings that the command would read, if they are there.
    """

    def __init__(self, words: Sequence[str], directory: str, surroundings: Surroundings) -> None:
        self.words = tuple(words)
        self.directory = directory
        found = blake2b(code_digest(), digest_size=32)
        for part in (*words, "", *surroundings.parts()):
            data = part.encode("utf-8", "surrogateescape")
            found.update(b"%d:" % len(data) + data)
        self.key = found.digest()
        environment = surroundings.environment
        home = os.path.join(environment.get("HOME", ""), ".config")
        self.settings = (
            "cosinspect.toml",
            *(
                os.path.join(place, "cosinspect", "config.toml")
                for place in (environment.get("XDG_CONFIG_HOME", ""), home)
                if place
            ),
            *filter(None, [environment.get("COSINSPECT_CONFIG_FILE")]),
        )

    @classmethod
    def of(cls, words: Sequence[str], surroundings: Surroundings) -> Question | None:
        """Return the question; None if the words or the environment say that there is no cache on this machine."""
        environment = surroundings.environment
        directory = environment.get("COSINSPECT_CACHE", "")
        for number, word in enumerate(words):
            if word == "--no-cache":
                return None
            if word == "--cache":
                directory = words[number + 1] if number + 1 < len(words) else ""
            elif word.startswith("--cache="):
                directory = word.partition("=")[2]
        named = bool(directory)
        if not named:
            home = environment.get("XDG_CACHE_HOME", "")
            if not home.startswith("/"):
                own = environment.get("HOME", "")
                if not own.startswith("/"):
                    return None
                home = os.path.join(own, ".cache")
            directory = os.path.join(home, "cosinspect")
        if directory == "off" or "://" in directory:
            return None
        try:
            status = os.stat(directory)
        except OSError:
            pass  # it is made when something is stored
        else:
            if not stat.S_ISDIR(status.st_mode) or not (named or is_private(status)):
                return None
        return cls(words, directory, surroundings)

    def stored(self) -> Answer | None:
        """Return the answer in the cache, if its files and its day are the same; its image must still be compared."""
        descriptor = open_record(record_path(self.directory, KIND, self.key))
        if descriptor is None:
            return None
        with open(descriptor, "rb") as file:
            data = file.read(_ANSWER_BYTES)
        try:
            answer = Answer.decode(Record(data, self.key).head)
        except (Damaged, ValueError):
            return None
        return answer if answer.holds() else None


class Answer:
    """What the command printed on standard output, and what it depended on.

    Attributes:
        status: the exit status.
        entries: names in the merged tree, for the cost.
        day: the day for which it holds, in UTC; "" if the day decides nothing.
        image: the image's name, if it is in a registry, else "".
        digest: that the name must still mean there.
        plain_http: whether the registry is reached without TLS.
        files: the files that were read, and the digest of each, "" for one that was not there.
        pieces: the text, in turn with the names of its holes.
    """

    def __init__(
        self,
        status: int,
        entries: int,
        day: str,
        files: Mapping[str, str],
        pieces: Sequence[str],
        *,
        image: str = "",
        digest: str = "",
        plain_http: bool = False,
    ) -> None:
        self.status = status
        self.entries = entries
        self.day = day
        self.image = image
        self.digest = digest
        self.plain_http = plain_http
        self.files = files
        self.pieces = pieces

    def holds(self) -> bool:
        """Return whether the day and the files are still the same."""
        return self.day in ("", today()) and all(
            digest == file_digest(path) for path, digest in self.files.items()
        )

    def text(self, seconds: float) -> str:
        """Return what to print for an inspection that took this time and read nothing of the image's layers."""
        filled = {
            "line": cost_line(seconds, 0, self.entries),
            "time": long_seconds(seconds),
            "seconds": repr(round(seconds, 3)),
            "bytes": "0",
        }
        return "".join(
            piece if number % 2 == 0 else filled[piece] for number, piece in enumerate(self.pieces)
        )

    def encode(self) -> bytes:
        """Return the answer as bytes."""
        place = [self.image, self.digest, "plain" if self.plain_http else ""]
        fields = [str(self.status), str(self.entries), self.day, *place, str(len(self.files))]
        for path, digest in self.files.items():
            fields += [path, digest]
        return b"".join(
            b"%d:" % len(data) + data
            for data in (field.encode("utf-8", "surrogateescape") for field in (*fields, *self.pieces))
        )

    @classmethod
    def decode(cls, data: bytes) -> Answer:
        """Return the answer that `encode` wrote.

        Raises:
            ValueError: the bytes are not an answer.
        """
        fields = list(_fields(data))
        if len(fields) < 7:
            raise ValueError(fields)
        status, entries, day, image, digest, plain, count = fields[:7]
        rest = 7 + 2 * int(count)
        files = dict(zip(fields[7:rest:2], fields[8:rest:2], strict=True))
        pieces = fields[rest:]
        if len(files) != int(count) or len(pieces) % 2 == 0 or not set(pieces[1::2]) <= set(HOLES):
            raise ValueError(count)
        return cls(
            int(status), int(entries), day, files, pieces, image=image, digest=digest, plain_http=bool(plain)
        )


def _fields(data: bytes) -> Iterator[str]:
    """Yield the fields of a netstring-like record: `3:abc`, one after the other."""
    at = 0
    while at < len(data):
        colon = data.index(b":", at)
        end = colon + 1 + int(data[at:colon])
        if end > len(data):
            raise ValueError(end)
        yield data[colon + 1 : end].decode("utf-8", "surrogateescape")
        at = end


def split_text(text: str, marks: Mapping[str, str]) -> list[str]:
    """Split a text at the marks in it.

    Args:
        text: the text.
        marks: what is in the text for each hole.

    Returns:
        the text between the marks, in turn with the names of the holes.
    """
    pieces = [text]
    for name, mark in marks.items():
        split: list[str] = []
        for number, piece in enumerate(pieces):
            if number % 2:
                split.append(piece)
                continue
            first, *others = piece.split(mark)
            split.append(first)
            for other in others:
                split += [name, other]
        pieces = split
    return pieces


def today() -> str:
    """Return the day in UTC, on which waivers expire."""
    return time.strftime("%Y-%m-%d", time.gmtime())


def file_digest(path: str) -> str | None:
    """Return the digest of a file's content: "" if nothing is there, "directory" for a directory, None if it cannot be read."""
    try:
        # Without O_NONBLOCK a FIFO in the file's place would hang.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError):
        return None
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            return DIRECTORY
        if not stat.S_ISREG(mode):
            return None
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(FILE_BYTES + 1)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return content_digest(data) if len(data) <= FILE_BYTES else None


def content_digest(data: bytes) -> str:
    """Return the digest of a file with this content."""
    return blake2b(data, digest_size=32).hexdigest()


def _installed() -> Iterable[str]:
    """Yield where distributions are, and when something was last installed there: a plugin brings checks of its own."""
    for place in sys.path:
        try:
            yield f"{place} {os.stat(place or '.').st_mtime_ns}"
        except OSError:
            continue
