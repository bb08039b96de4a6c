"""Error documents and warnings of registries, made safe to print.

Follows distribution-spec 1.1 ("Error codes", "Warnings"). Servers echo what they were sent, and some write
signed URLs into their messages: nothing that holds a secret which was sent is repeated, and of a URL neither
user nor query.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from attrs import frozen

__all__ = ["ErrorDocument", "Redactor", "remedy_for"]

MAX_TEXT = 300
"""Characters that are shown of one text."""
MAX_WARNING = 4096
"""Bytes of a `Warning` header that are looked at: more must not be sent (distribution-spec, "Warnings")."""

# distribution-spec: "containing only uppercase alphabetic characters and underscores".
_ERROR_CODE = re.compile(r"[A-Z_]{1,64}")
_MAX_ERRORS = 8
# Only warn-code 299 and warn-agent "-" are the specification's; others are HTTP caches'.
_WARNING = re.compile(r'299 - "((?:[^"\\]|\\.)*+)"')
_ESCAPE = re.compile(r"\\(.)")
_URL = re.compile(r"(https?://)(?:[^\s/?#@]*@)?([^\s?#]*)[?#]?\S*", re.IGNORECASE)
# Shorter ones would hide every other word.
_SHORTEST_SECRET = 4
# A document may hold a short password by chance; a token it can only repeat.
_SHORTEST_REPEATED = 16

_REMEDIES = {
    "NAME_UNKNOWN": "check the repository's name; some registries say so of private repositories too",
    "MANIFEST_UNKNOWN": "check the tag or digest; some registries say so of private images too",
    "MANIFEST_BLOB_UNKNOWN": "the registry has lost a part of the image: push it again",
    "BLOB_UNKNOWN": "the registry has lost a part of the image: push it again",
    "NAME_INVALID": "check the repository's name",
    "TAG_INVALID": "check the tag",
    "DIGEST_INVALID": "check the digest",
    "UNSUPPORTED": "the registry, or a proxy before it, does not offer what is needed; ask its operator",
}


@frozen
class ErrorDocument:
    """The content of a registry's error document.

    Attributes:
        codes: the specification's error codes, verbatim, in the order given.
        text: the first message that can be shown, "" if there is none.
    """

    codes: tuple[str, ...] = ()
    text: str = ""

    def __str__(self) -> str:
        """The end of a sentence that names who answers what."""
        return (f" ({', '.join(self.codes)})" if self.codes else "") + self.said

    @property
    def said(self) -> str:
        """The text alone, as the end of a sentence."""
        return f", saying {self.text!r}" if self.text else ""


def remedy_for(codes: tuple[str, ...], otherwise: str | None = None) -> str | None:
    """Return what to do about the first error code that says enough."""
    return next((_REMEDIES[code] for code in codes if code in _REMEDIES), otherwise)


class Redactor:
    """Knows the secrets that were sent, and keeps them out of what is shown; thread-safe."""

    def __init__(self) -> None:
        self._secrets: frozenset[str] = frozenset()
        self._warned: set[str] = set()
        self._lock = threading.Lock()

    def learn(self, authorization: str | None, form: bytes | None = None) -> None:
        """Take note of what is sent: an `Authorization` value and the values of a form."""
        if authorization is None and form is None:
            return
        scheme, _, value = (authorization or "").partition(" ")
        found = {value}
        if scheme.lower() == "basic":
            try:
                pair = base64.b64decode(value).decode("utf-8", "replace")
            except (binascii.Error, ValueError):
                pair = ""
            found |= {pair, pair.partition(":")[2]}
        names = ("refresh_token", "password")
        found.update(text for name, text in parse_qsl((form or b"").decode("ascii")) if name in names)
        self._secrets |= {text for text in found if len(text) >= _SHORTEST_SECRET}

    def fit(self, text: str) -> str:
        """Return a text as it can be shown, in one line; "" if it holds a secret."""
        if any(secret in text for secret in self._secrets):
            return ""
        line = " ".join(_URL.sub(r"\1\2", text[: 4 * MAX_TEXT]).split())[:MAX_TEXT]
        return "".join(
            character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line
        )

    def is_repeated_in(self, body: bytes) -> bool:
        """Return whether a document holds a secret that is too long to occur by chance."""
        return any(len(secret) >= _SHORTEST_REPEATED and secret.encode() in body for secret in self._secrets)

    def error_document(self, body: bytes) -> ErrorDocument:
        """Read an error document; one of any other shape says nothing."""
        try:
            document: Any = json.loads(body)
        except (ValueError, RecursionError):
            return ErrorDocument()
        listed = document.get("errors") if isinstance(document, dict) else None
        errors = [
            item
            for item in (listed if isinstance(listed, list) else [])[:_MAX_ERRORS]
            if isinstance(item, dict)
        ]
        codes = [item.get("code") for item in errors]
        texts = [self.fit(item["message"]) for item in errors if isinstance(item.get("message"), str)]
        return ErrorDocument(
            tuple(code for code in codes if isinstance(code, str) and _ERROR_CODE.fullmatch(code)),
            next(filter(None, texts), ""),
        )

    def new_warnings(self, headers: Mapping[str, str]) -> tuple[str, ...]:
        """Return the texts of a response's `Warning` headers that have not been given before."""
        header = headers.get("Warning", "")[:MAX_WARNING]
        told = [self.fit(_ESCAPE.sub(r"\1", text)) for text in _WARNING.findall(header)]
        with self._lock:
            fresh = [text for text in dict.fromkeys(told) if text and text not in self._warned]
            self._warned.update(fresh)
        return tuple(fresh)
