"""GRUB judges: grub-script-check every verdict on syntax, grub-emu every line that a script prints."""

import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cosinspect.formats.boot.grub_commands import COMMANDS
from cosinspect.formats.boot.grub_evaluator import SUCCESS, Evaluator
from cosinspect.formats.boot.grub_state import FileKind, State
from cosinspect.formats.boot.grub_syntax import check_grub_script, parse_grub_script
from cosinspect.formats.boot.grub_values import GrubBound, literal, render
from grub_scripts import damaged, script

pytestmark = pytest.mark.compat
needs_check = pytest.mark.skipif(
    not shutil.which("grub-script-check"), reason="grub-script-check is not installed"
)
needs_emu = pytest.mark.skipif(not shutil.which("grub-emu"), reason="grub-emu is not installed")

TEXTS = 600
SCRIPTS = 200
# What the emulator's build does not have.
_NO_LOADERS = {"linux", "linux16", "linuxefi", "initrd", "initrd16", "initrdefi"}


def judged(text):
    return (
        subprocess.run(
            ["grub-script-check"], check=False, input=text.encode(), capture_output=True
        ).returncode
        == 0
    )


@needs_check
def test_grub_script_check_says_the_same_of_damaged_scripts():
    texts = [damaged(seed) for seed in range(TEXTS)]
    with ThreadPoolExecutor(2) as pool:
        verdicts = list(pool.map(judged, texts))
    assert [] == [
        text
        for text, taken in zip(texts, verdicts, strict=True)
        if taken != (check_grub_script(text) is None)
    ]
    assert min(verdicts.count(True), verdicts.count(False)) > TEXTS // 5


class Host:
    """The host's files as grub-emu sees them."""

    def search(self, by, name):
        return None

    def kind(self, device, path):
        file = Path(path or "/")
        if device != "host" or not file.exists():
            return None
        if file.is_dir():
            return FileKind.DIRECTORY
        return FileKind.FILE if file.stat().st_size else FileKind.EMPTY_FILE

    def text(self, device, path):
        there = self.kind(device, path) in (FileKind.FILE, FileKind.EMPTY_FILE)
        return Path(path).read_bytes().decode() if there else None

    def environment(self, device, path):
        return None


def ours(text):
    printed = []

    def echo(call):
        printed.append(" ".join(render(word) for word in call.plain()))
        return SUCCESS

    commands = {name: run for name, run in COMMANDS.items() if name not in _NO_LOADERS} | {"echo": echo}
    state = State({"root": literal("host")})
    Evaluator(Host(), commands).run_script(parse_grub_script(text), state, "grub.cfg")
    return [line.rstrip() for line in printed if line.strip()]


def theirs(directory, text):
    (directory / "grub.cfg").write_text(text + "halt\n", newline="")
    command = ["grub-emu", "-d", str(directory)]
    output = subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=600
    ).stdout
    lines = re.sub(r"\x1b\[[0-9;]*m", "", output.decode().replace("\r", "")).split("\n")
    return [
        line.rstrip() for line in lines if line.strip() and not line.startswith(("error:", "Welcome to GRUB"))
    ]


@needs_emu
def test_grub_prints_the_same(tmp_path):
    (tmp_path / "there").write_text("x")
    (tmp_path / "empty").write_text("")
    (tmp_path / "part.cfg").write_text(
        'set list="from a file"\n# a comment\necho part\nif [ -n "$a" ]; then set b=part; fi\n'
    )
    compared = 0
    wrong = []
    for seed in range(SCRIPTS + 10):
        text = script(seed, tmp_path)
        try:
            expected = ours(text)
        except GrubBound:
            continue  # a script that does not end, which GRUB would not either
        compared += 1
        if expected != theirs(tmp_path, text):
            wrong.append(seed)
    assert (True, []) == (compared >= SCRIPTS, wrong)
