"""Scalars as go-yaml resolves them: null, a boolean, a number or text, by their tag or text (`resolve.go`).

YAML 1.1 as go-yaml applies it: `0644` and `0o644` are octal, `0x` and `0b` count, underscores in numbers are skipped, and there
are no base-60 integers. A date is text. In v3, `yes`, `on`, `y` and their opposites are text, unless the type is a boolean.
"""

from __future__ import annotations

import math
import re
from typing import Any

from cosinspect.formats.yip.nodes import Dialect, Scalar

__all__ = ["BOOLEANS", "INTEGERS", "NULLS", "Failed", "described", "resolve", "told_by_text", "whole"]

INTEGERS = {"int": (-(2**63), 2**63 - 1), "uint32": (0, 2**32 - 1), "uint64": (0, 2**64 - 1)}
"""The lowest and the highest value of Go's types of integers."""


class Failed(Exception):
    """go-yaml refuses the whole document at once."""


def told_by_text(node: Scalar, dialect: Dialect) -> bool:
    """Return whether the text of a scalar without a tag decides its type; quoted scalars and blocks are text."""
    return node.plain if dialect == "v3" else node.implicit


NULLS = frozenset(["", "~", "null", "Null", "NULL"])
_PLAIN_BOOLEANS = dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(
    ("false", "False", "FALSE"), False
)
BOOLEANS = _PLAIN_BOOLEANS | {
    spelling: value
    for words, value in ((("yes", "on", "y"), True), (("no", "off", "n"), False))
    for word in words
    for spelling in (word, word.capitalize(), word.upper())
}
_SPECIAL_FLOATS = {
    **{f"{sign}{word}": math.inf for sign in ("", "+") for word in (".inf", ".Inf", ".INF")},
    **{f"-{word}": -math.inf for word in (".inf", ".Inf", ".INF")},
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
    r"(?:[Tt][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})"
    r"| [0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]+)?)?"
)
_NUMBER_CHARACTERS = 400
_INTEGER = re.compile(r"([-+]?)(?:0[bB]([01]+)|0[oO]?([0-7]+)|0[xX]([0-9a-fA-F]+)|(0|[1-9][0-9]*))")
_INTEGER_BASES = (2, 8, 16, 10)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_DIGITS = frozenset("0123456789")
_OWN_TAGS = {
    "!!null": type(None),
    "!!bool": bool,
    "!!int": int,
    "!!float": float,
}


def resolve(tag: str, text: str, dialect: Dialect) -> Any:
    """Return the value of a scalar by its tag and text (`resolve` of resolve.go)."""
    if tag not in {"", *_OWN_TAGS, "!!timestamp"} or (tag == "!!timestamp" and dialect == "v1"):
        return text
    value = _by_text(text, dialect)
    if tag == "":
        return value
    if tag == "!!timestamp":
        if _TIME.fullmatch(text):
            return text
    elif type(value) is _OWN_TAGS[tag]:
        return value
    elif tag == "!!float" and type(value) is int and dialect != "v1":
        return float(value)
    raise Failed(f"`{text[:80]}` is not of the type {tag.removeprefix('!!')}")


def _by_text(text: str, dialect: Dialect) -> Any:
    if text in NULLS:
        return None
    booleans = _PLAIN_BOOLEANS if dialect == "v3" else BOOLEANS
    if text in booleans:
        return booleans[text]
    if text in _SPECIAL_FLOATS:
        return _SPECIAL_FLOATS[text]
    if text[0] == ".":
        return _float(text)
    if text[0] in _DIGITS or text[0] in "+-":
        return text if dialect != "v1" and _TIME.fullmatch(text) else _number(text)
    return text


def _number(text: str) -> int | float | str:
    digits = text.replace("_", "")
    if len(digits) > _NUMBER_CHARACTERS:
        return text
    integer = _INTEGER.fullmatch(digits)
    if integer is not None:
        sign, *candidates = integer.groups()
        value = next(
            int(candidate, base)
            for candidate, base in zip(candidates, _INTEGER_BASES, strict=True)
            if candidate
        )
        value = -value if sign == "-" else value
        if -(2**63) <= value < 2**63 or (not sign and value < 2**64):
            return value
    number = _float(digits)
    return text if isinstance(number, str) else number


def _float(text: str) -> float | str:
    if len(text) > _NUMBER_CHARACTERS or _FLOAT.fullmatch(text) is None:
        return text
    number = float(text)
    return number if math.isfinite(number) else text


def whole(value: float, kind: str) -> int | None:
    """Return the integer that Go stores, None if it refuses the number."""
    lowest, highest = INTEGERS[kind]
    if isinstance(value, float):
        top = 2.0**63 if kind == "int" else 2.0**64
        if not value <= top:
            return None
        value = _truncated(value, signed=kind == "int")
        if kind != "uint32":
            return value
    return value if lowest <= value <= highest else None


def _truncated(value: float, *, signed: bool) -> int:
    """Convert as amd64 does; out of range, the result depends on the machine."""
    lowest = -(2**63)
    if signed:
        return int(value) if -(2.0**63) <= value < 2.0**63 else lowest
    if value >= 2.0**63:
        return int(value) if value < 2.0**64 else 2**63
    return int(value) % 2**64 if value >= -(2.0**63) else 2**63


def described(node: Scalar, value: Any) -> str:
    """Describe a scalar and its type for messages."""
    text = node.text if len(node.text) <= 40 else node.text[:37] + "..."
    if isinstance(value, str):
        return f"the text {text!r}"
    if isinstance(value, bool):
        return f"the boolean {text!r}"
    return f"the number {text!r}"
