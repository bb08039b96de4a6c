"""JSON as Go's `encoding/json` reads it into structures (`decode.go`, `fold.go`), for documents that Go programs stored.

Go replaces bytes that are not UTF-8, and escapes of lone surrogates, with U+FFFD; other decoders refuse them. It ignores
the case of a structure's keys. Refused: other text that is not JSON, and nesting beyond `JSON_DEPTH` (Go stops at 10,000), so
that no decoder reaches its own bound.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from cosinspect.errors import FormatError

__all__ = ["JSON_DEPTH", "decode_json", "fold_fields"]

JSON_DEPTH = 100
"""The deepest nesting of objects and arrays; the records of luet have 4."""

_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")
# Pairs and other escapes match too, so that no match starts within an escape.
_SURROGATE = re.compile(
    r"(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|(\\.)",
    re.DOTALL,
)
# Possessive, and the end of the text ends a string, so that no quote is read twice.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+\\?"?|[\[\]{}]', re.DOTALL)
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}


def decode_json(data: bytes | memoryview) -> Any:
    """Return the value of one JSON text, as builtin types.

    Raises:
        FormatError: of kind `json` (not JSON), or `depth`.
    """
    try:
        text = str(data, "utf-8")
    except UnicodeDecodeError:
        # Go writes one replacement for each byte; Python's own handler writes one for several.
        text = _ESCAPED_BYTE.sub("\ufffd", str(data, "utf-8", "surrogateescape"))
    if text.count("[") + text.count("{") > JSON_DEPTH:
        _refuse_depth(text)
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError) as fault:
        mended = _SURROGATE.sub(_mended_escape, text) if r"\u" in text else text
        if mended != text:
            return decode_json(mended.encode())
        raise FormatError(f"not JSON: {fault}", kind="json") from fault


def _refuse_depth(text: str) -> None:
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(text):
        depth += _STEPS.get(found[0], 0)
        if depth > JSON_DEPTH:
            raise FormatError(
                f"expected JSON nested at most {JSON_DEPTH} levels deep, found more", kind="depth"
            )


def _mended_escape(found: re.Match[str]) -> str:
    return found[1] or found[2] or r"\ufffd"


def fold_fields(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a structure's fields by their names in lower case; the last spelling of a name counts.

    Go leaves a field unchanged for `null`, so such values are left out.
    """
    # Lower case maps the Kelvin sign to k. The long s is the only other letter outside ASCII that Go folds into ASCII.
    return {key.lower().replace("\u017f", "s"): value for key, value in record.items() if value is not None}
