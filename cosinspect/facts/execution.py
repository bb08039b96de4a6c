"""Whether a file of a tree can be executed: by the rules of execve(2), its interpreter's, and its dynamic loader's.

Sources: execve(2), `fs/exec.c`, `fs/binfmt_elf.c` and `fs/binfmt_script.c` of Linux 6.1. Everything is root's at a boot: any x bit will do.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from typing import TypeAlias

from attrs import evolve

from cosinspect.facts.executables import ExecutableTree, FoundFile
from cosinspect.facts.loader import ExecutionFault, Linking, Loader
from cosinspect.formats.boot.elf import Elf
from cosinspect.formats.boot.program import Program, Script

__all__ = ["PATH", "Execution", "KernelOption"]

PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""Where commands without a slash are looked for."""

_HEADER_BYTES = 64
"""Size of the header of a 64-bit ELF file; that of a 32-bit one is smaller."""

NESTED = 5
"""Interpreters of interpreters that a kernel follows."""

KernelOption: TypeAlias = "Callable[[str], str | None]"
"""Gives the value of an option of the kernel's configuration, None if that is not known."""

# Programs of another architecture that a kernel may run, and the option that enables it.
_COMPATIBLE = {
    ("amd64", 3, 32): "CONFIG_IA32_EMULATION",
    ("amd64", 62, 32): "CONFIG_X86_X32_ABI",
    ("arm64", 40, 32): "CONFIG_COMPAT",
    ("riscv64", 243, 32): "CONFIG_COMPAT",
    ("s390x", 22, 32): "CONFIG_COMPAT",
    ("mips64le", 8, 32): "CONFIG_MIPS32_O32",
    ("mips64", 8, 32): "CONFIG_MIPS32_O32",
}
_SHELLS = re.compile(
    r"(?:ba|da|a|k|mk|z|c|tc|fi|bu)?sh|busybox|toybox|python[\d.]*|awk|gawk|mawk|sed|lua[\d.]*"
)
_ENV_OPTIONS_WITH_VALUE = frozenset({"-u", "--unset", "-C", "--chdir"})


class Execution:
    """What can be executed in one tree; what is known of a file is kept."""

    def __init__(
        self, tree: ExecutableTree, architecture: str | None, kernel_option: KernelOption = lambda _: None
    ) -> None:
        """Execute programs of `tree` as a kernel for `architecture` does; None accepts every machine."""
        self.tree = tree
        self._architecture = architecture
        self._kernel_option = kernel_option
        self._known: dict[tuple[str, bool], ExecutionFault | None] = {}
        self._loaders: dict[str, Loader | ExecutionFault] = {}

    def fault(self, path: str, *, by_shell: bool = False) -> ExecutionFault | None:
        """Return why a file cannot be executed, None if it can.

        Args:
            path: as requested, links followed.
            by_shell: whether a shell starts it, which executes a text without `#!` as its own script.
        """
        return self._fault(path, by_shell=by_shell, depth=0)

    def find(self, name: str) -> str | None:
        """Return the first place on the usual path where a command is, executable by its mode; None if it is nowhere."""
        if "/" in name:
            return name if self.tree.find(name) is not None else None
        for directory in PATH:
            found = self.tree.find(f"{directory}/{name}")
            if found is not None and found.type == "file" and found.mode & 0o111:
                return f"{directory}/{name}"
        return None

    def _fault(self, path: str, *, by_shell: bool, depth: int) -> ExecutionFault | None:
        found = self.tree.find(path)
        if found is None:
            return ExecutionFault(path, self.tree.absence(path), searched=(path,))
        if found.type != "file":
            return ExecutionFault(path, f"it is a {found.type}")
        if not found.mode & 0o111:
            return ExecutionFault(path, f"its mode {found.mode:04o} does not permit its execution")
        if not found.size:
            return ExecutionFault(path, "it is empty")
        key = (found.path, by_shell)
        if key not in self._known:
            program = self.tree.program(found.path)
            self._known[key] = self._program_fault(found, program, by_shell=by_shell, depth=depth)
        known = self._known[key]
        return evolve(known, path=path) if known is not None and known.path == found.path else known

    def _program_fault(
        self, found: FoundFile, program: Program | None, *, by_shell: bool, depth: int
    ) -> ExecutionFault | None:
        if program is None:
            return ExecutionFault(found.path, "it was not read", is_undecided=True)
        if program.elf is not None:
            if found.size <= _HEADER_BYTES and not program.elf.loadable:
                # No linker writes this. The file replaces a program that is not here, so nothing is known about it.
                fault = self._machine_fault(found.path, program.elf)
                return fault or ExecutionFault(
                    found.path, "it is the header of an ELF file without content", is_undecided=True
                )
            return self._elf_fault(found.path, program.elf)
        if program.script is not None:
            return self._script_fault(found.path, program.script, depth)
        if program.text and by_shell:
            return None
        what = (
            "a text without a line `#!` that names its interpreter"
            if program.text
            else "neither a program nor a script"
        )
        return ExecutionFault(found.path, f"it is {what}")

    # -- ELF -------------------------------------------------------------------------------------------------------

    def _elf_fault(self, path: str, elf: Elf) -> ExecutionFault | None:
        if (fault := self._machine_fault(path, elf)) is not None:
            return fault
        if not elf.loadable:
            return ExecutionFault(path, "it is an ELF file that is no program")
        if elf.is_cut:
            return ExecutionFault(path, "it ends before what its headers refer to")
        if elf.problem:
            return ExecutionFault(path, elf.problem, is_undecided=True)
        if elf.interpreter is None:
            return None  # static
        loader = self._loader(elf.interpreter, elf)
        if isinstance(loader, ExecutionFault):
            return evolve(loader, chain=(f"{path} asks for the loader {elf.interpreter}",))
        return Linking(self.tree, loader, path, elf).run()

    def _machine_fault(self, path: str, elf: Elf) -> ExecutionFault | None:
        if self._architecture is None or elf.machine == self._architecture:
            return None
        option = _COMPATIBLE.get((self._architecture, elf.number, elf.bits))
        told = elf.machine or f"the machine {elf.number} with {elf.bits} bits"
        reason = f"it is a program for {told}, the image is for {self._architecture}"
        if option is None:
            return ExecutionFault(path, reason)
        value = self._kernel_option(option)
        if value == "y":
            return None
        if value is None:
            return ExecutionFault(
                path, f"{reason}, and it is unknown whether the kernel has {option}", is_undecided=True
            )
        return ExecutionFault(path, f"{reason}, and the kernel has no {option}")

    def _loader(self, name: str, elf: Elf) -> Loader | ExecutionFault:
        key = f"{name} {elf.number} {elf.bits}"
        if key not in self._loaders:
            self._loaders[key] = self._found_loader(name, elf)
        return self._loaders[key]

    def _found_loader(self, name: str, elf: Elf) -> Loader | ExecutionFault:
        found = self.tree.find(name)
        if found is None:
            return ExecutionFault(name, self.tree.absence(name), searched=(name,))
        if found.type != "file":
            return ExecutionFault(name, f"it is a {found.type}")
        if not found.mode & 0o111:
            return ExecutionFault(name, f"its mode {found.mode:04o} does not permit its execution")
        if not found.size:
            return ExecutionFault(name, "it is empty")
        program = self.tree.program(found.path)
        if program is None:
            return ExecutionFault(name, "it was not read", is_undecided=True)
        own = program.elf
        if own is None:
            return ExecutionFault(name, "it is no ELF file")
        if (own.number, own.bits, own.little_endian) != (elf.number, elf.bits, elf.little_endian):
            return ExecutionFault(
                name, f"it is for {own.machine or own.number}, the program for {elf.machine or elf.number}"
            )
        if not own.loadable or own.is_cut:
            return ExecutionFault(
                name, "it is no program" if not own.loadable else "it ends before what its headers refer to"
            )
        return Loader(self.tree, name, found, own)

    # -- scripts ---------------------------------------------------------------------------------------------------

    def _script_fault(self, path: str, script: Script, depth: int) -> ExecutionFault | None:
        name = script.interpreter
        if name.endswith("\r"):
            return ExecutionFault(
                path,
                f"its first line ends in a carriage return, so that the kernel looks for {name.rstrip(chr(13))}\\r",
            )
        if depth >= NESTED:
            return ExecutionFault(path, f"more than {NESTED} interpreters are scripts themselves")
        place = name if name.startswith("/") else f"/{name}"
        fault = self._fault(place, by_shell=False, depth=depth + 1)
        if fault is not None:
            return evolve(fault, chain=(f"{path} names the interpreter {name}", *fault.chain))
        return self._argument_fault(path, script)

    def _argument_fault(self, path: str, script: Script) -> ExecutionFault | None:
        """Check the interpreter's argument: a carriage return, or a command that env(1) looks for."""
        argument = script.argument or ""
        base = posixpath.basename(script.interpreter)
        if argument.endswith("\r") and (base == "env" or _SHELLS.fullmatch(base)):
            return ExecutionFault(
                path,
                f"its first line ends with a carriage return, which {base} reads as a part of {argument[:-1]!r}",
            )
        if base != "env":
            return None
        words = argument.removeprefix("-S").split() if argument.startswith("-S") else [argument]
        while words and (words[0].startswith("-") or "=" in words[0]):
            words = words[2:] if words[0] in _ENV_OPTIONS_WITH_VALUE else words[1:]
        if not words or not words[0]:
            return None
        command = self.find(words[0])
        if command is None:
            return ExecutionFault(words[0], "it is not there", (f"{path} has env look for {words[0]}",))
        fault = self.fault(command)
        return evolve(fault, chain=(f"{path} has env look for {words[0]}", *fault.chain)) if fault else None
