"""`scan` for people: interrupts, the bar and the lines, outputs that are refused, a disk that is full."""

import io
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cosinspect.cli import main
from cosinspect.commands.command import Terminal
from cosinspect.commands.scan import _inspect_all, _Lines
from cosinspect.fleet.record import ScanRecord, read_records
from cosinspect.fleet.scan import Finished
from cosinspect.inspection.worker import Outcome
from cosinspect.testing import Fault, ImageBuilder, Registry


def run(*argv):
    out, err = io.StringIO(), io.StringIO()
    status = main([str(word) for word in argv], stdout=out, stderr=err)
    return status, out.getvalue(), err.getvalue()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "absent/x"], "--output: the directory absent does not exist; create it, or name another one"),
        (["-o", "."], "--output: expected a file, . is a directory; name a file in it"),
        (["-o", "file/x"], "--output: the directory file is not a directory"),
        (["--csv", "absent/x"], "--csv: the directory absent does not exist"),
        (["--parquet", "."], "--parquet: expected a file, . is a directory"),
        (["--html", "file"], "--html: expected a directory, file is a file; name another one"),
        (["--html", "file/x"], "file is a file"),
        (["-o", "a", "--csv", "./a"], "--csv: expected another file than that of --output, found a twice"),
        (["--resume"], "--resume: expected the file to continue, as -o FILE"),
        (["--match", "x"], "--match: expected --catalogue too"),
        (["-"], "-: expected a file, because other processes read the images"),
        (["--workers", "0"], "--workers: expected a number, at least 1, found '0'"),
        (["--fail-on", "al"], "--fail-on: expected one of any, fail, never, found 'al'"),
    ],
)
def test_what_cannot_be_done_is_refused_before_the_work(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()

    status, out, err = run("scan", "localhost:1/os", *arguments)

    assert (2, "") == (status, out)
    assert message in err
    assert [tmp_path / "file"] == list(tmp_path.iterdir())


def test_an_interrupt_ends_the_workers_and_keeps_what_is_done(tmp_path):
    """The registry stalls for an hour: only the interrupt ends the scan."""
    slow = ImageBuilder().layer({"a": "b"}).build()
    quick = ImageBuilder().layer({"c": "d"}).build()
    lines = tmp_path / "scan.jsonl"
    with Registry(faults=[Fault.stall(f"*{slow.layers[0]}", 3600)]) as registry:
        names = [registry.push(quick, "org/os:quick"), registry.push(slow, "org/os:slow")]
        words = [sys.executable, "-m", "cosinspect", "scan", *names, "--workers", "2"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        with subprocess.Popen(
            [*words, "-o", str(lines), "--html", str(tmp_path / "site")],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as running:
            assert "org/os:quick" in running.stdout.readline()
            children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=600)

    assert (130, "") == (running.returncode, out)
    assert f"cosinspect: interrupted: 1 image done, kept in {lines}; --resume continues\n" == err
    assert ["quick"] == [record.image.rpartition(":")[2] for record in read_records(lines)[0]]
    assert (tmp_path / "site" / "index.html").is_file()
    assert not any(Path(f"/proc/{child}").exists() for child in children)


# -- the bar and the lines ---------------------------------------------------------------------------------------------


class Screen(io.StringIO):
    """A terminal that keeps what is written to it."""

    def isatty(self):
        return True


class Scanned:
    """A scan that is done."""

    def __init__(self, *names):
        self._names = names

    def run(self, _names):
        for name in self._names:
            yield Finished(ScanRecord(name, "sha256:0", "pass", "", "rules"), Outcome(None, ""))


def test_a_line_stands_above_the_bar_and_not_in_it():
    screen = Screen()
    terminal = Terminal(screen, screen, progress=True)

    _inspect_all(Scanned("one", "two"), ["one", "two"], [], None, None, terminal, quiet=False)

    # What stands on a line is what was written since the cursor was at its beginning; tqdm overwrites a bar with blanks.
    shown = [line.rpartition("\r")[2].strip() for line in screen.getvalue().split("\n")]
    assert [f"pass{' ' * 7}one", f"pass{' ' * 7}two"] == [line for line in shown if line.startswith("pass")]


def test_lines_for_programs_are_plain():
    screen, pipe = Screen(), io.StringIO()

    _inspect_all(Scanned("one"), ["one"], [], None, None, Terminal(pipe, screen, progress=True), quiet=False)

    assert f"pass{' ' * 7}one\n" == pipe.getvalue()


def test_a_disk_that_is_full_leaves_whole_lines(tmp_path):
    path = tmp_path / "scan.jsonl"
    terminal = Terminal(io.StringIO(), io.StringIO())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with path.open("wb", buffering=0) as file:
        lines = _Lines(file)
        resource.setrlimit(resource.RLIMIT_FSIZE, (150, before[1]))
        try:
            lines.write(json.dumps({"a": "x" * 80}) + "\n", terminal)
            with pytest.raises(OSError, match=r"scan\.jsonl"):
                lines.write(json.dumps({"a": "y" * 80}) + "\n", terminal)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)

    assert [{"a": "x" * 80}] == [json.loads(line) for line in path.read_text().splitlines()]
