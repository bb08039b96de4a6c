"""Options that are not given as arguments, from environment variables and configuration files.

One rule for every option of every command: `--some-option` is the variable `COSINSPECT_SOME_OPTION`, and the key
`some-option` of a configuration file, at the top or in the table of a command. Arguments replace variables, which replace
the file of the directory, which replaces the file of the user.
"""

from __future__ import annotations

import argparse
import difflib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from cosinspect.commands import COMMANDS
from cosinspect.errors import InvalidConfiguration

__all__ = ["FILE_NAME", "OptionSources", "long_options", "user_file", "variable_of"]

PREFIX = "COSINSPECT_"
FILE_NAME = "cosinspect.toml"
"""The file of a directory."""
PLACE_VARIABLE = "COSINSPECT_CONFIG_FILE"
"""The variable with another file in place of both, or `off`."""
_MAX_BYTES = 1024 * 1024
_UNSETTABLE = frozenset({"help", "version"})
_OTHER_VARIABLES = frozenset(
    {PLACE_VARIABLE, *(f"{PREFIX}{name}" for name in ("REAL_FILES", "CASES", "TEST_SCALE", "UPDATE_GOLDEN"))}
)
"""Variables with the prefix that are no options: of this module and of the tests."""
USER_ONLY = frozenset(
    {
        "allow-private-addresses",
        "authfile",
        "cache",
        "cert-dir",
        "console",
        "creds",
        "csv",
        "dask",
        "docker-config",
        "from-attestation",
        "html",
        "key",
        "output",
        "parquet",
        "plain-http",
        "registries-conf",
        "registry-token",
        "tls-verify",
        "trusted-root",
    }
)
"""Options that the file of a directory may not set: a directory may be anybody's, and these send secrets, trust, or write."""


_Found = list[tuple[tuple[str, ...], str]]
"""Mistakes: the keys that lead to each, and what was expected."""


class _Source(NamedTuple):
    """One place of settings.

    Attributes:
        name: for messages.
        values: by option, without the leading dashes.
        text: the document, "" for the environment.
        tables: for each option the table that has it, "" for the top.
    """

    name: str
    values: Mapping[str, object]
    text: str = ""
    tables: Mapping[str, str] = {}

    def key(self, option: str) -> tuple[str, ...]:
        """Return the keys that lead to an option, or its variable."""
        if not self.text:
            return (variable_of(option),)
        table = self.tables.get(option, "")
        return (table, option) if table else (option,)


class OptionSources(NamedTuple):
    """Where options come from that are not given as arguments.

    Attributes:
        environment: the process's variables with the prefix.
        files: the configuration files that exist, the most important first, and whether each is the user's own.
    """

    environment: Mapping[str, str]
    files: tuple[tuple[Path, bool], ...] = ()

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> OptionSources:
        """Return the settings of a process: its variables, and the files that exist.

        Raises:
            InvalidConfiguration: the file that the variable names does not exist.
        """
        own = {name: value for name, value in environment.items() if name.startswith(PREFIX) and value}
        named = own.get(PLACE_VARIABLE)
        if named == "off":
            return cls(own)
        if named:
            if not os.path.exists(named):  # noqa: PTH110 - a NUL is not an error
                raise InvalidConfiguration(
                    "expected a configuration file, found nothing there",
                    where=f"{PLACE_VARIABLE}={named}"[:300],
                    remedy="correct the variable, or set it to off",
                )
            return cls(own, ((Path(named), True),))
        user = user_file(environment)
        places = [(Path(FILE_NAME), False), *([(user, True)] if user is not None else [])]
        return cls(own, tuple((path, trusted) for path, trusted in places if path.exists()))

    def parse(
        self, parser: argparse.ArgumentParser, words: Sequence[str], command: str
    ) -> argparse.Namespace:
        """Parse the arguments of a command, and take the other options from the settings.

        Args:
            parser: of the command.
            words: the arguments.
            command: its name.

        Raises:
            InvalidConfiguration: a variable or a file is wrong; it has every mistake.
        """
        if not self.files and not self.environment:
            return _parsed(parser, words)
        actions = {action: name for name, action in long_options(parser).items()}
        before = {action: (action.default, action.required) for action in actions}
        for action in actions:
            # A default that no argument has tells what was given; an appending option starts anew from None.
            action.default, action.required = (None if _is_list(action) else _UNSET), False
        try:
            arguments = _parsed(parser, words)
        finally:
            for action, (default, required) in before.items():
                action.default, action.required = default, required
        self._fill(parser, arguments, command)
        missing = [action for action in before if before[action][1] and not getattr(arguments, action.dest)]
        if missing:
            names = ", ".join("/".join(action.option_strings) for action in missing)
            parser.error(f"the following arguments are required: {names}")
        return arguments

    def _fill(self, parser: argparse.ArgumentParser, arguments: argparse.Namespace, command: str) -> None:
        """Set the options that were not given, each from the most important source that has it.

        `notices` of the arguments are what to say of variables that are nearly options.
        """
        options = long_options(parser)
        dests = {action.dest for action in options.values()}
        given = {dest for dest in dests if getattr(arguments, dest) not in (_UNSET, None)}
        notices, variables = self._variables(options)
        arguments.notices = notices
        sources = [_converted(parser, variables, [])] if variables else []
        sources += [
            _converted(parser, *_read_file(path, options, command, trusted=trusted))
            for path, trusted in self.files
        ]
        for source in sources:
            taken = _taken(parser, given)
            for name, value in source.values.items():
                if options[name].dest not in taken:
                    setattr(arguments, options[name].dest, value)
                    given.add(options[name].dest)
        for dest, default in _defaults(options.values()).items():
            if dest not in given:
                setattr(arguments, dest, default)

    def _variables(self, options: Mapping[str, argparse.Action]) -> tuple[tuple[str, ...], _Source | None]:
        """Return what to say of variables that are nearly options, and the options that variables set."""
        names = {variable_of(name): name for name in options}
        values = {names[name]: value for name, value in self.environment.items() if name in names}
        notices = []
        for name in sorted(self.environment.keys() - names.keys() - _OTHER_VARIABLES):
            near = difflib.get_close_matches(name.removeprefix(PREFIX), [*map(_bare, names)], 1, cutoff=0.85)
            if near:
                notices.append(
                    f"the variable {name} is not an option of this command; did you mean {PREFIX}{near[0]}?"
                )
        return tuple(notices), _Source("environment", values) if values else None


_UNSET: Any = object()


def variable_of(option: str) -> str:
    """Return the variable for an option: `COSINSPECT_SOME_OPTION` for `some-option`."""
    return PREFIX + option.upper().replace("-", "_")


def _bare(variable: str) -> str:
    return variable.removeprefix(PREFIX)


def user_file(environment: Mapping[str, str]) -> Path | None:
    """Return the place of the user's configuration file (XDG Base Directory Specification), None without a home."""
    named = environment.get("XDG_CONFIG_HOME", "")
    home = environment.get("HOME", "")
    if os.path.isabs(named):  # noqa: PTH117 - the specification says to ignore a relative one
        return Path(named, "cosinspect", "config.toml")
    return Path(home, ".config", "cosinspect", "config.toml") if home else None


def long_options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Return the options of a parser that settings may set, by their first long name without the dashes."""
    found = {}
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to list options
        long = next((name for name in action.option_strings if name.startswith("--")), None)
        if long is not None and long[2:] not in _UNSETTABLE:
            found[long[2:]] = action
    return found


def _parsed(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    # Options may be between IMAGE and PATH, which plain parsing does not support.
    return parser.parse_intermixed_args(words)


def _is_flag(action: argparse.Action) -> bool:
    return action.nargs == 0


def _is_list(action: argparse.Action) -> bool:
    return isinstance(action, argparse._AppendAction)  # noqa: SLF001 - argparse has no public name for it


def _defaults(actions: Iterable[argparse.Action]) -> dict[str, Any]:
    """Return the defaults of options as argparse does: of several with one destination, the first has it."""
    found: dict[str, Any] = {}
    for action in actions:
        default = action.default
        if isinstance(default, str) and callable(action.type):
            default = action.type(default)
        found.setdefault(action.dest, list(default) if isinstance(default, list) else default)
    return found


def _taken(parser: argparse.ArgumentParser, given: set[str]) -> set[str]:
    """Return the destinations that a more important source has set, and those that exclude one of them."""
    taken = set(given)
    for group in parser._mutually_exclusive_groups:  # noqa: SLF001 - argparse has no other way to list them
        dests = {action.dest for action in group._group_actions}  # noqa: SLF001 - the same
        if given & dests:
            taken |= dests
    return taken


def _converted(parser: argparse.ArgumentParser, source: _Source, mistakes: _Found) -> _Source:
    """Convert the values of a source.

    Raises:
        InvalidConfiguration: some are wrong, or there were mistakes before.
    """
    options = long_options(parser)
    defaults = _defaults(options.values())
    values = {}
    for name, raw in source.values.items():
        try:
            value = _value(options[name], raw, from_text=not source.text)
            values[name] = defaults[options[name].dest] if value is _UNSET else value
        except argparse.ArgumentTypeError as fault:
            mistakes.append((source.key(name), str(fault)))
    mistakes += _exclusive(parser, source, options)
    _require_none(mistakes, source.name, source.text)
    return source._replace(values=values)


def _exclusive(
    parser: argparse.ArgumentParser, source: _Source, options: Mapping[str, argparse.Action]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the mistake that one source sets options that exclude each other."""
    names = {options[name]: name for name in source.values}
    for group in parser._mutually_exclusive_groups:  # noqa: SLF001 - as above
        both = [source.key(names[each]) for each in group._group_actions if each in names]  # noqa: SLF001 - as above
        if len(both) > 1:
            yield both[0], f"{' and '.join(each[-1] for each in both)} exclude each other; leave one out"


def _require_none(mistakes: _Found, where: str, text: str) -> None:
    """Raise an error with all mistakes, if any.

    Raises:
        InvalidConfiguration: there are mistakes.
    """
    if not mistakes:
        return
    # Imported on demand: it takes longer than a help text.
    collected = import_module("cosinspect.mistakes").Mistakes.of(where, text, InvalidConfiguration)
    for key, message in mistakes:
        collected.add(key, message)
    collected.end()


def _read_file(
    path: Path, options: Mapping[str, argparse.Action], command: str, *, trusted: bool
) -> tuple[_Source, _Found]:
    """Read the options of a command from a file; return them with the mistakes.

    Raises:
        InvalidConfiguration: it cannot be read, or is not TOML.
    """
    text = _text(path)
    try:
        document = import_module("tomllib").loads(text)
    except (ValueError, RecursionError) as fault:  # ValueError: also a number too long
        raise InvalidConfiguration(f"expected TOML: {fault}", where=str(path)) from fault
    mistakes: _Found = []
    values: dict[str, object] = {}
    tables: dict[str, str] = {}
    table = document.get(command, {})
    for place, found in (("", document), (command, table if isinstance(table, dict) else {})):
        for name, value in found.items():
            key = (place, name) if place else (name,)
            if not place and name in COMMANDS and isinstance(value, dict):
                continue
            if name not in options:
                known = options.keys() if place else _every_option()
                if name in known:
                    continue
                if not place and name in COMMANDS:
                    told = f"expected a table [{name}] with options of the command {name}"
                else:
                    near = difflib.get_close_matches(name.replace("_", "-"), known, n=1)
                    meant = (
                        f"did you mean {near[0]}?" if near else f"cosinspect help {command} lists the options"
                    )
                    told = f"there is no such option; {meant}"
                mistakes.append((key, told))
            elif name in USER_ONLY and not trusted:
                told = "expected this option in your own configuration file, in a variable or as an argument"
                mistakes.append((key, f"{told}: the file of a directory may be anybody's"))
            else:
                values[name] = value
                tables[name] = place
    return _Source(str(path), values, text or "\n", tables), mistakes


def _every_option() -> set[str]:
    """Return the options of all commands, whose modules are imported for this: few files have foreign keys."""
    found: set[str] = set()
    for command in COMMANDS.values():
        parser = argparse.ArgumentParser()
        command.configure(parser)
        found.update(long_options(parser))
    return found


def _text(path: Path) -> str:
    try:
        # Without O_NONBLOCK, a FIFO in the file's place would block.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InvalidConfiguration(
                    "expected a file, found something else", where=str(path), remedy="move it away"
                )
            raw = file.read(_MAX_BYTES + 1)
    except OSError as fault:
        raise InvalidConfiguration(
            f"the configuration cannot be read: {fault.strerror or fault}",
            where=str(path),
            remedy=f"correct it, or set {PLACE_VARIABLE}=off",
        ) from fault
    if len(raw) > _MAX_BYTES:
        raise InvalidConfiguration(f"expected at most {_MAX_BYTES} bytes, found more", where=str(path))
    try:
        return raw.decode()
    except UnicodeDecodeError as fault:
        raise InvalidConfiguration("expected UTF-8, found other bytes", where=str(path)) from fault


def _value(action: argparse.Action, raw: object, *, from_text: bool) -> Any:
    """Convert one setting as its argument would be; a flag that is false sets nothing.

    Raises:
        ArgumentTypeError: it is wrong; the message says what was expected.
    """
    if _is_flag(action):
        if from_text and isinstance(raw, str) and raw.lower() in ("true", "false", "1", "0"):
            raw = raw.lower() in ("true", "1")
        if not isinstance(raw, bool):
            raise argparse.ArgumentTypeError(f"expected true or false, found {_shown(raw)}")
        return action.const if raw else _UNSET
    if _is_list(action):
        if from_text and isinstance(raw, str):
            try:
                raw = import_module("shlex").split(raw)
            except ValueError as fault:
                raise argparse.ArgumentTypeError(
                    f"expected values with blanks between them, quoted as in a shell: {str(fault).lower()}"
                ) from fault
        return [_one(action, each) for each in (raw if isinstance(raw, list) else [raw])]
    if isinstance(raw, list) and "[," in str(action.metavar):
        raw = ",".join(_plain(each) for each in raw)
    return _one(action, raw)


def _one(action: argparse.Action, raw: object) -> Any:
    text = _plain(raw)
    value: Any = text
    if callable(action.type):
        try:
            value = action.type(text)
        except argparse.ArgumentTypeError:
            raise
        except (TypeError, ValueError) as fault:
            raise argparse.ArgumentTypeError(f"expected another value, found {_shown(raw)}") from fault
    if action.choices is not None and value not in action.choices:
        known = ", ".join(str(each) for each in action.choices)
        raise argparse.ArgumentTypeError(f"expected one of {known}, found {_shown(raw)}")
    return value


def _plain(raw: object) -> str:
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, str | int | float):
        return str(raw)
    raise argparse.ArgumentTypeError(f"expected one value, found {_shown(raw)}")


def _shown(raw: object) -> str:
    if isinstance(raw, dict | list):
        return "a table" if isinstance(raw, dict) else "an array"
    return f"{str(raw)[:60]!r}" if isinstance(raw, str) else str(raw)[:60].lower()
