"""Which accelerator runs a machine, what is tried again, and what is refused, by emulators that only play one."""

import sys

import pytest

from cosinspect.boot import trial as trials
from cosinspect.boot.emulator import Emulator, Machine, RunningMachine, find_emulator
from cosinspect.boot.outcome import BootResult
from cosinspect.boot.proof import Account
from cosinspect.boot.trial import Trial, start_machine
from cosinspect.boot.watch import Limits
from cosinspect.errors import CannotBoot

ANSWERING = """\
import sys

def tell(text):
    sys.stdout.write(text)
    sys.stdout.flush()

tell("Linux version 6.1\\nRun /init as init process\\nSwitching root\\n\\ncos login: ")
sys.stdin.readline()
tell("Password: ")
sys.stdin.readline()
tell("\\nroot@cos:~# ")
sys.stdin.readline()
tell("\\nCOSINSPECT-BEGIN\\nmulti-user active\\nsystem running\\netc writable\\nCOSINSPECT-END\\n# ")
sys.stdin.readline()
"""
PANIC = 'print("Linux version 6.1\\nKernel panic - not syncing: VFS: Unable to mount root fs")'
WITHOUT_KVM = {
    "stops": 'print("SeaBIOS (version 1.16.2)", flush=True); import time; time.sleep(60)',
    "ends": "raise SystemExit(1)",
}


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Start a machine by a program that does one thing with KVM and another without."""

    def start(kvm, tcg, accel="auto", *, usable=True):
        program = tmp_path / "emulator"
        program.write_text(
            f"#!{sys.executable}\nimport sys\nexec({kvm!r} if 'kvm' in sys.argv else {tcg!r})\n"
        )
        program.chmod(0o755)
        disk, kernel = tmp_path / "disk.img", tmp_path / "kernel"
        monkeypatch.setattr(trials, "kvm_usable", lambda _: usable)
        monkeypatch.setattr(trials, "KVM_SECONDS", 1)
        machine = Machine(disk, tmp_path, 256, "tcg", kernel)
        emulator = Emulator(str(program), "q35", "ttyS0", "ttyS1", "amd64")
        trial = Trial(accel=accel, console=tmp_path / "console")
        return start_machine(emulator, machine, trial, (Account("root", "cos"),))

    return start


def test_an_accelerator_that_runs_the_machine_is_used(started, tmp_path):
    outcome = started(ANSWERING, "raise SystemExit(1)")
    assert (outcome.result, outcome.accel, outcome.notes) == (BootResult.BOOTED, "kvm", ())
    assert (tmp_path / "console").read_bytes().startswith(b"Linux version 6.1\n")


@pytest.mark.parametrize("kvm", WITHOUT_KVM)
def test_an_accelerator_that_opens_and_runs_nothing_is_left(started, kvm):
    outcome = started(WITHOUT_KVM[kvm], ANSWERING)
    assert (outcome.result, outcome.accel) == (BootResult.BOOTED, "tcg")
    assert outcome.notes == ("/dev/kvm opens, and no machine runs by it: started again without it",)


def test_an_accelerator_that_was_asked_for_is_not_replaced(started):
    with pytest.raises(CannotBoot, match="no machine runs by it") as raised:
        started(WITHOUT_KVM["ends"], ANSWERING, "kvm")
    assert raised.value.remedy == "use --accel tcg"


def test_without_an_accelerator_the_report_says_that_it_takes_longer(started):
    outcome = started("raise SystemExit(1)", PANIC, usable=False)
    assert (outcome.result, outcome.accel) == (BootResult.PANIC, "tcg")
    assert "without /dev/kvm" in outcome.notes[0]


def test_an_emulator_that_fails_is_no_failure_of_the_image(started):
    fails = 'import sys; sys.exit("emulator: cannot set up guest memory: Cannot allocate memory")'
    with pytest.raises(CannotBoot, match="the emulator fails: emulator: cannot set up guest memory"):
        started(fails, fails, "tcg")


@pytest.mark.parametrize(
    ("architecture", "told"),
    [("riscv64", "expected an image for amd64 or arm64"), ("amd64", "it is not installed")],
)
def test_an_emulator_that_is_not_there(monkeypatch, architecture, told):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CannotBoot, match=told):
        find_emulator(architecture)


def test_a_failure_by_timeouts_on_a_busy_computer_is_tried_by_the_machines_own_clock(started, monkeypatch):
    """An emulator whose machine fails unless its clock follows its instructions."""
    monkeypatch.setattr(RunningMachine, "waited", 100.0)
    monkeypatch.setattr(trials, "Limits", lambda *_, **__: Limits(silent_cpu=0.0))
    emergency = 'print("Linux version 6.1\\nRun /init as init process\\nEntering emergency mode.", flush=True); sys.stdin.readline()'
    outcome = started("", f"exec({ANSWERING!r} if '-icount' in sys.argv else {emergency!r})", "tcg")
    assert outcome.result is BootResult.BOOTED
    assert "emergency in the initrd on a busy computer, where the machine waited 100 s" in outcome.notes[0]
