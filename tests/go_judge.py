"""Go's `archive/tar` as the judge of archives, and our reader's view of them in the same form."""

import atexit
import base64
import functools
import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from attrs import field, frozen

from cosinspect.errors import CosinspectError
from cosinspect.tar.reader import TarStream
from cosinspect.tar.runs import header_of

LARGE = 8 << 20
"""Of what is larger the judge reads only so much."""

needs_go = pytest.mark.skipif(not shutil.which("go"), reason="Go is not installed")

_HEADER_ONLY = "123456"


@frozen
class Seen:
    """An entry as a reader hands it out; text with surrogate escapes."""

    name: str
    type: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    link: str
    device: tuple[int, int]
    xattrs: tuple[tuple[str, str], ...]
    content: str = field(repr=False)


@frozen
class Reading:
    """What a reader makes of an archive: its entries, and whether it came to an honest end.

    Attributes:
        large: the position of the first entry that is too large for the judge to read, or None.
        error: why the reading ended early, for people; readers differ in words.
    """

    entries: tuple[Seen, ...]
    large: int | None
    error: str | None

    def agrees(self, other):
        """Say whether another reader saw the same, as far as the judge can tell."""
        if self.large is not None or other.large is not None:
            common = min(item.large for item in (self, other) if item.large is not None)
            return self.entries[:common] == other.entries[:common]
        return self.entries == other.entries and (self.error is None) == (other.error is None)


@functools.cache
def _judge():
    directory = tempfile.TemporaryDirectory(prefix="gotar")
    program = Path(directory.name) / "gotar"
    subprocess.run(
        ["go", "build", "-o", program, "."], cwd=Path(__file__).parent / "compat/gotar", check=True
    )
    process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def end():
        process.stdin.close()
        process.wait(10)
        process.stdout.close()
        directory.cleanup()

    atexit.register(end)
    return process


def go_reads(archive):
    """What Go's reader makes of an archive."""
    process = _judge()
    process.stdin.write(len(archive).to_bytes(8, "big") + archive)
    process.stdin.flush()
    entries = []
    large = None
    while True:
        line = json.loads(process.stdout.readline())
        if "error" in line or "end" in line:
            return Reading(tuple(entries), large, line.get("error"))
        if chr(line["type"]) == "g":  # handed out by Go for nobody to use; noted by us
            continue
        if line["large"] and large is None:
            large = len(entries)
        entries.append(_seen_by_go(line))


def _seen_by_go(line):
    kind = chr(line["type"])
    return Seen(
        _text(line["name"]),
        kind,
        line["mode"],
        line["uid"],
        line["gid"],
        0 if kind in _HEADER_ONLY else line["size"],
        line["mtime"],
        _text(line["link"]),
        (line["major"], line["minor"]),
        tuple((_text(name), _text(value)) for name, value in line["xattrs"]),
        line["sha256"],
    )


def _text(encoded):
    return base64.b64decode(encoded or "").decode("utf-8", "surrogateescape")


def in_runs(stream):
    """The headers of an archive as layers are read: in runs where they have the common form."""
    while True:
        run = stream.run(1 << 20)
        for entry in run:
            stream.enter(entry)
            yield header_of(entry)
        if not run:
            header = stream.following()
            if header is None:
                return
            yield header


def we_read(archive, *, portion=4096):
    """What our reader makes of an archive that comes in pieces of `portion` bytes."""
    stream = TarStream(iter([archive[at : at + portion] for at in range(0, len(archive), portion)]))
    entries = []
    large = None
    try:
        for header in in_runs(stream):
            if header.type == "g":
                continue
            if header.size >= LARGE and large is None:
                large = len(entries)
            stored = b"".join(iter(lambda: stream.read(1 << 20), b""))
            entries.append(
                Seen(
                    header.name,
                    header.type,
                    header.mode,
                    header.uid,
                    header.gid,
                    header.size,
                    header.mtime,
                    header.link,
                    header.device,
                    tuple(sorted((header.xattrs or {}).items(), key=lambda item: _raw(item[0]))),
                    _hash(header, stored) if large is None else "",
                )
            )
    except CosinspectError as fault:
        return Reading(tuple(entries), large, str(fault))
    return Reading(tuple(entries), large, None)


def _raw(text):
    return text.encode("utf-8", "surrogateescape")


def _hash(header, stored):
    """The hash of a file's content, put together from its stored bytes as simply as can be."""
    content = stored
    if header.sparse is not None:
        whole = bytearray(header.size)
        for start, length in header.sparse:
            whole[start : start + length], stored = stored[:length], stored[length:]
        content = bytes(whole)
    return hashlib.sha256(content).hexdigest()
