"""What consoles of real machines say, recorded as they ran."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosinspect.boot.console import Console, Phase, Sign, clean
from cosinspect.boot.proof import Proof, read_proof

CONSOLES = Path(__file__).parent / "consoles"


def told(data, step=777):
    console = Console()
    for at in range(0, len(data), step):
        console.feed(data[at : at + step])
    return console


@pytest.mark.parametrize(
    ("name", "phase", "signs", "telling"),
    [
        # Started without systemd.show_status: that multi-user.target is reached, only answers to commands say.
        ("g5-login", Phase.SYSTEM, [], "elemental-"),
        ("g5-fsck-race-emergency", Phase.INITRD, [Sign.EMERGENCY], "Failed to mount run-initra"),
        ("g5-wrong-label-timeout", Phase.INITRD, [Sign.EMERGENCY], "COS_NOPE"),
        ("g5-loaded-host-multi-user-no-login", Phase.MULTI_USER, [], "COS_OEM"),
    ],
)
def test_how_far_a_machine_came(name, phase, signs, telling):
    console = told((CONSOLES / f"{name}.log").read_bytes())
    assert (console.phase, [each.sign for each in console.signs]) == (phase, signs)
    assert any(telling in line for line in console.telling)


def test_how_long_systemd_waits_for_what_no_limit_ends():
    console = told((CONSOLES / "g2-endless-wait.log").read_bytes())
    assert (console.phase, console.waiting) == (Phase.INITRD, r"dev-disk-by\x2dlabel-COS_ACTIVE")
    assert console.waited > 1000
    loaded = told((CONSOLES / "g5-loaded-host-multi-user-no-login.log").read_bytes())
    assert loaded.waited == 179  # and it went on


def test_what_a_machine_wrote_of_itself():
    proof = read_proof((CONSOLES / "g5-probe-ttyS1.txt").read_text())
    assert proof.complete


def test_lines_that_only_say_that_something_waits_are_nothing_new():
    console = Console()
    console.feed(b"Starting\n")
    before = console.kinds
    for second in range(100):
        console.feed(
            f"\r\x1b[K[ \x1b[0;31m*\x1b[0m ] A start job is running for /dev/disk/by-label/X ({second}s / 5min)".encode()
        )
        console.feed(f"\n[  {second}.123456] Counting {second}\n".encode())
    assert console.kinds == before + 1
    assert console.waiting == "/dev/disk/by-label/X"


@pytest.mark.parametrize(
    ("line", "sign"),
    [
        (b"[    4.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00007f00\n", Sign.PANIC),
        (
            b"[    4.1] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n",
            Sign.PANIC,
        ),
        (b"Give root password for maintenance\n", Sign.EMERGENCY),
        (b"Press Enter for maintenance", Sign.EMERGENCY),
        (b"You are in emergency mode. After logging in, type\n", Sign.EMERGENCY),
        (b"[    2.0] Run /bin/sh as init process\n", Sign.EMERGENCY),
        (b"[    9.9] systemd[1]: Freezing execution.\n", Sign.FREEZE),
        (b"\r\ncos login: ", Sign.LOGIN),
        (b"error: you need to load the kernel first.\n", Sign.FIRMWARE_END),
        (b"grub> ", Sign.FIRMWARE_END),
    ],
)
def test_signs(line, sign):
    assert told(line).saw(sign)


def test_the_end_of_startup_in_an_initrd_is_no_multi_user_target():
    """Printed by systemd 252 in the initrd of a machine whose `elemental` is empty, behind emergency.target."""
    console = told(
        b"Run /init as init process\n[  OK  ] Reached target emergency.target - Emergency Mode.\n"
        b"Startup finished in 4.403s (kernel) + 0 (initrd) + 22.857s (userspace) = 27.260s.\n"
    )
    assert console.phase is Phase.INITRD


def test_a_switch_of_the_root_that_fails_leaves_the_machine_in_its_initrd():
    """Of a machine whose root has no os-release."""
    console = told(
        b"Run /init as init process\n[  OK  ] Reached target initrd-switch-root.target - Switch Root.\n"
        b"         Starting initrd-switch-root.service - Switch Root...\n"
        b"[FAILED] Failed to start initrd-switch-root.service - Switch Root.\nEntering emergency mode.\n"
    )
    assert console.phase is Phase.INITRD


def test_a_line_that_speaks_of_a_login_is_no_prompt():
    assert not told(b"Welcome. Last login: Mon Nov 30\nroot logged in\n").saw(Sign.LOGIN)


@given(st.binary(max_size=2000), st.integers(1, 100))
def test_any_bytes_are_taken(data, step):
    console = told(data, step)
    assert console.text.isprintable() or "\n" in console.text
    assert clean(data).isprintable()


@given(st.text(max_size=300))
def test_any_text_is_a_proof_or_none(text):
    assert isinstance(read_proof(text), Proof)
    assert not read_proof(text.replace("COSINSPECT", "")).complete
