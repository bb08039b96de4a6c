"""How long the program takes to start and to answer, beside `python -c "import requests, rich"`.

Each figure is the processor time of a whole process, the median of its runs; the commands take turns. The image is small, so
that reading it takes next to nothing. The cache is warm.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from cosinspect.testing import Registry
from cosinspect.testing.derivative import derivative

__all__ = ["Start", "starts"]

PYTHON = sys.executable
COSINSPECT = (PYTHON, "-m", "cosinspect")


@frozen
class Start:
    """One command that starts.

    Attributes:
        name: of the row.
        ratio: of its processor time to that of the imports.
        target: what the ratio must reach.
    """

    name: str
    ratio: float
    target: float


def starts(runs: int = 9) -> list[Start]:
    """Time every command in turn."""
    with _rows() as (rows, environment):
        commands = {
            "": (PYTHON, "-c", "import requests, rich"),
            **{name: row[0] for name, row in rows.items()},
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for number in range(runs + 1):
            for name, command in commands.items():
                seconds = _processor_seconds(command, environment)
                if number:  # the first fills caches
                    times[name].append(seconds)
    imports = statistics.median(times[""])
    return [Start(name, statistics.median(times[name]) / imports, row[1]) for name, row in rows.items()]


@contextmanager
def _rows() -> Iterator[tuple[dict[str, tuple[tuple[str, ...], float]], Mapping[str, str]]]:
    """Give each command with its target, and the environment in which they run."""
    image = derivative(None)
    with tempfile.TemporaryDirectory(prefix="cosinspect-bench-") as work, Registry() as registry:
        image.write_layout(Path(work, "os"))
        layout, name = f"oci:{work}/os", registry.push(image, "bench/os:v1")
        yield (
            {
                "warm check, layout": ((*COSINSPECT, layout), 0.5),
                "warm check, layout, JSON": ((*COSINSPECT, layout, "--format", "json"), 0.5),
                "warm check, registry": ((*COSINSPECT, name), 1.0),
                "ls, layout": ((*COSINSPECT, "ls", layout), 2.0),
                "cat, layout": ((*COSINSPECT, "cat", layout, "/etc/os-release"), 2.0),
                "checks, again": ((*COSINSPECT, "checks"), 2.0),
                "checks, first": (("env", "COSINSPECT_CACHE=off", *COSINSPECT, "checks"), 2.0),
                "--help": ((*COSINSPECT, "--help"), 0.3),
                "--version": ((*COSINSPECT, "--version"), 0.3),
                "import cosinspect": ((PYTHON, "-c", "import cosinspect"), 0.3),
            },
            {**os.environ, "COSINSPECT_CACHE": f"{work}/cache"},
        )


def _processor_seconds(command: tuple[str, ...], environment: Mapping[str, str]) -> float:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
    with process:
        stderr = process.stderr.read() if process.stderr else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(
            f"{' '.join(command)} ended with {process.returncode}: {stderr.decode(errors='replace')}"
        )
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    for each in starts():
        print(
            f"{each.name:28}{each.ratio:8.2f}  <= {each.target:g}  {'yes' if each.ratio <= each.target else 'no'}"
        )
