"""`cosinspect boot`: arguments, what is said where it cannot be tried, and the key of the report."""

import json

import pytest

from cosinspect.boot import emulator
from cosinspect.boot.outcome import BootResult, Outcome
from cosinspect.boot.proof import Proof
from cosinspect.cli import main
from cosinspect.commands import boot
from cosinspect.errors import CannotBoot
from cosinspect.report.report import Report
from cosinspect.testing.derivative import derivative


@pytest.fixture(scope="module")
def name(tmp_path_factory):
    return derivative().write_layout(tmp_path_factory.mktemp("boot") / "layout")


def outcome(result):
    tail = ("first \x1b[31m", "last")
    return Outcome(
        result,
        "as it was told",
        "system",
        "none",
        Proof(),
        "tcg",
        10.0,
        5.0,
        tail=tail,
        telling=("Failed to start x",),
    )


@pytest.mark.parametrize(
    ("result", "status", "word"),
    [
        (BootResult.BOOTED, 0, "BOOTED"),
        (BootResult.HALF_BOOTED, 1, "NOT BOOTED"),
        (BootResult.PANIC, 1, "NOT BOOTED"),
        (BootResult.UNDECIDED, 3, "UNDECIDED"),
    ],
)
def test_the_exit_status_is_that_of_check(monkeypatch, capsys, name, result, status, word):
    monkeypatch.setattr(boot, "try_boot", lambda *_: outcome(result))
    assert main(["boot", name]) == status
    text = capsys.readouterr().out
    assert text.startswith(word)
    assert "inspection   boots" in text
    assert ("they differ" in text) == (status == 1)
    assert "\x1b" not in text


def test_the_report_has_a_key_more(monkeypatch, capsys, name):
    monkeypatch.setattr(boot, "try_boot", lambda *_: outcome(BootResult.STUCK))
    assert main(["boot", name, "--format", "json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["boot"]["result"] == "stuck"
    assert Report.from_dict(told).to_dict() == told


def test_without_an_emulator_it_says_how_to_install_one(monkeypatch, capsys, name):
    monkeypatch.setattr(emulator.shutil, "which", lambda _: None)
    assert main(["boot", name]) == 3
    assert "apt-get install qemu-system-x86" in capsys.readouterr().err


def test_an_architecture_without_an_emulator():
    with pytest.raises(CannotBoot, match="found s390x"):
        emulator.find_emulator("s390x")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "expected an image, or --demo"),
        (["x", "--demo"], "expected an image, or --demo"),
        (["x", "--memory", "1"], "--memory"),
        (["x", "--entry", "passive"], "--entry"),
    ],
)
def test_wrong_use(capsys, arguments, told):
    assert main(["boot", *arguments]) == 2
    assert told in capsys.readouterr().err
