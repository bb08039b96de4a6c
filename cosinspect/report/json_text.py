r"""Documents as JSON that every reader accepts: bytes that are not UTF-8 are escaped, and the document says where.

A name in an image is bytes. Python keeps a byte that is not UTF-8 as a lone surrogate, which JSON can write
(`"\udcff"`) and many decoders refuse or replace (RFC 8259, section 8.2). Here such a string has `\xff` for the byte and
`\\` for each backslash, and the key `escaped` of the document lists it by a JSON pointer (RFC 6901).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["ESCAPED", "json_text", "restored"]

ESCAPED = "escaped"
"""The key that lists the strings with escapes; a document without it has none."""
_LONE = re.compile(r"[\ud800-\udfff]")
_SUSPECT = re.compile(r"\\ud[89a-f]", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(?:(\\)|x([0-9a-f]{2})|u([0-9a-f]{4}))")


def json_text(document: Mapping[str, Any] | list[Any], *, indent: int | None = None) -> str:
    """Return a document as JSON in ASCII, without a line break at its end; each document of a list says its own escapes."""
    text = json.dumps(document, indent=indent, ensure_ascii=True, allow_nan=False)
    if _SUSPECT.search(text) is None:  # a character after U+FFFF is suspect too
        return text
    plain = [_escaped(each) for each in document] if isinstance(document, list) else _escaped(document)
    return json.dumps(plain, indent=indent, ensure_ascii=True, allow_nan=False)


def restored(document: object) -> object:
    """Return a document that `json_text` wrote, decoded, with its bytes as surrogates again.

    Raises:
        ValueError: the key `escaped` does not list strings of the document.
    """
    if not isinstance(document, dict) or ESCAPED not in document:
        return document
    pointers = document[ESCAPED]
    if not isinstance(pointers, list):
        raise ValueError("expected a list in the key escaped, found something else")  # noqa: TRY004 - a document's value
    try:
        copied: object = json.loads(
            json.dumps({key: each for key, each in document.items() if key != ESCAPED})
        )
    except (TypeError, RecursionError) as fault:
        raise ValueError("expected plain values, found others") from fault
    for pointer in pointers:
        if not isinstance(pointer, str) or not pointer.startswith("/"):
            raise ValueError("expected JSON pointers in the key escaped, found something else")
        *way, last = (part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))
        place: Any = copied
        try:
            for part in way:
                place = place[int(part) if isinstance(place, list) else part]
            key: Any = int(last) if isinstance(place, list) else last
            place[key] = _ESCAPE.sub(_decoded, place[key])
        except (KeyError, IndexError, TypeError, ValueError) as fault:
            raise ValueError("expected strings of the document in the key escaped, found none") from fault
    return copied


def _escaped(value: Any) -> Any:
    """Return a value without lone surrogates; a mapping lists the strings with escapes."""
    pointers: list[str] = []
    plain = _plain(value, "", pointers)
    if pointers and isinstance(plain, dict):
        plain[ESCAPED] = pointers
    return plain


def _plain(value: Any, pointer: str, pointers: list[str]) -> Any:
    if isinstance(value, str):
        if _LONE.search(value) is None:
            return value
        pointers.append(pointer)
        return _without(value)
    if isinstance(value, Mapping):
        return {
            (name := _without(key) if _LONE.search(key) else key): _plain(
                each, f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}", pointers
            )
            for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [_plain(each, f"{pointer}/{number}", pointers) for number, each in enumerate(value)]
    return value


def _without(text: str) -> str:
    """Return text with its lone surrogates and its backslashes escaped."""
    return _LONE.sub(_named, text.replace("\\", "\\\\"))


def _named(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def _decoded(match: re.Match[str]) -> str:
    if match[1]:
        return "\\"
    return chr(0xDC00 + int(match[2], 16)) if match[2] else chr(int(match[3], 16))
