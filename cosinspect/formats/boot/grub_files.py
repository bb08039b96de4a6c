"""GRUB's commands that find devices and read files, and functions that read a command's arguments."""

from __future__ import annotations

from cosinspect.formats.boot.grub_evaluator import BAD_ARGUMENT, FAILURE, SUCCESS, Call
from cosinspect.formats.boot.grub_options import Arguments, parse_options
from cosinspect.formats.boot.grub_state import STOPS, FileKind, device_of
from cosinspect.formats.boot.grub_values import (
    EMPTY,
    Atom,
    Fork,
    GrubBound,
    Plain,
    Symbol,
    Tree,
    Value,
    choose,
    joined,
    literal,
    render,
)

__all__ = [
    "configfile",
    "file_test",
    "known_text",
    "load_env",
    "loopback",
    "mount_subvolume",
    "open_status",
    "opened_file",
    "options_of",
    "search",
    "search_by",
    "source",
    "status_of",
    "text_of",
]


def status_of(answer: Tree[bool]) -> Value:
    """Return the status that an answer makes."""
    if isinstance(answer, Fork):
        return choose(answer.atom, status_of(answer.yes), status_of(answer.no))
    return SUCCESS if answer else FAILURE


def text_of(word: Plain) -> str | None:
    """Return the text of a word, None if a part is unknown."""
    return "".join(map(str, word)) if all(isinstance(part, str) for part in word) else None


def known_text(word: Plain, what: str) -> str:
    """Return the text of a word.

    Raises:
        GrubBound: a part is unknown; `what` names what depends on it.
    """
    text = text_of(word)
    if text is None:
        raise GrubBound(f"{what} depends on {render(word)}, which is unknown before the boot")
    return text


def options_of(call: Call, name: str | None = None) -> Arguments | None:
    """Split the options of a call from its words, None where GRUB refuses it."""
    return parse_options(name or call.name, call.plain())


def open_status(call: Call) -> Value:
    """Return the status of a command whose success is unknown before the boot."""
    atom = Atom(call.name, call.plain())
    held = call.state.known.holds(atom)
    return status_of(Fork(atom, True, False) if held is None else held)


def opened_file(call: Call, path: Plain) -> tuple[str, str] | None:
    """Return the device and path of a file name, with devices of `loopback` resolved; None if they are unknown."""
    root = call.plain(call.state.get("root"))[0] if path[:1] != ("(",) else EMPTY
    found = device_of(path, root)  # type: ignore[arg-type]  # `plain` gave it
    if found is None:
        return None
    device, rest = found
    (file,) = call.plain(call.state.loop(device))
    return (known_text(file, "a device") if file else device), rest


def file_test(call: Call, test: str, path: Plain) -> Tree[bool]:
    """Evaluate a file test of `test` or `[`."""
    found = opened_file(call, path)
    if found is None:
        atom = Atom(test, (path,))
        held = call.state.known.holds(atom)
        return Fork(atom, True, False) if held is None else held
    kind = call.evaluator.machine.kind(*found)
    match test:
        case "-d":
            return kind is FileKind.DIRECTORY
        case "-f":
            return kind in {FileKind.FILE, FileKind.EMPTY_FILE}
        case "-s":
            return kind is FileKind.FILE
    return kind is not None


def source(call: Call) -> Value:
    """Run a file in the same context: `source` and `.`."""
    if len(call.arguments) != 1:
        return BAD_ARGUMENT
    (path,) = call.plain()
    found = opened_file(call, path)
    if found is None:
        raise GrubBound(f"{call.name} reads {render(path)}, which is unknown before the boot")
    call.evaluator.run_file(*found, call.state)
    return SUCCESS


def configfile(call: Call) -> Value:
    """Run a file in a context of its own, and show its menu."""
    if len(call.arguments) != 1:
        return BAD_ARGUMENT
    (path,) = call.plain()
    found = opened_file(call, path)
    if found is None:
        raise GrubBound(f"configfile reads {render(path)}, which is unknown before the boot")
    state = call.state
    if call.evaluator.machine.kind(*found) in {None, FileKind.DIRECTORY}:
        call.evaluator.missing[f"({found[0]}){found[1]}"] = None
        return SUCCESS
    inner = state.copied()
    inner.enter_context()
    call.evaluator.run_file(*found, inner)
    if not inner.menu:
        return SUCCESS
    state.variables, state.menu, state.exported = inner.variables, inner.menu, inner.exported
    state.set(STOPS, literal("menu"))
    return SUCCESS


def load_env(call: Call) -> Value:
    """Set the variables of an environment block."""
    found = options_of(call)
    if found is None:
        return BAD_ARGUMENT
    path = found.value("file")
    if path is None:
        path = (*call.plain(call.state.get("prefix"))[0], "/grubenv")
    names = [known_text(word, "which variables are loaded") for word in found.words]
    file = opened_file(call, _merged(path))
    if file is None:
        call.state.open()
        return SUCCESS
    variables = call.evaluator.machine.environment(*file)
    if variables is None:
        return FAILURE
    for name, value in variables.items():
        if not names or name in names:
            call.state.set(name, value)
    return SUCCESS


def _merged(path: Plain) -> Plain:
    return joined(path)  # type: ignore[return-value]  # what has no choice keeps none


def search(call: Call) -> Value:
    """Find a device by `search`."""
    found = options_of(call, "search")
    if found is None:
        return BAD_ARGUMENT
    words = [word for word in found.words if not (word and str(word[0]).startswith("--hint-"))]
    by = next((name for name in ("label", "fs-uuid", "file") if name in found.options), None)
    if not words or by is None:
        return BAD_ARGUMENT
    variable = None
    if "set" in found.options:
        given = found.value("set")
        variable = "root" if given is None else known_text(given, "which variable is set")
    return _searched(call, by, words[0], variable)


def search_by(by: str, call: Call) -> Value:
    """The commands `search.file`, `search.fs_label` and `search.fs_uuid`: a name, a variable, hints."""
    words = call.plain()
    if not words:
        return BAD_ARGUMENT
    variable = known_text(words[1], "which variable is set") if len(words) > 1 else None
    return _searched(call, by, words[0], variable)


def _searched(call: Call, by: str, name: Plain, variable: str | None) -> Value:
    text = text_of(name)
    if text is None:
        atom = Atom(f"search --{by}", (name,))
        if call.decide(Fork(atom, True, False)):
            if variable is not None:
                call.state.set(variable, (Symbol(f"device with {by} {render(name)}"),))
            return SUCCESS
        return FAILURE
    device = call.evaluator.machine.search(by, text)
    if device is None:
        return FAILURE
    if variable is not None:
        call.state.set(variable, literal(device))
    return SUCCESS


def loopback(call: Call) -> Value:
    """Make a device of a file, or remove it."""
    found = options_of(call)
    if found is None or not found.words:
        return BAD_ARGUMENT
    name = known_text(found.words[0], "the device of a loop")
    if "delete" in found.options:
        if not call.plain(call.state.loop(name))[0]:
            return FAILURE
        call.state.set_loop(name, EMPTY)
        return SUCCESS
    if len(found.words) < 2:
        return BAD_ARGUMENT
    file = opened_file(call, found.words[1])
    if file is None:
        raise GrubBound(f"a loop device of {render(found.words[1])} is not evaluated")
    if call.evaluator.machine.kind(*file) is not FileKind.FILE:
        return FAILURE
    call.state.set_loop(name, literal(f"({file[0]}){file[1]}"))
    return SUCCESS


def mount_subvolume(call: Call) -> Value:
    """SUSE's `btrfs-mount-subvol DEVICE / SUBVOLUME`: the device shows what is below the subvolume."""
    words = [known_text(word, "a subvolume") for word in call.plain()]
    if len(words) != 3 or not words[0].startswith("("):
        return BAD_ARGUMENT
    device = words[0].strip("()")
    if call.evaluator.machine.kind(device, "/" + words[2].lstrip("/")) is not FileKind.DIRECTORY:
        return FAILURE
    call.state.set_loop(device, literal(f"({device})/{words[2].strip('/')}/"))
    return SUCCESS
