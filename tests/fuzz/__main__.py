"""`python -m tests.fuzz TARGET --seconds 600`: fuzz one parser, or all of them, one a processor at a time, and say what broke.

Each target runs in a process of its own under atheris, with a bound on its memory and on the time of one input.
A finding does not end the run: the input is kept under `.fuzz/TARGET/findings`, once for each place that failed, and the
run goes on. What was learnt is kept under `.fuzz/TARGET/corpus`, so that the next run goes on where this one ended.
The exit status is 1 if anything was found, 2 if a target did not run.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import subprocess
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TOP = Path(__file__).parents[2]
sys.path[:0] = [str(TOP), str(TOP / "tests")]  # modules that tests share: bolt_files, raw_cpio, raw_tar

NAMES = (
    "tar",
    "readers",
    "members",
    "tables",
    "initrd",
    "bolt",
    "packages",
    "rpm",
    "kernel",
    "programs",
    "documents",
    "signatures",
    "grub",
    "shell",
    "yaml",
    "settings",
    "efi",
    "installation",
)
MEMORY_MIB = 1024
"""What a run may take, the interpreter and its instruments included."""
SLOW_SECONDS = 2
"""Longer than any input of these sizes may take, instrumented as the parser is."""
HUNG_SECONDS = 60


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.split("\n", 1)[0])
    parser.add_argument("target", choices=[*NAMES, "all"])
    parser.add_argument("--seconds", type=int, default=600, help="for each target (default: %(default)s)")
    parser.add_argument(
        "--directory", type=Path, default=TOP / ".fuzz", help="default: .fuzz in the checkout"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=os.cpu_count() or 1,
        help="targets side by side (default: one a processor)",
    )
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        fuzz(arguments.target, arguments.directory, arguments.seconds)
    names = NAMES if arguments.target == "all" else (arguments.target,)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        return max(pool.map(lambda name: run(name, arguments.directory.resolve(), arguments.seconds), names))


def run(name: str, directory: Path, seconds: int) -> int:
    """Run one target in a process of its own; give 1 if it found something, 2 if it did not run."""
    place = directory / name
    (place / "findings").mkdir(parents=True, exist_ok=True)
    (place / "corpus").mkdir(exist_ok=True)
    earlier = set((place / "findings").iterdir())
    command = [sys.executable, "-m", "tests.fuzz", name, "--child", "--directory", str(directory)]
    begun = time.monotonic()
    with (place / "log").open("w", encoding="utf-8") as log:
        ended = subprocess.run(
            [*command, "--seconds", str(seconds)], cwd=TOP, stdout=log, stderr=subprocess.STDOUT, check=False
        )
    lasted = time.monotonic() - begun
    said = (place / "log").read_text(encoding="utf-8", errors="replace")
    executed = re.search(r"stat::number_of_executed_units: *(\d+)", said)
    peak = re.search(r"stat::peak_rss_mb: *(\d+)", said)
    coverage = re.findall(r" cov: (\d+)", said)
    if executed is None or peak is None or int(executed[1]) == 0 or not coverage:
        print(f"{name}: did not run to its end; see {place / 'log'}")
        return 2
    findings = sorted(set((place / "findings").iterdir()) - earlier)
    print(
        f"{name}: {int(executed[1]):,} inputs in {lasted:.0f} s, {coverage[-1]} branches, at most {peak[1]} MiB, "
        f"{len([path for path in findings if path.suffix != '.txt'])} findings",
        flush=True,
    )
    for path in findings:
        print(f"  {path}")
    return 1 if findings or ended.returncode else 0


def fuzz(name: str, directory: Path, seconds: int) -> None:
    """Fuzz until the time is over; does not return."""
    import atheris  # noqa: PLC0415  # only whoever fuzzes needs it

    with atheris.instrument_imports(include=["cosinspect"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415  # imported as it is instrumented
    from tests.fuzz.seeds import found, seeds  # noqa: PLC0415

    target, place = TARGETS[name], directory / name
    corpus = place / "corpus"
    for data in [*seeds(name), *found(name).values()]:
        (corpus / hashlib.sha256(data).hexdigest()[:40]).write_bytes(data)
    tokens = place / "tokens"
    tokens.write_text("".join(f'"{_escaped(token)}"\n' for token in target.tokens))

    def one_input(data: bytes) -> None:
        begun = time.process_time()
        try:
            target.read(data)
        except Exception as fault:  # noqa: BLE001  # whatever leaves a target is a finding
            _keep(place / "findings", data, fault)
        else:
            lasted = time.process_time() - begun
            if lasted > SLOW_SECONDS:
                _keep(place / "findings", data, TimeoutError(f"took {lasted:.1f} s"))

    def mutate(data: bytes, largest: int, seed: int) -> bytes:
        chance = random.Random(seed)
        mutated = atheris.Mutate(data, largest)
        if chance.random() < 0.75:  # what stays broken must be met too
            mutated = target.repair(mutated, chance)
        return mutated[:largest]

    options = [
        f"-max_total_time={seconds}",
        f"-max_len={target.largest}",
        f"-rss_limit_mb={MEMORY_MIB}",
        f"-timeout={HUNG_SECONDS}",
        f"-artifact_prefix={place / 'findings'}/",
        f"-dict={tokens}",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one_input, custom_mutator=mutate)
    atheris.Fuzz()


def _keep(findings: Path, data: bytes, fault: BaseException) -> None:
    """Keep the smallest input for each kind of fault and place that it left from."""
    frames = traceback.extract_tb(fault.__traceback__)
    where = f"{Path(frames[-1].filename).stem}-{frames[-1].lineno}" if frames else "slow"
    path = findings / f"{type(fault).__name__}-{where}"
    if not path.exists() or path.stat().st_size > len(data):
        path.write_bytes(data)
        path.with_suffix(".txt").write_text("".join(traceback.format_exception(fault)))


def _escaped(token: bytes) -> str:
    return "".join(chr(byte) if byte < 128 and chr(byte).isalnum() else f"\\x{byte:02x}" for byte in token)


if __name__ == "__main__":
    sys.exit(main())
