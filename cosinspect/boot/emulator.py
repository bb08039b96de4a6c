"""QEMU as a process of its own: which program, which accelerator, what it is started with, and what it costs.

No network, no daemon, no root; the machine can write to its disk only, and that is thrown away.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from attrs import frozen

from cosinspect.errors import CannotBoot

__all__ = ["Emulator", "Machine", "find_emulator", "kvm_usable"]

_PROGRAMS = {
    "amd64": ("qemu-system-x86_64", "qemu-system-x86", "q35", "ttyS0", "ttyS1"),
    # A machine `virt` has one serial port of its own; the second one is a PCI device.
    "arm64": ("qemu-system-aarch64", "qemu-system-arm", "virt", "ttyAMA0", "ttyS0"),
}
_FIRMWARE = (
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"),
)
_SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


@frozen
class Emulator:
    """An emulator for an architecture.

    Attributes:
        program: its path.
        machine: the kind of machine.
        serial: the kernel's name of the first serial port.
        port: the kernel's name of the second one, which the proof of life is written to.
        architecture: as images name it.
    """

    program: str
    machine: str
    serial: str
    port: str
    architecture: str


@frozen
class Machine:
    """What a machine is made of.

    Attributes:
        disk: its disk.
        directory: where its sockets and the second serial port's file are.
        memory: MiB.
        accel: `kvm` or `tcg`.
        kernel: the kernel's file, None where firmware starts the machine.
        initrd: the initrd's file.
        command_line: what the kernel is given.
        counted: whether its clock follows its instructions, so that its own timeouts do not end on a busy host what is merely slow;
            it takes up to twice the processor time.
    """

    disk: Path
    directory: Path
    memory: int
    accel: str
    kernel: Path | None = None
    initrd: Path | None = None
    command_line: str = ""
    counted: bool = False


def find_emulator(architecture: str | None) -> Emulator:
    """Return the emulator for an architecture.

    Raises:
        CannotBoot: it is not installed, or there is none.
    """
    known = _PROGRAMS.get(architecture or "amd64")
    if known is None:
        raise CannotBoot(f"expected an image for {' or '.join(_PROGRAMS)}, found {architecture}")
    name, package, machine, serial, port = known
    program = shutil.which(name)
    if program is None:
        raise CannotBoot(
            f"expected {name} to start the image in, it is not installed",
            remedy=f"install it: apt-get install {package} (Debian, Ubuntu), dnf install {package} (Fedora), zypper install {package} (SUSE)",
        )
    return Emulator(program, machine, serial, port, architecture or "amd64")


def find_firmware() -> tuple[Path, Path]:
    """Return the firmware and a template of its variables.

    Raises:
        CannotBoot: none is installed.
    """
    for code, variables in _FIRMWARE:
        if Path(code).is_file() and Path(variables).is_file():
            return Path(code), Path(variables)
    raise CannotBoot(
        "expected OVMF, the UEFI firmware for QEMU, it is not installed",
        remedy="install it: apt-get install ovmf (Debian, Ubuntu), dnf install edk2-ovmf (Fedora), zypper install qemu-ovmf-x86_64 (SUSE)",
    )


def kvm_usable(architecture: str) -> bool:
    """Return whether the kernel's accelerator can be opened; whether it runs a machine shows only when it does."""
    own = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine)
    return own == architecture and os.access("/dev/kvm", os.R_OK | os.W_OK)


class RunningMachine:
    """A machine that runs: bytes of its console come, keys go. It ends with its `with` block."""

    def __init__(self, emulator: Emulator, machine: Machine) -> None:
        """Start the machine.

        Raises:
            CannotBoot: the emulator cannot be started.
        """
        self.port = machine.directory / "ttyS1"
        self.port.write_bytes(b"")
        self._errors = (machine.directory / "emulator.log").open("w+b")
        self._started = time.monotonic()
        self._cpu = 0.0
        try:
            self._process = subprocess.Popen(
                _guarded(_words(emulator, machine, self.port)),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, start_new_session=True,
            )  # fmt: skip
        except OSError as fault:
            self._errors.close()
            raise CannotBoot(
                f"the emulator cannot be started: {fault.strerror}", where=emulator.program
            ) from fault

    def read(self, seconds: float) -> bytes | None:
        """Return what the console printed, b"" for nothing within so many seconds, None once the machine has ended."""
        stream = self._process.stdout
        if stream is None:
            return None
        ready, _, _ = select.select([stream], [], [], seconds)
        if not ready:
            return b"" if self._process.poll() is None else None
        return os.read(stream.fileno(), 1 << 16) or None

    def press(self, text: str) -> None:
        """Type on the console."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.write(text.encode())
                self._process.stdin.flush()

    @property
    def proof(self) -> str:
        """What came on the second serial port, control characters taken out."""
        # Firmware draws its menu there as well.
        raw = self.port.read_bytes()[-(1 << 16) :]
        return raw.replace(b"\r", b"").decode("utf-8", "replace")

    @property
    def wall(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._started

    @property
    def cpu(self) -> float:
        """Seconds of processor time that the machine took; where the system does not tell, those of the clock."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return self._cpu or self.wall
        if fields[0] not in "ZX":
            self._cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return self._cpu

    @property
    def busy(self) -> bool:
        """Whether a thread of the machine computes, or would if it got a processor; yes where the system does not tell."""
        states = []
        for task in Path(f"/proc/{self._process.pid}/task").glob("*/stat"):
            with contextlib.suppress(OSError):
                states.append(task.read_text().rpartition(")")[2].split()[0])
        return "R" in states or not states

    @property
    def waited(self) -> float:
        """Seconds that its threads would have computed and got no processor; 0 where the system does not tell."""
        total = 0
        for task in Path(f"/proc/{self._process.pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError, ValueError, IndexError):
                total += int(task.read_text().split()[1])
        return total / 1e9

    @property
    def complaint(self) -> str:
        """The first line that the emulator wrote about itself and that is no warning."""
        self._errors.flush()
        text = Path(self._errors.name).read_text("utf-8", "replace")
        lines = [
            line.strip() for line in text[: 1 << 16].splitlines() if line.strip() and "warning:" not in line
        ]
        return lines[0][:300] if lines else ""

    def close(self) -> None:
        """End the machine."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _guarded(words: Sequence[str]) -> list[str]:
    """Have the emulator end with us, where util-linux is there to ask for it."""
    guard = shutil.which("setpriv")
    return [guard, "--pdeathsig", "KILL", *words] if guard else list(words)


def _words(emulator: Emulator, machine: Machine, port: Path) -> list[str]:
    """Return the emulator's command line."""
    words = [
        emulator.program, "-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-no-reboot",
        "-machine", emulator.machine, "-accel", machine.accel, "-smp", "1", "-m", str(machine.memory), "-nic", "none",
        "-cpu", "host" if machine.accel == "kvm" else ("max" if emulator.architecture == "amd64" else "cortex-a72"),
        "-sandbox", _SANDBOX, "-device", "virtio-rng-pci",
        "-serial", "stdio", "-drive", f"file={_quoted(machine.disk)},format=raw,if=virtio,cache=unsafe",
    ]  # fmt: skip
    if emulator.architecture == "arm64":
        words += ["-chardev", f"file,id=proof,path={_quoted(port)}", "-device", "pci-serial,chardev=proof"]
    else:
        words += ["-serial", f"file:{_quoted(port)}"]
    if machine.counted:
        words += ["-icount", "shift=2", "-rtc", "clock=vm"]
    if machine.kernel is not None:
        words += ["-kernel", str(machine.kernel), "-append", machine.command_line]
        if machine.initrd is not None:
            words += ["-initrd", str(machine.initrd)]
    else:
        code, variables = find_firmware()
        own = machine.directory / "variables.fd"
        shutil.copyfile(variables, own)
        words += ["-drive", f"if=pflash,format=raw,readonly=on,file={code}"]
        words += ["-drive", f"if=pflash,format=raw,file={_quoted(own)}"]
    return words


def _quoted(path: Path) -> str:
    """Write a path as a value of a QEMU option, in which a comma stands for itself where it is doubled."""
    return str(path).replace(",", ",,")
