"""How the end of a boot is told, by machines that only play one."""

from attrs import define, field

from cosinspect.boot.console import Console
from cosinspect.boot.outcome import BootResult
from cosinspect.boot.proof import Account
from cosinspect.boot.watch import Limits, watch

ROOT = (Account("root", "cos"),)
BLOCK = "COSINSPECT-BEGIN stage\nCOSINSPECT-BEGIN\nmulti-user active\nsystem running\netc writable\nfailed a.service\nCOSINSPECT-END\n"
KERNEL = b"Linux version 6.1\nRun /init as init process\n"
SYSTEM = KERNEL + b"Switching root\n"


@define
class Machine:
    """Prints what it is told, answers what is typed, and takes a second of work for each look."""

    script: list = field(factory=list)
    answers: dict = field(factory=dict)
    proof: str = ""
    work: float = 1.0
    busy: bool = True
    cpu: float = 0.0
    wall: float = 0.0
    ends: bool = False
    later: str = ""

    def read(self, seconds):
        self.cpu += self.work
        self.wall += 2.0
        if self.script:
            return self.script.pop(0)
        self.proof = self.proof or self.later
        return None if self.ends else b""

    def press(self, text):
        for typed, answer in self.answers.items():
            if typed in text:
                self.script.append(answer)


def watched(machine, accounts=ROOT, **limits):
    return watch(machine, Console(), accounts, Limits(**limits), lambda _: None)


def test_somebody_logs_in():
    shell = (
        b"COSINSPECT-BEGIN\r\nmulti-user active\r\nsystem degraded\r\netc writable\r\nCOSINSPECT-END\r\n# "
    )
    machine = Machine(
        [SYSTEM, b"\ncos login: "],
        {"root\n": b"\nPassword: ", "cos\n": b"\nroot@cos:~# ", "multi-user.target": shell},
    )
    found = watched(machine)
    assert (found.result, found.login, found.proof.system) == (BootResult.BOOTED, "password", "degraded")


def test_a_prompt_that_lets_nobody_in_is_half_a_boot():
    machine = Machine(
        [SYSTEM, b"\ncos login: "],
        {"root\n": b"\nPassword: ", "cos\n": b"\nLogin incorrect\n\ncos login: "},
        later=BLOCK,
    )
    assert watched(machine).result is BootResult.HALF_BOOTED


def test_a_prompt_alone_proves_nothing():
    found = watched(Machine([SYSTEM, b"\ncos login: "]), ())
    assert (found.result, found.login) == (BootResult.HALF_BOOTED, "none")


def test_a_prompt_decides_nothing_where_nobody_can_log_in_and_the_image_runs_nothing_of_ours():
    found = watched(Machine([SYSTEM, b"\ncos login: "]), (), answers=False)
    assert (found.result, found.login) == (BootResult.UNDECIDED, "none")
    assert "no password is known" in found.reason


def test_the_stage_proves_a_boot_where_no_account_is_known():
    found = watched(Machine([SYSTEM, b"\ncos login: "], later=BLOCK), ())
    assert (found.result, found.login, found.proof.failed) == (BootResult.BOOTED, "stage", ("a.service",))


def test_a_wait_that_no_limit_ends_is_stuck():
    spinner = [f"\r[  *] Job dev-a.device/start running ({at}min / no limit)\r".encode() for at in range(9)]
    found = watched(Machine([KERNEL, *spinner], busy=True))
    assert found.result is BootResult.STUCK
    assert "waits for 420 s, and no limit ends that, waiting for dev-a.device" in found.reason


def test_no_prompt_at_all_is_half_a_boot():
    assert (
        watched(Machine([SYSTEM, b"Reached target multi-user.target\n"], later=BLOCK)).result
        is BootResult.HALF_BOOTED
    )


def test_emergencies_are_told_apart_by_the_switch_of_the_root():
    line = b"You are in emergency mode. After logging in\n"
    assert watched(Machine([KERNEL, line])).result is BootResult.EMERGENCY_INITRD
    assert watched(Machine([SYSTEM, line])).result is BootResult.EMERGENCY_SYSTEM


def test_a_panic():
    found = watched(Machine([KERNEL, b"Kernel panic - not syncing: Attempted to kill init!\n"], ends=True))
    assert found.result is BootResult.PANIC
    assert "Attempted to kill init" in found.reason


def test_a_machine_that_restarts():
    assert (
        watched(Machine([SYSTEM, b"reboot: Restarting system\n"], ends=True)).result is BootResult.RESTARTED
    )


def test_silence_counts_by_the_guests_own_work():
    waits = [
        b"\r[ *  ] A start job is running for /dev/disk/by-label/COS_ACTIVE (%ds / no limit)" % second
        for second in range(500)
    ]
    found = watched(Machine([KERNEL, *waits]))
    assert found.result is BootResult.STUCK
    assert "COS_ACTIVE" in found.reason


def test_a_busy_host_is_no_silence():
    """A guest that gets no processor has said nothing for long, and is not given up for it."""
    machine = Machine([KERNEL, *[b""] * 400, SYSTEM], work=0.01, later=BLOCK)
    assert watched(machine, ()).result is BootResult.BOOTED


def test_a_guest_that_rests_is_given_up():
    found = watched(Machine([SYSTEM], work=0.01, busy=False))
    assert found.result is BootResult.STUCK


def test_a_bound_of_ours_decides_nothing():
    lines = (f"line {chr(97 + number % 26)}{chr(97 + number // 26 % 26)}\n".encode() for number in range(650))
    found = watched(Machine([KERNEL, *lines]), cpu=100)
    assert found.result is BootResult.UNDECIDED
