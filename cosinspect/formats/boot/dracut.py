"""dracut's configuration, and the options of the dracut command that built an initrd.

`dracut.conf` and its drop-ins are sourced by bash (dracut.conf(5)). Only assignments are read here; other
commands, and values that only a shell can evaluate, are problems. The effect of assignments is exact:
`+=` joins text, so `+="a"` and `+="b"` without blanks around make the word `ab`.

`build-parameter.txt` in an initrd holds dracut's options as its `dracut` script stores them (dracut 059): options bare,
their values in single quotes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import frozen

from cosinspect.deadline import spend
from cosinspect.formats.text.problem import MAX_PROBLEMS, Problem, bounded

__all__ = [
    "BuildParameters",
    "DracutAssignment",
    "DracutConf",
    "DracutSettings",
    "merge",
    "read_build_parameters",
    "read_dracut_conf",
]

_SPACE = re.compile(r"(?:[ \t\r\n;]++|\\\n|(?<![^\s;])#[^\n]*+)++")
_KEY = re.compile(r"([A-Za-z_]\w*)(\+?=)", re.ASCII)
_VALUE = re.compile(r"""(?:[^ \t\r\n;&|<>()'"\\]++|\\.|'[^']*+'|"(?:[^"\\]++|\\.)*+")*+""", re.DOTALL)
_QUOTED = re.compile(r"""'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)""", re.DOTALL)
_ESCAPED = re.compile(r'\\(["$`\\\n])')
_EXPANSION = re.compile(r"""'[^']*'|"((?:[^"\\]|\\.)*)"|\\.|([$`])""", re.DOTALL)
_EXPANSION_IN_QUOTES = re.compile(r"\\.|([$`])", re.DOTALL)
_LINE_END = re.compile(r"[^\n]*")
_DIGITS = re.compile(r"(\d+)", re.ASCII)
_PARAMETER = re.compile(r"""'([^']*)'|"([^"]*)"|([^\s'"]+)""")

_DROP_IN_DIRECTORY = "dracut.conf.d"
_HOSTONLY_OPTIONS = {
    **dict.fromkeys(("-H", "--hostonly", "--host-only"), True),
    **dict.fromkeys(("-N", "--no-hostonly", "--no-host-only"), False),
}


@frozen
class DracutAssignment:
    """A `key=value`, or a `key+=value`, which appends to the value."""

    key: str
    value: str
    append: bool
    line: int


@frozen
class DracutConf:
    """The assignments of one file, in order."""

    assignments: tuple[DracutAssignment, ...]
    problems: tuple[Problem, ...]


@frozen
class DracutSettings:
    """The settings of several files together.

    Attributes:
        values: the text of each key.
        origins: for each key, the files whose assignments are in its value.
    """

    values: Mapping[str, str]
    origins: Mapping[str, tuple[str, ...]]

    def words(self, key: str) -> tuple[str, ...]:
        """Return the words of a key's value; empty if it is not set."""
        return tuple(self.values.get(key, "").split())

    @property
    def omit_dracutmodules(self) -> tuple[str, ...]:
        """The modules to leave out."""
        return self.words("omit_dracutmodules")

    @property
    def hostonly(self) -> bool | None:
        """Whether the initrd is only for the machine that builds it; None leaves it to the distribution."""
        return self.values["hostonly"] in {"yes", "-h"} if "hostonly" in self.values else None

    @property
    def compress(self) -> str | None:
        """The compressor, or None if dracut chooses."""
        return self.values.get("compress") or None


@frozen
class BuildParameters:
    """The options that an initrd was built with.

    Attributes:
        options: each option with its value, or None.
        hostonly: whether they set hostonly mode; None if the configuration decided.
    """

    options: tuple[tuple[str, str | None], ...]
    hostonly: bool | None

    def values(self, *names: str) -> tuple[str, ...]:
        """Return the words of the values of the options named, such as `--add` and `-a`."""
        return tuple(
            word for name, value in self.options if name in names and value for word in value.split()
        )


def read_dracut_conf(text: str) -> DracutConf:
    """Read one configuration file; the result's `problems` lists what is not a plain assignment."""
    text, problems = bounded(text)
    assignments: list[DracutAssignment] = []
    line, position = 1, 0

    def advance(to: int) -> None:
        nonlocal line, position
        line += text.count("\n", position, to)
        position = to

    def problem(kind: str, message: str) -> None:
        if len(problems) < MAX_PROBLEMS:
            problems.append(Problem(kind, message, line))

    while position < len(text):
        spend()
        if space := _SPACE.match(text, position):
            advance(space.end())
            continue
        key = _KEY.match(text, position)
        value = _VALUE.match(text, key.end() if key else position)
        end = value.end() if value else position
        if end < len(text) and text[end] in "'\"":
            problem("quote", f"the quote {text[end]} has no other end")
            break
        if key is None or value is None or (end < len(text) and text[end] in "&|<>()"):
            problem("command", "expected an assignment, found a command, which is not run")
            rest = _LINE_END.match(text, end)
            advance(max(rest.end() if rest else end, position + 1))
            continue
        if any(match[2] or _expands(match[1] or "") for match in _EXPANSION.finditer(value[0])):
            problem("expansion", f"the value of `{key[1]}` needs a shell to evaluate it")
        assignments.append(DracutAssignment(key[1], _QUOTED.sub(_unquoted, value[0]), key[2] == "+=", line))
        advance(end)
    return DracutConf(tuple(assignments), tuple(problems))


def _expands(quoted: str) -> bool:
    """Return whether text within double quotes needs a shell; single quotes have no meaning there."""
    return any(match[1] for match in _EXPANSION_IN_QUOTES.finditer(quoted))


def merge(confs: Mapping[str, DracutConf]) -> DracutSettings:
    """Return the settings of several files, in the order in which dracut sources them.

    That is `dracut.conf`, then the drop-ins `*.conf` by their base names as `sort -V` puts them; of two with the same name, dracut reads the
    one below `/etc` (dracut 059, `dropindirs_sort`).

    Args:
        confs: the files by their paths.
    """
    drop_ins: dict[str, str] = {}
    mains = []
    for path in sorted(confs):
        directory, _, name = path.rpartition("/")
        if directory.rpartition("/")[2] != _DROP_IN_DIRECTORY:
            mains.append(path)
        elif name.endswith(".conf") and not (name in drop_ins and _in_etc(drop_ins[name])):
            drop_ins[name] = path
    pieces: dict[str, list[tuple[str, str]]] = {}
    for path in mains + [drop_ins[name] for name in sorted(drop_ins, key=_version)]:
        for assignment in confs[path].assignments:
            if not assignment.append:
                pieces[assignment.key] = []
            pieces.setdefault(assignment.key, []).append((assignment.value, path))
    return DracutSettings(
        values={key: "".join(value for value, _ in parts) for key, parts in pieces.items()},
        origins={key: tuple(dict.fromkeys(path for _, path in parts)) for key, parts in pieces.items()},
    )


def read_build_parameters(text: str) -> BuildParameters:
    """Read an initrd's `build-parameter.txt`; every text is valid."""
    options: list[tuple[str, str | None]] = []
    hostonly = None
    for single, double, bare in _PARAMETER.findall(bounded(text)[0]):
        if bare:
            name, equals, value = bare.partition("=")
            options.append((name, value if equals else None))
            hostonly = _HOSTONLY_OPTIONS.get(name, hostonly)
        elif options:
            options[-1] = (options[-1][0], single or double)
    return BuildParameters(tuple(options), hostonly)


def _unquoted(match: re.Match[str]) -> str:
    single, double, escaped = match.groups()
    if single is not None:
        return str(single)
    if double is not None:
        return _ESCAPED.sub(lambda inner: "" if inner[1] == "\n" else inner[1], double)
    return "" if escaped == "\n" else str(escaped)


def _in_etc(path: str) -> bool:
    return path.lstrip("/").startswith("etc/")


def _version(name: str) -> list[tuple[str, int]]:
    texts = _DIGITS.split(name)
    return [(texts[i], int(texts[i + 1][:18]) if i + 1 < len(texts) else -1) for i in range(0, len(texts), 2)]
