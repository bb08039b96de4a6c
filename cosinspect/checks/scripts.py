"""Check on the commands that shell scripts of the root call: scripts of started units, and the toolkit's own commands."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from attrs import frozen

from cosinspect.checks import remedies
from cosinspect.checks.base import CheckContext, NotApplicable, check
from cosinspect.checks.units import READS as UNIT_READS
from cosinspect.checks.units import started_services
from cosinspect.formats.boot.program import read_interpreter
from cosinspect.formats.shell.script import functions, read_shell_script
from cosinspect.formats.text.systemd import exec_commands
from cosinspect.report.display import counted
from cosinspect.report.report import Finding, Level

__all__ = ["script_command_missing"]

READS = ("usr/{bin,sbin,libexec}/{cos,elemental,kairos,suc}{,-*}", "usr/lib/{cos,elemental,systemd}/*.sh")
_KEPT = re.compile(
    r"/usr/(?:bin|sbin|libexec)/(?:cos|elemental|kairos|suc)(?:-[^/]*)?|/usr/lib/(?:cos|elemental|systemd)/[^/]*\.sh"
)
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh"})
_HEAD = 256
# Scripts that users and plans call, by their names in every generation.
_COMMANDS = tuple(
    f"/usr/{top}/{name}"
    for top in ("bin", "sbin")
    for name in ("cos-setup", "cos-installer", "cos-upgrade", "cos-reset", "cos-deploy", "cos-rebrand")
)


@frozen
class _Script:
    path: str
    layer: int
    text: str
    caller: str


@check(
    id="COS193",
    name="script-command-missing",
    level=Level.WARNING,
    summary="A script of the image calls a command that is not in it.",
    why="""The script prints `command not found` at that line and continues, or ends there: the command's work is
        not done.""",
    remedy="Install the package that has the command, or have the script test for the command first.",
    reads=(*READS, *UNIT_READS),
    universal=True,
)
def script_command_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Read the scripts, and look for every command that they certainly call, except commands that a script tests for first."""
    if not context.facts.generation:
        raise NotApplicable("no generation is evident")
    count = 0
    for script in _scripts(context):
        count += 1
        absent = _absent(context, script)
        for name, line in absent:
            finding = Finding(
                f"expected the command {name}, which {script.path} calls, it is not in the image",
                script.path,
                script.layer,
                (f"{script.path}:{line}", script.caller, *context.removal(f"/usr/bin/{name}")[1]),
            )
            yield remedies.with_cure(context, finding, remedies.brings(name))
    if not count:
        raise NotApplicable("no started unit and no command of the toolkit is a shell script")
    yield f"{counted(count, 'script')} read"


def _scripts(context: CheckContext) -> Iterator[_Script]:
    """Yield the shell scripts that are run, each once."""
    asked = [(path, "a command of the toolkit") for path in _COMMANDS]
    for name, _, _, unit in started_services(context):
        if unit.last("Service", "RootDirectory") is None:
            asked += [
                (command.path, f"{name} has it for {command.directive}")
                for command in exec_commands(unit)
                if command.path.startswith("/") and not command.may_fail
            ]
    seen = set()
    for path, caller in asked:
        entry = context.rootfs.trace(path).entry
        # The bodies of others are not kept, and it is not worth reading a layer again for them.
        if entry is None or entry.path in seen or entry.type != "file" or not _KEPT.fullmatch(entry.path):
            continue
        seen.add(entry.path)
        text = context.facts.text(entry.path).text
        interpreter = read_interpreter(text[:_HEAD].encode("utf-8", "surrogateescape")) if text else None
        if text and interpreter is not None and posixpath.basename(interpreter) in _SHELLS:
            yield _Script(entry.path, entry.layer, text, caller)


def _runners(context: CheckContext) -> Iterator[str]:
    """Yield the names of programs that run the stages of the boot, which another check looks for."""
    table = context.derivative
    for runners in table.stage_runners if table is not None else ():
        yield from map(posixpath.basename, runners)


def _absent(context: CheckContext, script: _Script) -> list[tuple[str, int]]:
    """Return the commands that a script calls and the image lacks, with the line of the first call."""
    read = read_shell_script(script.text)
    if read.problem is not None:
        return []
    known = {*read.functions, *_runners(context)}
    for name in read.sourced:
        text = context.facts.text(name).text if name.startswith("/") else None
        if text is None:
            return []  # its functions are not known
        known |= functions(text)
    execution = context.facts.execution
    return [
        (call.name, call.line)
        for call in read.commands
        if not call.guarded and call.name not in known and execution.find(call.name) is None
    ]
