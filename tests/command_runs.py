"""Runs of the command, and what holds of every one of them, whatever image or registry it was given.

The exit status is one that is documented; an error is one line; nothing that could move a terminal is ever written; JSON
is JSON; nothing is written to disk and nobody but this machine is spoken to; no secret is told; and it ends soon.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

from attrs import define, frozen

from cosinspect import cli

SECRET = "s3cret-c4nary"
"""Stands in everything that nobody may be told."""
COST = 30
"""Seconds of a processor that no run of these small images may take."""
PATIENCE = 600
"""Seconds after which a process that does not end is given up; a busy machine may take most of them."""

_SGR = re.compile(r"\x1b\[[0-9;]*m")
# What tqdm writes to draw bars: the beginning of the line, a line up.
_BARS = re.compile(r"\x1b\[A|\r")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = frozenset(
    f"os.{name}"
    for name in (
        *(
            "chmod",
            "chown",
            "link",
            "mkdir",
            "mkfifo",
            "mknod",
            "remove",
            "rename",
            "rmdir",
            "setxattr",
            "symlink",
        ),
        *("truncate", "utime", "system", "exec", "posix_spawn", "fork"),
    )
)
_STARTS = frozenset(
    {"subprocess.Popen", "shutil.copyfile", "shutil.move", "tempfile.mkstemp", "tempfile.mkdtemp"}
)


class Terminal(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


class Deeds:
    """What a run does to the world outside its streams, as the interpreter's audit events tell it."""

    def __init__(self):
        self.seen = None
        sys.addaudithook(self._note)

    def _note(self, event, arguments):
        if self.seen is None:
            return
        if event == "open":
            path, _, flags = arguments
            if (
                isinstance(flags, int)
                and flags & _WRITES
                and path != os.devnull
                and not isinstance(path, int)
            ):
                self.seen.append(f"{event} {path}")
        elif event in _CHANGES or event in _STARTS:
            self.seen.append(f"{event} {arguments!r:.200}")
        elif event == "socket.connect" and arguments[1][0] not in ("127.0.0.1", "::1"):
            self.seen.append(f"{event} {arguments[1]}")


def _replacement(path, deeds):
    """The deeds that write a file: one beside it is made, written, and takes its place."""
    name = rf"{re.escape(str(path.parent))}/\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.part"
    beside = next((found[0] for deed in deeds if (found := re.search(name, deed))), "")
    return [f"open {beside}", f"open {beside}", f"os.rename {(beside, str(path), -1, -1)!r:.200}"]


def _spent_by_children():
    """Seconds of a processor that ended processes took."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


# A hook cannot be taken away again, so there is one for all tests.
DEEDS = Deeds()


@frozen
class Run:
    """One run: what was asked, and what came of it."""

    argv: tuple[str, ...]
    status: int
    out: bytes
    err: bytes
    seconds: float
    color: bool = False
    bars: bool = False

    @property
    def text(self):
        return self.out.decode()

    @property
    def message(self):
        """The error without its beginning."""
        return self.err.decode().removeprefix("cosinspect: error: ").rstrip("\n")

    def assert_harmless(self, secrets=()):
        assert self.status in (0, 1, 2, 3), self
        assert self.seconds < COST, self
        for stream in (self.out, self.err):
            for secret in (SECRET, *secrets):
                assert secret.encode() not in stream, self
                assert base64.b64encode(f"alice:{secret}".encode()) not in stream, self
            assert b"Traceback" not in stream, self
            assert b"internal error" not in stream, self
            assert b"the check crashed" not in stream, self
        self._assert_error()
        if self.argv[0] == "cat":
            return  # the file as it is
        if "json" in self.argv:
            assert self.out.isascii(), self
            documents = self.text.splitlines() if self.argv[0] == "ls" else [self.text] if self.out else []
            for document in documents:
                json.loads(document)
            return
        text = _SGR.sub("", self.text) if self.color else self.text
        assert all(line.isprintable() for line in text.split("\n")), self

    def _assert_error(self):
        said = self.err.decode()
        if self.bars:
            said = _BARS.sub("", said)
            assert all(line.isprintable() for line in said.split("\n")), self
            return
        if not said:
            assert self.status in (0, 1, 3), self
            assert self.out or self.argv[0] in ("cat", "ls") or {"-o", "--output"} & {*self.argv}, self
            return
        assert self.status != 0, self
        assert said.startswith("cosinspect: error: "), self
        assert said.endswith("\n"), self
        assert said[:-1].isprintable(), self


@define
class Runner:
    """Runs the command in an empty directory, for a user with an empty home."""

    home: Path
    here: Path
    secrets: tuple[str, ...] = ()

    def __call__(self, *argv, color=False, bars=False, writes=()):
        """Run it in this process and hold it to everything that always holds; `writes` is what it was told to write."""
        out, err = (
            (Terminal if tty else io.TextIOWrapper)(io.BytesIO(), "utf-8", newline="\n")
            for tty in (color, bars)
        )
        words = tuple(str(word) for word in argv)
        DEEDS.seen = deeds = []
        begun = time.process_time()
        try:
            status = cli.main(list(words), stdout=out, stderr=err)
        finally:
            DEEDS.seen = None
        seconds = time.process_time() - begun
        out.flush()
        err.flush()
        run = Run(words, status, out.buffer.getvalue(), err.buffer.getvalue(), seconds, color, bars)
        run.assert_harmless(self.secrets)
        assert [deed for path in writes for deed in _replacement(path, deeds)] == deeds, run
        return run

    def process(self, *argv):
        """Run it as a process of its own."""
        words = tuple(str(word) for word in argv)
        begun = _spent_by_children()
        ended = subprocess.run(
            [sys.executable, "-m", "cosinspect", *words],
            cwd=self.here,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        run = Run(words, ended.returncode, ended.stdout, ended.stderr, _spent_by_children() - begun)
        run.assert_harmless(self.secrets)
        self.assert_untouched()
        return run

    def assert_untouched(self):
        assert [] == list(self.here.iterdir())
        assert [] == [path for path in self.home.rglob("*") if ".docker" not in path.parts]
