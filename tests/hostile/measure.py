"""`python -m tests.hostile.measure`: every attack with the default limits: seconds, MiB, and the message.

Deadline and alarm of the command measure the processor's time here, so that a busy machine changes nothing. The exit
status is 1 if an attack takes more than --timeout and two seconds, more than 1 GiB, or ends in an unknown status.
"""

from __future__ import annotations

import argparse
import fnmatch
import glob
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).parents[2]
sys.path[:0] = [str(TOP), str(TOP / "tests"), str(TOP / "tests/hostile")]

from attacks import ATTACKS  # noqa: E402 - the checkout comes first
from attrs import frozen  # noqa: E402

MIB = 1024
MOST_MEBIBYTES = 1024
GRACE = 2.0

COMMAND = """
import signal, sys, time
signal.ITIMER_REAL, signal.SIGALRM = signal.ITIMER_PROF, signal.SIGPROF
from cosinspect.deadline import Deadline
Deadline.__init__.__kwdefaults__["clock"] = time.process_time
from cosinspect.cli import run
run()
"""

# Linux counts what a process had resident before it ran its program: a small one begins the command.
# It takes no more address space than is allowed, so that what needs more fails instead of being measured afterwards.
LAUNCHER = """
import json, os, resource, subprocess, sys
most = int(sys.argv[2]) << 20
resource.setrlimit(resource.RLIMIT_AS, (most, most))
process = subprocess.Popen([sys.executable, "-c", *sys.argv[3:]])
_, status, usage = os.wait4(process.pid, 0)
with open(sys.argv[1], "w") as file:
    json.dump([usage.ru_utime + usage.ru_stime, usage.ru_maxrss, os.waitstatus_to_exitcode(status)], file)
"""


@frozen
class Outcome:
    """What an attack came to.

    Attributes:
        seconds: of the processor.
        mebibytes: the most that was resident.
        status: of the command.
        said: the last line that it wrote to standard error, or the first of the report.
    """

    seconds: float
    mebibytes: int
    status: int
    said: str


def run(name: str, place: Path, timeout: float) -> Outcome:
    """Write the image of an attack and have the command meet it."""
    attack = ATTACKS[name]
    writer = [sys.executable, __file__, "--write", str(place), glob.escape(name)]
    subprocess.run(writer, check=True)
    image = (place / "name").read_text()
    other = [f"oci:{place / 'other'}:latest"] if attack.command == ("diff",) else []
    given = [word.replace("{place}", str(place)) for word in attack.arguments]
    words = [*attack.command, image, *other, *given, "--timeout", f"{timeout:g}", "--no-cache"]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        launch = [
            sys.executable,
            "-S",
            "-c",
            LAUNCHER,
            str(place / "usage"),
            str(MOST_MEBIBYTES),
            COMMAND,
            *words,
        ]
        subprocess.run(launch, stdout=out, stderr=err, cwd=TOP, check=True)
        seconds, resident, status = json.loads((place / "usage").read_text())
        err.seek(0)
        out.seek(0)
        said = [line for line in err.read().decode(errors="replace").splitlines() if line.strip()]
        head = out.read(400).decode(errors="replace").splitlines()
    return Outcome(
        seconds,
        resident // MIB,
        status,
        (said or head or [""])[-1 if said else 0],
    )


def main() -> int:
    """Measure, print."""
    parser = argparse.ArgumentParser(description="what attacks cost, with the default limits")
    parser.add_argument("pattern", nargs="?", default="*", help="only attacks whose names fit")
    parser.add_argument("--timeout", type=float, default=10.0)
    parser.add_argument("--markdown", action="store_true", help="the table of docs/limits.md")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write is not None:
        attack = ATTACKS[next(name for name in ATTACKS if fnmatch.fnmatchcase(name, given.pattern))]
        (given.write / "name").write_text(attack.write(given.write))
        return 0
    late = 0
    if given.markdown:
        print("| what is attacked | by | CPU s | MiB | status | what is said |\n|---|---|---:|---:|---:|---|")
    for name, attack in ATTACKS.items():
        if not fnmatch.fnmatchcase(name, given.pattern):
            continue
        place = Path(tempfile.mkdtemp(prefix="cosinspect-attack-"))
        try:
            found = run(name, place, given.timeout)
        finally:
            shutil.rmtree(place)
        over = (
            found.seconds > given.timeout + GRACE
            or found.mebibytes > MOST_MEBIBYTES
            or found.status not in (0, 1, 3)
        )
        late += over
        said = found.said.replace(str(place), "").replace("|", "\\|")
        if given.markdown:
            print(
                f"| {attack.kind} | {name} | {found.seconds:.1f} | {found.mebibytes} | {found.status} | {said[:300]} |",
                flush=True,
            )
        else:
            mark = "OVER" if over else "    "
            print(
                f"{mark} {found.seconds:6.1f} s {found.mebibytes:5} MiB  {found.status}  {name}: {said[:230]}",
                flush=True,
            )
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
