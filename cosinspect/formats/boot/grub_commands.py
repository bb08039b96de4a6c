"""The effects of GRUB's commands on a state, as far as they decide what is loaded (GRUB 2.06, grub-core/commands and others).

A command that is not modelled changes only the variables that its options name, and its status is unknown.
A command that cannot be evaluated raises `GrubBound`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial

from cosinspect.formats.boot.grub_conditions import evaluate_test
from cosinspect.formats.boot.grub_evaluator import BAD_ARGUMENT, FAILURE, SUCCESS, Call, Run
from cosinspect.formats.boot.grub_files import (
    configfile,
    file_test,
    known_text,
    load_env,
    loopback,
    mount_subvolume,
    open_status,
    opened_file,
    options_of,
    search,
    search_by,
    source,
    status_of,
    text_of,
)
from cosinspect.formats.boot.grub_state import (
    BREAKS,
    CMDLINE,
    CONTINUES,
    INITRD,
    KERNEL,
    RETURNS,
    STOPS,
    WILDCARDS,
    FileKind,
    MenuEntry,
)
from cosinspect.formats.boot.grub_values import (
    EMPTY,
    Atom,
    Conditional,
    Fork,
    GrubBound,
    Plain,
    Symbol,
    Value,
    joined,
    literal,
)

__all__ = ["COMMANDS"]

# They change nothing that is modelled here, and succeed.
_PLAIN = (
    "rmmod terminal_input terminal_output serial clear true sleep play badram cutmem background_image"
    " background_color videoinfo lsmod help usb password password_pbkdf2 fakebios loadbios fix_video unload"
)
# Their status is unknown before the boot.
_OPEN = (
    "loadfont cmp keystatus authenticate cryptomount drivemap file hashsum md5sum sha1sum sha256sum sha512sum cpuid"
    " hwmatch net_add_addr net_add_dns net_add_route net_bootp net_dhcp net_ls_addr list_env ls cat parttool gptsync"
    " hdparm keymap nativedisk verify_detached trust distrust outb outl outw cmostest write_byte write_dword write_word wrmsr"
    " setpci acpi fwsetup_is_supported videotest gettext hexdump date echo_e list_trusted legacy_check_password"
    " blocklist crc lsefi lsefimmap lsefisystab lsacpi lsapm lsmmap lspci lsfonts module module2 macppcbless"
    " mactelbless xnu_splash tr time testspeed terminfo getenv eval_env appleloader freedos ntldr kfreebsd plan9"
)
# They set the variable that an option or argument names to a value of the machine.
_READING = "probe smbios read rdmsr read_byte read_word read_dword inb inw inl lssal pcidump net_get_dhcp_option net_nslookup"
_LEAVING = "exit halt reboot normal_exit fwsetup"
_NOT_FOLLOWED = (
    "blscfg bls_import legacy_configfile legacy_source syslinux_configfile syslinux_source normal backtrace"
    " extract_legacy_entries_source extract_legacy_entries_configfile extract_syslinux_entries_source"
    " extract_syslinux_entries_configfile extract_entries_source extract_entries_configfile extract_entries"
    " legacy_kernel legacy_initrd legacy_initrd_nounzip multiboot multiboot2 kopenbsd knetbsd xnu_kernel xnu_kernel64"
)

_POSIX_CLASS = {
    "alpha": "A-Za-z",
    "digit": "0-9",
    "alnum": "A-Za-z0-9",
    "space": r" \t\n\r\f\v",
    "upper": "A-Z",
    "lower": "a-z",
    "xdigit": "0-9A-Fa-f",
    "punct": r"!-/:-@\[-`{-~",
    "blank": r" \t",
}


def _test(call: Call) -> Value:
    words = call.plain()
    return status_of(evaluate_test(words, call.state.known, partial(file_test, call)))


def _eval(call: Call) -> Value:
    words = call.plain()
    if not words:
        return BAD_ARGUMENT
    text = " ".join(known_text(word, "what eval runs") for word in words)
    call.evaluator.run_text(text, call.state, call.file)
    return call.state.get("?")


# -- variables ---------------------------------------------------------------------------------------------------------


def _set(call: Call) -> Value:
    if not call.arguments:
        return SUCCESS
    value = call.arguments[0]
    head = value[0] if value else ""
    name, equals, rest = head.partition("=") if isinstance(head, str) else ("", "", "")
    if not equals:
        (plain,) = call.plain(value)
        name, equals, rest = known_text(plain, "which variable is set").partition("=")
        if not equals:
            return BAD_ARGUMENT
        call.state.set(name, literal(rest))
        return SUCCESS
    call.state.set(name, joined((rest, *value[1:])))
    return SUCCESS


def _unset(call: Call) -> Value:
    if not call.arguments:
        return BAD_ARGUMENT
    call.state.set(known_text(call.plain(call.arguments[0])[0], "which variable is unset"), EMPTY)
    return SUCCESS


def _export(call: Call) -> Value:
    if not call.arguments:
        return BAD_ARGUMENT
    names = [known_text(word, "which variable is exported") for word in call.plain()]
    call.state.exported |= frozenset(names)
    return SUCCESS


def _save_env(call: Call) -> Value:
    found = options_of(call)
    if found is None or not found.words:
        return BAD_ARGUMENT
    return SUCCESS  # it writes for the next boot


def _insmod(call: Call) -> Value:
    if not call.arguments:
        return BAD_ARGUMENT
    if call.plain(call.arguments[0])[0] == ("regexp",):
        call.state.set(WILDCARDS, literal("1"))
    return SUCCESS


def _regexp(call: Call) -> Value:
    call.state.set(WILDCARDS, literal("1"))  # GRUB loads its module
    found = options_of(call)
    if found is None or len(found.words) != 2:
        return BAD_ARGUMENT
    pattern, text = map(text_of, found.words)
    names = [known_text(value or (), "which variable is set") for value in found.options.get("set", [])]
    if pattern is None or text is None:
        atom = Atom("regexp", tuple(found.words))
        if call.decide(Fork(atom, True, False)):
            for name in names:
                variable = name.rpartition(":")[2]
                call.state.set(variable, (Symbol(f"{variable} of regexp"),))
            return SUCCESS
        return FAILURE
    match = _extended(pattern).search(text)
    if match is None:
        return FAILURE
    for name in names:
        number, _, variable = name.rpartition(":")
        if number and not number.isdigit():
            return BAD_ARGUMENT
        group = int(number[:9] or 1)
        value = match[group] if group <= match.re.groups else None
        call.state.set(variable, literal(value or ""))
    return SUCCESS


def _extended(pattern: str) -> re.Pattern[str]:
    """Translate a POSIX extended regular expression to Python's syntax.

    Raises:
        GrubBound: it has a construct that is not translated.
    """
    if len(pattern) > 200 or re.search(r"[*+}?)]\)?[*+{]|\\[0-9wWsSbBdD`'<>]|\(\?|\[[.=]", pattern):
        raise GrubBound(f"the regular expression {pattern[:60]} is not evaluated")
    for name, characters in _POSIX_CLASS.items():
        pattern = pattern.replace(f"[:{name}:]", characters)
    try:
        return re.compile(pattern, re.ASCII)
    except (re.error, OverflowError) as fault:
        raise GrubBound(f"the regular expression {pattern[:60]} is not evaluated") from fault


def _reading(call: Call) -> Value:
    """Set the variables that options name to unknown values."""
    words = [text_of(word) for word in call.plain()]
    names = []
    for index, word in enumerate(words):
        if word and word.startswith("--set="):
            names.append(word[6:])
        elif word in {"--set", "-s", "-v"} and index + 1 < len(words):
            names.append(words[index + 1] or "")
    if call.name in {"read", "net_nslookup", "net_get_dhcp_option"} and words:
        names.append(words[-1] or "")
    for name in filter(None, names):
        call.state.set(name, (Symbol(f"{name} of {call.name}"),))
    return open_status(call)


# -- control -----------------------------------------------------------------------------------------------------------


def _break(call: Call) -> Value:
    words = call.plain()
    text = known_text(words[0], "how many loops are left") if words else "1"
    if len(words) > 1 or not text.isdigit() or int(text) == 0:
        return BAD_ARGUMENT
    state = call.state
    state.set(CONTINUES, literal("1") if call.name == "continue" else EMPTY)
    count = min(int(text[:9]), state.loops)
    state.set(BREAKS, literal(str(count)) if count else EMPTY)
    return SUCCESS


def _return(call: Call) -> Value:
    if call.state.arguments is None or len(call.arguments) > 1:
        return BAD_ARGUMENT
    if not call.arguments:
        status = call.state.get("?")
    else:
        text = known_text(call.plain()[0], "what a function returns")
        if not text.isdigit():
            return BAD_ARGUMENT
        status = literal(str(int(text[:9])))
    call.state.set(RETURNS, literal("1"))
    return status


def _shift(call: Call) -> Value:
    state = call.state
    if state.arguments is None:
        return SUCCESS
    words = call.plain()
    text = known_text(words[0], "how far arguments are shifted") if words else "1"
    if len(words) > 1 or not text.isdigit() or int(text[:9]) > len(state.arguments):
        return BAD_ARGUMENT
    state.arguments = state.arguments[int(text) :]
    return SUCCESS


def _setparams(call: Call) -> Value:
    if call.state.arguments is None:
        return BAD_ARGUMENT
    call.state.arguments = call.arguments
    return SUCCESS


def _leave(call: Call) -> Value:
    call.state.set(STOPS, literal(call.name))
    return SUCCESS


# -- menu and loaders --------------------------------------------------------------------------------------------------


def _menu_entry(call: Call) -> Value:
    found = options_of(call)
    body = call.command.block
    source = found.value("source") if found is not None else None
    if found is None or (body is None) == (source is None) or not found.words:
        return BAD_ARGUMENT
    if body is None:
        raise GrubBound("the body of a menu entry from `--source` is not evaluated")
    title = found.words[0]
    identifier = found.value("id")
    call.state.add_entry(
        MenuEntry(
            title=title,
            id=title if identifier is None else identifier,
            arguments=tuple(found.words),
            body=body,
            submenu=call.name == "submenu",
            file=call.file,
            line=call.command.line,
        )
    )
    return SUCCESS


def _named_file(call: Call, path: Plain) -> Value:
    """Return the name of a loaded file: its resolved device and its path; symbols stay in it."""
    if not path:
        return literal("()")
    found = opened_file(call, path)
    if found is None:
        return path
    return literal(f"({found[0]}){found[1]}")


def _linux(call: Call) -> Value:
    state = call.state
    if not call.arguments:
        return BAD_ARGUMENT
    (path,) = call.plain(call.arguments[0])
    named = _named_file(call, path)
    found = opened_file(call, path) if path else None
    there = found is not None and call.evaluator.machine.kind(*found) is FileKind.FILE
    if not there and found is not None and state.get(KERNEL):
        return FAILURE  # the result shows what was loaded before
    state.set(KERNEL, named)
    state.set(CMDLINE, call.joined(2))
    state.set(INITRD, EMPTY)
    return SUCCESS if there or found is None else FAILURE


def _initrd(call: Call) -> Value:
    if not call.arguments:
        return BAD_ARGUMENT
    if not call.state.get(KERNEL):
        return FAILURE
    names: list[str | Symbol | Conditional] = []
    there = True
    for path in call.plain():
        names.extend((" ",) if names else ())
        names.extend(_named_file(call, path))
        found = opened_file(call, path) if path else ("", "")
        there = there and (found is None or call.evaluator.machine.kind(*found) is FileKind.FILE)
    call.state.set(INITRD, joined(names))
    return SUCCESS if there else FAILURE


def _chainloader(call: Call) -> Value:
    words = [word for word in call.plain() if not (word and str(word[0]).startswith("--"))]
    if not words:
        return BAD_ARGUMENT
    named = _named_file(call, words[-1])
    call.state.set(KERNEL, joined(("chainloader ", *named)))
    call.state.set(CMDLINE, EMPTY)
    call.state.set(INITRD, EMPTY)
    return SUCCESS


def _boot(call: Call) -> Value:
    (kernel,) = call.plain(call.state.get(KERNEL))
    if not kernel:
        return FAILURE
    call.state.set(STOPS, literal("boot"))
    return SUCCESS


def _succeed(_: Call) -> Value:
    return SUCCESS


def _fail(_: Call) -> Value:
    return FAILURE


def _give_up(call: Call) -> Value:
    raise GrubBound(f"the command {call.name} is not evaluated")


def _table() -> Iterator[tuple[str, Run]]:
    for names, run in (
        (_PLAIN, _succeed),
        (_OPEN, open_status),
        (_READING, _reading),
        (_LEAVING, _leave),
        (_NOT_FOLLOWED, _give_up),
    ):
        for name in names.split():
            yield name, run
    modelled: dict[str, Run] = {
        "test": _test,
        "[": _test,
        "source": source,
        ".": source,
        "configfile": configfile,
        "eval": _eval,
        "set": _set,
        "unset": _unset,
        "export": _export,
        "load_env": load_env,
        "save_env": _save_env,
        "insmod": _insmod,
        "regexp": _regexp,
        "search": search,
        "search.file": partial(search_by, "file"),
        "search.fs_label": partial(search_by, "label"),
        "search.fs_uuid": partial(search_by, "fs-uuid"),
        "loopback": loopback,
        "btrfs-mount-subvol": mount_subvolume,
        "break": _break,
        "continue": _break,
        "return": _return,
        "shift": _shift,
        "setparams": _setparams,
        "menuentry": _menu_entry,
        "submenu": _menu_entry,
        "hiddenentry": _succeed,
        "linux": _linux,
        "linux16": _linux,
        "linuxefi": _linux,
        "initrd": _initrd,
        "initrd16": _initrd,
        "initrdefi": _initrd,
        "chainloader": _chainloader,
        "boot": _boot,
        "echo": _succeed,
        "false": _fail,
    }
    yield from modelled.items()


COMMANDS: Mapping[str, Run] = dict(_table())
"""The effect of each command of GRUB, by its name."""
