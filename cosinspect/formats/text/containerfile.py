"""Containerfiles (Dockerfiles): the instructions of an image, each with its lines.

dockerfile-parse finds the instructions and joins continued lines. It does not know here-documents; their lines are
skipped here.
"""

from __future__ import annotations

import io
import re
from importlib import import_module

from attrs import frozen

from cosinspect.errors import FormatError

__all__ = ["MAX_BYTES", "BuildInstruction", "Containerfile", "read_containerfile"]

MAX_BYTES = 1 << 20
_WORDS = frozenset(
    (
        "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER",
        "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
    )
)  # fmt: skip
_FLAGS = re.compile(r"^(?:--[\w-]+(?:=\S*)?\s+)+")
_HEREDOC = re.compile(r"<<-?([\"']?)(\w+)\1")
_STAGE = re.compile(r"(?:--\S+\s+)*(\S+)(?:\s+as\s+(\S+))?\s*$", re.IGNORECASE)


@frozen
class BuildInstruction:
    """One instruction.

    Attributes:
        word: in upper case: `RUN`.
        value: the text after the word, with continued lines joined, without flags such as `--mount`.
        first: its first line, counted from 1.
        last: its last line, with its here-document.
    """

    word: str
    value: str
    first: int
    last: int


@frozen
class Containerfile:
    """A Containerfile.

    Attributes:
        name: the path of the file, for messages and reports.
        text: its content.
        instructions: those of the last stage, after those of its base stages; the first is a `FROM`.
    """

    name: str
    text: str
    instructions: tuple[BuildInstruction, ...]


def read_containerfile(name: str, data: bytes) -> Containerfile:
    """Read a Containerfile.

    Raises:
        FormatError: it is too large, not UTF-8, or has no `FROM`.
    """
    if len(data) > MAX_BYTES:
        raise FormatError(
            f"expected a Containerfile of at most {MAX_BYTES} bytes, found {len(data)}",
            kind="size",
            where=name,
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise FormatError(
            "expected a Containerfile in UTF-8, found other bytes",
            kind="encoding", offset=fault.start, where=name,
        ) from fault  # fmt: skip
    stages: list[tuple[str, str, list[BuildInstruction]]] = []
    for each in _instructions(text):
        if each.word == "FROM":
            match = _STAGE.match(each.value)
            base, stage = (match[1], match[2] or "") if match else ("", "")
            stages.append((base.lower(), stage.lower(), []))
        if stages:
            stages[-1][2].append(each)
    if not stages:
        raise FormatError(
            "expected a Containerfile with a FROM instruction, found none", kind="structure", where=name
        )
    base, _, chain = stages[-1]
    below = len(stages) - 1
    while True:
        # A name refers to the last earlier stage of that name.
        below = next((number for number in range(below - 1, -1, -1) if stages[number][1] == base), -1)
        if not base or below < 0:
            return Containerfile(name, text, tuple(chain))
        base, _, found = stages[below]
        chain = [*found, *chain]


def _instructions(text: str) -> list[BuildInstruction]:
    lines = re.sub(r"\r\n?", "\n", text).split("\n")
    # Imported on demand, because few reports need it.
    make = import_module("dockerfile_parse").DockerfileParser
    parser = make(fileobj=io.BytesIO("\n".join(lines).encode()), env_replace=False)
    found: list[BuildInstruction] = []
    covered = -1
    for each in parser.structure:
        word, value = each["instruction"], each["value"] or ""
        if word not in _WORDS or each["startline"] <= covered:
            continue
        covered = _end(value, each["endline"], lines) if word in ("RUN", "COPY", "ADD") else each["endline"]
        if word != "FROM":
            value = _FLAGS.sub("", value)
        found.append(BuildInstruction(word, value.strip(), each["startline"] + 1, covered + 1))
    return found


def _end(value: str, line: int, lines: list[str]) -> int:
    """Return the last line of an instruction whose value may begin here-documents."""
    for match in _HEREDOC.finditer(value):
        end = next((n for n in range(line + 1, len(lines)) if lines[n].strip() == match[2]), None)
        line = line if end is None else end
    return line
