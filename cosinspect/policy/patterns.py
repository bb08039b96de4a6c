"""Patterns for content from strangers: RE2, which takes linear time for any pattern and text.

Python's own engine backtracks: a harmless pattern and a hostile file can take it years.
"""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

from cosinspect.extras import load_extra

__all__ = ["MAX_PATTERN", "Pattern"]

MAX_PATTERN = 2000
"""The maximum length of a pattern."""


@frozen
class Pattern:
    """A regular expression in RE2's syntax over bytes; `^` and `$` are the ends of lines.

    Attributes:
        text: as written.
    """

    text: str
    _compiled: Any = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        """Compile it.

        Raises:
            ValueError: it is invalid, or too large.
            MissingPackage: the extra `policy` is not installed.
        """
        if len(self.text) > MAX_PATTERN:
            raise ValueError(
                f"expected a pattern of at most {MAX_PATTERN} characters, found {len(self.text)}"
            )
        re2 = load_extra("re2", "policy")
        options = re2.Options()
        options.log_errors = False
        try:
            raw = self.text.encode("utf-8", "surrogateescape")
            # Alone first: `a)(b` would be valid between the brackets of the next line.
            re2.compile(raw, options)
            compiled = re2.compile(b"(?m:" + raw + b")", options)
        except re2.error as fault:
            reason = fault.args[0]
            told = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
            raise ValueError(f"expected a regular expression of RE2, found {told}") from fault
        object.__setattr__(self, "_compiled", compiled)

    def line_of(self, content: bytes) -> int | None:
        """Return the number of the line in which the first match starts, counted from 1, or None."""
        match = self._compiled.search(content)
        return None if match is None else content.count(b"\n", 0, match.start()) + 1

    def matches(self, text: str) -> bool:
        """Return whether the whole of a text matches."""
        return self._compiled.fullmatch(text.encode("utf-8", "surrogateescape")) is not None
