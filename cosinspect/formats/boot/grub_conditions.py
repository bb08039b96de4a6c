"""The commands `test` and `[`, by the rules of grub-core/commands/test.c (2.06).

They differ from a shell's: an expression is read from left to right, `-a` is not an operator, `-o` starts a new
alternative, a word that is not a test is true if it is not empty, and an empty expression is true.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from attrs import define

from cosinspect.formats.boot.grub_values import Atom, Knowledge, Plain, Symbol, Tree, fork, mapped

__all__ = ["FileTest", "evaluate_test", "is_empty", "same"]

FileTest: TypeAlias = "Callable[[str, Plain], Tree[bool]]"
"""Evaluates `-d`, `-e`, `-f` and `-s` for a path."""

_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|0[0-7]*|[0-9]+")
_COMPARISONS: dict[str, Callable[[int], bool]] = {
    "<": lambda sign: sign < 0,
    "<=": lambda sign: sign <= 0,
    ">": lambda sign: sign > 0,
    ">=": lambda sign: sign >= 0,
}
_NUMERIC: dict[str, Callable[[int], bool]] = {
    "-eq": lambda difference: difference == 0,
    "-ne": lambda difference: difference != 0,
    "-lt": lambda difference: difference < 0,
    "-le": lambda difference: difference <= 0,
    "-gt": lambda difference: difference > 0,
    "-ge": lambda difference: difference >= 0,
}
_FILE_TESTS = frozenset({"-d", "-e", "-f", "-s"})


def evaluate_test(arguments: tuple[Plain, ...], known: Knowledge, file_test: FileTest) -> Tree[bool]:
    """Evaluate an expression; the closing `]` of `[` may be among the arguments."""
    if arguments and arguments[-1] == ("]",):
        arguments = arguments[:-1]
    return _Expression(arguments, known, file_test).read()


def same(first: Plain, second: Plain, known: Knowledge) -> Tree[bool]:
    """Compare two texts."""
    if first == second:
        return True
    if all(isinstance(part, str) for part in (*first, *second)) or _differ(first, second):
        return False
    if any(isinstance(part, Symbol) for part in second) and not any(
        isinstance(part, Symbol) for part in first
    ):
        first, second = second, first
    return _ask(Atom("=", (first, second)), known)


def is_empty(text: Plain, known: Knowledge) -> Tree[bool]:
    """Return whether a text is empty."""
    if any(isinstance(part, str) for part in text):
        return False
    found: Tree[bool] = True
    for part in text:
        filled = _ask(Atom("-n", ((part,),)), known)
        found = _both(found, mapped(filled, lambda yes: not yes))
    return found


def _ask(atom: Atom, known: Knowledge) -> Tree[bool]:
    held = known.holds(atom)
    return fork(atom, True, False) if held is None else held


def _differ(first: Plain, second: Plain) -> bool:
    """Return whether the known beginnings or ends of two texts prove that they differ."""
    for step in (1, -1):
        a, b = (text[0 if step > 0 else -1] if text else "" for text in (first, second))
        if not isinstance(a, str) or not isinstance(b, str):
            continue
        if step > 0 and not (a.startswith(b) or b.startswith(a)):
            return True
        if step < 0 and not (a.endswith(b) or b.endswith(a)):
            return True
    return False


def _both(first: Tree[bool], second: Tree[bool]) -> Tree[bool]:
    return mapped(first, lambda holds: second if holds else False)


def _either(first: Tree[bool], second: Tree[bool]) -> Tree[bool]:
    return mapped(first, lambda holds: True if holds else second)


def _number(text: str) -> int:
    negative = text.startswith("-")
    digits = text[negative:].lstrip(" \t")
    found = _NUMBER.match(digits)
    if not found:
        return 0
    base = 16 if found[0][:2].lower() == "0x" else 8 if found[0].startswith("0") else 10
    value = min(int(found[0], base), 2**64 - 1)
    # A C int keeps the low 32 bits, with their sign.
    return ((-value if negative else value) + 2**31) % 2**32 - 2**31


def _from_number(first: str, second: str) -> tuple[int, int]:
    """Skip the beginning that two names share, except digits at its end."""
    shared = 0
    while shared < min(len(first), len(second)) and first[shared] == second[shared]:
        shared += 1
    shared -= 1
    while shared > 0 and first[shared].isdigit():
        shared -= 1
    shared = max(shared + 1, 0)
    return _number(first[shared:]), _number(second[shared:])


@define
class _Expression:
    arguments: tuple[Plain, ...]
    known: Knowledge
    file_test: FileTest
    position: int = 0

    def read(self, depth: int = 0) -> Tree[bool]:
        """Read up to a closing parenthesis or the end."""
        alternative: Tree[bool] = False
        current: Tree[bool] = True
        invert = False
        while self.position < len(self.arguments):
            answer = self._binary()
            if answer is None:
                answer = self._unary()
            if answer is None:
                word = self.arguments[self.position]
                self.position += 1
                if word == (")",):
                    return _either(alternative, current)
                if word == ("(",) and depth < 50:
                    answer = self.read(depth + 1)
                elif word == ("!",):
                    invert = not invert
                    continue
                elif word == ("-a",):
                    continue
                elif word == ("-o",):
                    alternative, current = _either(alternative, current), True
                    continue
                else:
                    answer = self._filled(word)
            if invert:
                answer = mapped(answer, lambda holds: not holds)
                invert = False
            current = _both(current, answer)
        return _either(alternative, current)

    def _filled(self, word: Plain) -> Tree[bool]:
        return mapped(is_empty(word, self.known), lambda empty: not empty)

    def _binary(self) -> Tree[bool] | None:
        if self.position + 2 >= len(self.arguments):
            return None
        first, operator, second = self.arguments[self.position : self.position + 3]
        name = operator[0] if len(operator) == 1 else None
        if not isinstance(name, str):
            return None
        answer: Tree[bool]
        if name in {"=", "=="}:
            answer = same(first, second, self.known)
        elif name == "!=":
            answer = mapped(same(first, second, self.known), lambda equal: not equal)
        elif name in _COMPARISONS or name in _NUMERIC or name in {"-pgt", "-plt"}:
            answer = self._compared(name, first, second)
        elif name[:3] in {"-nt", "-ot"}:
            answer = _ask(Atom(name, (first, second)), self.known)
        else:
            return None
        self.position += 3
        return answer

    def _compared(self, name: str, first: Plain, second: Plain) -> Tree[bool]:
        if not all(isinstance(part, str) for part in (*first, *second)):
            return _ask(Atom(name, (first, second)), self.known)
        a, b = (str(text[0]) if text else "" for text in (first, second))
        if name in _COMPARISONS:
            return _COMPARISONS[name]((a > b) - (a < b))
        if name in _NUMERIC:
            return _NUMERIC[name](_number(a) - _number(b))
        left, right = _from_number(a, b)
        return left > right if name == "-pgt" else left < right

    def _unary(self) -> Tree[bool] | None:
        if self.position + 1 >= len(self.arguments):
            return None
        operator, operand = self.arguments[self.position : self.position + 2]
        name = operator[0] if len(operator) == 1 else None
        answer: Tree[bool]
        if name in _FILE_TESTS:
            answer = self.file_test(str(name), operand)
        elif name == "-n":
            answer = self._filled(operand)
        elif name == "-z":
            answer = is_empty(operand, self.known)
        else:
            return None
        self.position += 2
        return answer
