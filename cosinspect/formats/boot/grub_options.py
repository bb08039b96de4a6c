"""Options of GRUB's commands, by the rules of grub-core/lib/arg.c (2.06)."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, field, frozen

from cosinspect.formats.boot.grub_values import Plain

__all__ = ["OPTIONS", "Arguments", "Option", "parse_options"]


@frozen
class Option:
    """An option of a command.

    Attributes:
        name: after `--`.
        short: after `-`, "" if there is none.
        value: whether it has a value: `no`, `yes`, or `maybe`.
    """

    name: str
    short: str = ""
    value: str = "no"


@frozen
class CommandOptions:
    """The options of a command, and whether another word with a dash is an argument."""

    options: tuple[Option, ...]
    accepts_dash: bool = False


@define
class Arguments:
    """The arguments of a call: values by option, and the other words; an option without a value has None."""

    options: dict[str, list[Plain | None]] = field(factory=dict)
    words: list[Plain] = field(factory=list)

    def value(self, name: str) -> Plain | None:
        """Return the last value of an option, None if there is none."""
        return self.options.get(name, [None])[-1]


_HINTS = ("hint", "hint-ieee1275", "hint-bios", "hint-baremetal", "hint-efi", "hint-arc")
_MENU_ENTRY = CommandOptions(
    (
        Option("class", "", "yes"),
        Option("users", "", "yes"),
        Option("hotkey", "", "yes"),
        Option("source", "", "yes"),
        Option("id", "", "yes"),
        Option("unrestricted"),
    ),
    accepts_dash=True,
)

OPTIONS: Mapping[str, CommandOptions] = {
    "menuentry": _MENU_ENTRY,
    "submenu": _MENU_ENTRY,
    "hiddenentry": _MENU_ENTRY,
    "search": CommandOptions(
        (
            Option("file", "f"),
            Option("label", "l"),
            Option("fs-uuid", "u"),
            Option("set", "s", "maybe"),
            Option("no-floppy", "n"),
            Option("efidisk-only"),
            *(Option(name, "h" if name == "hint" else "", "yes") for name in _HINTS),
        ),
        accepts_dash=True,
    ),
    "load_env": CommandOptions((Option("file", "f", "yes"), Option("skip-sig", "s"))),
    "save_env": CommandOptions((Option("file", "f", "yes"),)),
    "loopback": CommandOptions((Option("delete", "d"), Option("decompress", "D"))),
    "regexp": CommandOptions((Option("set", "s", "yes"),)),
    "probe": CommandOptions(
        (
            Option("set", "s", "yes"),
            *(
                Option(name, short)
                for name, short in (
                    ("driver", "d"),
                    ("partmap", "p"),
                    ("fs", "f"),
                    ("fs-uuid", "u"),
                    ("label", "l"),
                    ("part-uuid", ""),
                )
            ),
        )
    ),
    "echo": CommandOptions((Option("", "n"), Option("", "e")), accepts_dash=True),
}
"""Commands whose options are read; the words of every other command are arguments without change."""


def parse_options(command: str, words: tuple[Plain, ...]) -> Arguments | None:
    """Split options from other words; None where GRUB refuses the call."""
    known = OPTIONS[command]
    found = Arguments()
    position = 0
    while position < len(words):
        word = words[position]
        text = word[0] if word and isinstance(word[0], str) else ""
        position += 1
        if not text.startswith("-") or word == ("-",):
            found.words.append(word)
        elif text.startswith("--"):
            if word == ("--",):
                found.words.extend(words[position:])
                break
            used = _long(known, word, words[position:], found)
            if used is None:
                return None
            position += used
        else:
            used = _short(known, text, word, words[position:], found)
            if used is None:
                return None
            position += used
    return found


def _long(known: CommandOptions, word: Plain, rest: tuple[Plain, ...], found: Arguments) -> int | None:
    head = str(word[0])
    name, equals, begin = head[2:].partition("=")
    option = next((each for each in known.options if each.name == name and name), None)
    if option is None:
        if not known.accepts_dash:
            return None
        found.words.append(word)
        return 0
    value: Plain | None = None
    if equals:
        value = (*((begin,) if begin else ()), *word[1:])
    used = 0
    if not equals and option.value != "no" and rest and not _dashed(rest[0]):
        value, used = rest[0], 1
    if (option.value == "no") == (value is not None) and option.value != "maybe":
        return None
    found.options.setdefault(option.name, []).append(value)
    return used


def _short(
    known: CommandOptions, text: str, word: Plain, rest: tuple[Plain, ...], found: Arguments
) -> int | None:
    letters = text[1:]
    options = [each for letter in letters for each in known.options if each.short == letter]
    if len(options) != len(letters):
        if not known.accepts_dash:
            return None
        found.words.append(word)
        return 0
    used = 0
    for index, option in enumerate(options):
        value: Plain | None = None
        if option.value != "no":
            last = index == len(options) - 1
            if last and rest and (option.value == "yes" or not _dashed(rest[0])):
                value, used = rest[0], 1
            elif option.value == "yes":
                return None
        found.options.setdefault(option.name, []).append(value)
    return used


def _dashed(word: Plain) -> bool:
    return bool(word) and isinstance(word[0], str) and word[0].startswith("-")
