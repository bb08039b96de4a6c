"""Debian's PostgreSQL as a process: a cluster of its own in a directory, reached by a socket."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

PATIENCE = 600
PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)

needs_postgresql = pytest.mark.skipif(PROGRAMS is None, reason="PostgreSQL is not installed")


class Database:
    """A database server that can be stopped and started again."""

    def __init__(self, directory):
        self._directory = directory
        self._process = None
        self._prefix = []
        if os.geteuid() == 0:  # which PostgreSQL refuses to run as
            shutil.chown(directory, "postgres", "postgres")
            self._prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        self._run(
            "initdb",
            "-D",
            self._data,
            "-A",
            "trust",
            "-U",
            "postgres",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C",
        )

    @property
    def _data(self):
        return self._directory / "data"

    @property
    def _log(self):
        return self._directory / "log"

    @property
    def address(self):
        """The URI of libpq."""
        return f"postgresql://postgres@/postgres?host={self._directory}"

    def start(self):
        """Start, and return when it answers."""
        command = [*self._prefix, PROGRAMS / "postgres", "-D", self._data, "-k", self._directory, "-F"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "-c", "listen_addresses="], stdout=log, stderr=log, cwd=self._directory
            )
        end = time.monotonic() + PATIENCE
        while subprocess.run([PROGRAMS / "pg_isready", "-q", "-h", self._directory], check=False).returncode:
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < end
            time.sleep(0.1)

    def stop(self):
        """End the server and its connections at once."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # a fast shutdown
            self._process.wait(PATIENCE)
            self._process = None

    def _run(self, program, *arguments):
        subprocess.run(
            [*self._prefix, PROGRAMS / program, *arguments],
            check=True,
            capture_output=True,
            cwd=self._directory,
        )


@contextmanager
def postgresql():
    """Run a database server while the block runs."""
    # Not below pytest's directories, which only their owner may enter.
    with tempfile.TemporaryDirectory(prefix="postgresql-") as directory:
        database = Database(Path(directory))
        database.start()
        try:
            yield database
        finally:
            database.stop()
