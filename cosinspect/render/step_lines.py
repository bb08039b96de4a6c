"""The lines of a Containerfile that made an image's layers, so that findings appear where people change them.

A layer's build step is what its builder wrote into the image's history: BuildKit, the classic builder, buildah and
kaniko write the same instruction differently. Steps and instructions have the same order; they are matched from the last one
down, so that the layers of the base image stay without a line of their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from attrs import frozen

from cosinspect.formats.text.containerfile import BuildInstruction, Containerfile

__all__ = ["StepLines", "line_hashes", "match_steps"]

_BLOCK = 100
"""The number of characters of a line and what follows it that its hash covers."""
_FACTOR = 37
_MASK = (1 << 64) - 1
_END = 0xFFFF
_NOP = re.compile(r"^(?:/bin/sh -c )?#\(nop\)\s*")
_FLAG = re.compile(r"(?<!\S)--[\w-]+(?:=\S*)?\s+")
_VARIABLE = re.compile(r"\$(?:\{[^}]*\}|\w+)")
# Between an owner and the sum the classic builder writes no blank.
_SUM = re.compile(r"^(?:--chown=\S*?)?(?:file|dir|multi):\S+ in (.*)$")


@frozen
class StepLines:
    """Lines of a Containerfile by layer.

    Attributes:
        name: the path of the file.
        layers: the instruction of each layer, None if none matches.
        base: the `FROM` that brings the layers below the first match, and what no instruction makes.
        hashes: for each line, the hash by which code scanning recognises it.
    """

    name: str
    layers: tuple[BuildInstruction | None, ...]
    base: BuildInstruction
    hashes: tuple[str, ...]

    def of(self, layer: int | None) -> BuildInstruction:
        """Return the instruction of a layer; the `FROM` if it has none."""
        if layer is None or not 0 <= layer < len(self.layers):
            return self.base
        return self.layers[layer] or self.base


def match_steps(containerfile: Containerfile, steps: Sequence[str | None]) -> StepLines:
    """Match the build steps of an image's layers, bottom first, to the instructions of its Containerfile."""
    instructions = containerfile.instructions
    layers: list[BuildInstruction | None] = [None] * len(steps)
    end = len(instructions)
    for position in range(len(steps) - 1, -1, -1):
        step = steps[position]
        if step is None:
            continue
        found = next((n for n in range(end - 1, -1, -1) if _makes(instructions[n], step)), None)
        if found is not None:
            layers[position] = instructions[found]
            end = found
    base = next(each for each in reversed(instructions) if each.word == "FROM")
    lowest = next((each for each in layers if each is not None), None)
    if lowest is not None:
        base = next(
            each for each in reversed(instructions[: instructions.index(lowest)]) if each.word == "FROM"
        )
    return StepLines(containerfile.name, tuple(layers), base, tuple(line_hashes(containerfile.text)))


def _makes(instruction: BuildInstruction, step: str) -> bool:
    """Return whether a build step is that of an instruction."""
    written = " ".join(step.split()).removesuffix(" # buildkit")
    value = " ".join(instruction.value.split())
    bare = _NOP.sub("", written)
    if instruction.word == "RUN":
        return bare == written and _runs(value, written)
    if instruction.word not in ("ADD", "COPY", "WORKDIR") or not bare.startswith(f"{instruction.word} "):
        return False
    made = bare.removeprefix(f"{instruction.word} ")
    words = " ".join(_json_words(value)).split() or value.split()
    if (copied := _SUM.match(made)) is not None:
        # The classic builder writes a checksum instead of the sources.
        return _is_like(words[-1:], copied[1].split())
    return _is_like(words, _FLAG.sub("", f"{made} ").split())


def _runs(value: str, written: str) -> bool:
    """Return whether a history's text is that of `RUN value`: after a shell with its options, build arguments, or nothing."""
    words = _json_words(value)
    command = " ".join(words) if words else value
    if (mark := command.find("<<")) >= 0 and not words:
        # BuildKit abbreviates the content of a here-document.
        command = command[:mark].rstrip()
        head = written.split("<<", 1)[0].rstrip()
        return "<<" in written and (head.endswith(f" {command}") if command else True)
    rest = written.removesuffix(command)
    if rest == written:
        return False
    return (
        rest in ("", "RUN ")
        or rest.endswith(("-c ", "-Command "))
        or re.search(r"(^| )\|\d+ .*$", rest) is not None
    )


def _is_like(wanted: Sequence[str], found: Sequence[str]) -> bool:
    """Return whether words are equal; a variable stands for any text."""
    if len(wanted) != len(found):
        return False
    return all(
        re.fullmatch(".*".join(map(re.escape, _VARIABLE.split(word))), other) is not None
        for word, other in zip(wanted, found, strict=True)
    )


def _json_words(value: str) -> list[str]:
    """Return the words of the form `["a", "b"]`, none if it is another form."""
    if not value.startswith("["):
        return []
    try:
        words = json.loads(value)
    except ValueError:
        return []
    return words if isinstance(words, list) and all(isinstance(word, str) for word in words) else []


def line_hashes(text: str) -> Iterator[str]:
    """Yield for each line the hash that GitHub's upload of SARIF computes as `primaryLocationLineHash`.

    It covers the first 100 characters from the start of the line, blanks left out, over the ends of lines. Behind the
    end of the file stand 0xFFFF and zeros. Equal hashes are counted: `a7f2ff13bc495cf2:2`. Another value makes the upload print a
    warning. Characters are units of UTF-16. Source: github/codeql-action, src/fingerprints.ts.
    """
    units: list[int] = []
    starts = [0]
    for character in re.sub(r"\r\n?", "\n", text):
        if character in " \t":
            continue
        data = character.encode("utf-16-le", "surrogatepass")
        units.extend(int.from_bytes(data[at : at + 2], "little") for at in range(0, len(data), 2))
        if character == "\n":
            starts.append(len(units))
    units.append(_END)
    units.extend([0] * _BLOCK)
    seen: dict[int, int] = {}
    for start in starts:
        value = 0
        for unit in units[start : start + _BLOCK]:
            value = (value * _FACTOR + unit) & _MASK
        seen[value] = seen.get(value, 0) + 1
        yield f"{value:x}:{seen[value]}"
