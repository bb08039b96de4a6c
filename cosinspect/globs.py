"""The one dialect of globs, for paths and for names.

`*` stands for any characters, `?` for one, `[a-z]` and `[!a-z]` for one of a set, `{a,b}` for either text. In a glob of paths
they stay within one component, and `**` as a component stands for any number of components. In a glob of names (of namespaces,
repositories, tags, subjects of waivers) a slash is a character like any other.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

__all__ = ["alternatives", "component_expression", "is_literal", "name_matches", "path_expression"]

_MARKS = frozenset("*?[")
_MOST_ALTERNATIVES = 1000

_Token = tuple[str, str]  # "text" and a literal, "one" and a set, or "star"


def is_literal(component: str) -> bool:
    """Return whether a component of a path glob, braces expanded, stands for itself alone."""
    return not _MARKS.intersection(component)


def alternatives(pattern: str) -> tuple[str, ...]:
    """Return the globs without braces that a glob with `{a,b}` stands for, in the order of the braces.

    A brace without its partner, or without a comma inside, stands for itself. So does every brace where the globs would be more
    than 1000.
    """
    done: list[str] = []
    waiting = [("", pattern)]
    while waiting:
        before, rest = waiting.pop()
        found = _brace(rest)
        if found is None:
            done.append(before + rest)
            continue
        start, stop, choices = found
        if len(done) + len(waiting) + len(choices) > _MOST_ALTERNATIVES:
            return (pattern,)
        # Braces may hold braces: what is chosen is looked at again.
        waiting.extend((before + rest[:start], choice + rest[stop:]) for choice in reversed(choices))
    return tuple(dict.fromkeys(done))


@lru_cache(maxsize=1024)
def component_expression(component: str) -> str:
    """Return the regular expression for a glob of one component: of a name without a slash."""
    return _expression(component, "[^/]")


@lru_cache(maxsize=1024)
def path_expression(pattern: str) -> str:
    """Return the regular expression for a glob of whole paths, both without a leading slash."""
    found = []
    for each in alternatives(pattern):
        *parents, last = each.split("/")
        parts = ["(?:[^/]+/)*" if part == "**" else f"{component_expression(part)}/" for part in parents]
        parts.append("(?s:.*)" if last == "**" else component_expression(last))
        found.append("".join(parts))
    return f"(?:{'|'.join(found)})"


def name_matches(name: str, pattern: str) -> bool:
    """Return whether a name matches a glob of names, or is equal to it."""
    return name == pattern or _name_expression(pattern).fullmatch(name) is not None


@lru_cache(maxsize=1024)
def _name_expression(pattern: str) -> re.Pattern[str]:
    return re.compile("|".join(_expression(each, "(?s:.)") for each in alternatives(pattern)))


def _brace(text: str) -> tuple[int, int, list[str]] | None:
    """Find the first braces with a choice: where they begin and end, and what they hold."""
    opened: list[tuple[int, list[int]]] = []
    first: tuple[int, int, list[str]] | None = None
    for at, character in enumerate(text):
        if character == "{":
            opened.append((at, []))
        elif character == "," and opened:
            opened[-1][1].append(at)
        elif character == "}" and opened:
            start, commas = opened.pop()
            if commas and (first is None or start < first[0]):
                cuts = [start, *commas, at]
                first = (
                    start,
                    at + 1,
                    [text[low + 1 : high] for low, high in pairwise(cuts)],
                )
    return first


def _expression(glob: str, one: str) -> str:
    """Translate a glob without braces; `one` matches any character that a star may stand for.

    A star takes as little as the literals after it allow, and never more once they were found: the last star is the only one
    that has to be tried again, so that a match takes at most quadratic time.
    """
    groups: list[list[str]] = [[]]
    for kind, text in _tokens(glob):
        if kind == "star":
            if groups[-1] or len(groups) == 1:
                groups.append([])
        else:
            groups[-1].append(re.escape(text) if kind == "text" else one if not text else _set(text, one))
    if len(groups) == 1:
        return "".join(groups[0])
    first, *between, last = ("".join(group) for group in groups)
    return f"{first}{''.join(f'(?>{one}*?{each})' for each in between)}{one}*{last}"


def _tokens(glob: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while at < len(glob):
        character = glob[at]
        at += 1
        if character == "*":
            found.append(("star", ""))
        elif character == "?":
            found.append(("one", ""))
        elif character == "[" and (end := _set_end(glob, at)):
            found.append(("one", glob[at:end]))
            at = end + 1
        else:
            found.append(("text", character))
    return found


def _set_end(glob: str, at: int) -> int:
    """Return where the set that begins after a bracket ends, 0 if it does not."""
    inside = at + 1 if glob.startswith("!", at) else at
    return max(glob.find("]", inside + 1), 0)


def _set(text: str, one: str) -> str:
    """Translate what is between brackets."""
    negated = text.startswith("!")
    text = text.removeprefix("!")
    ranges: list[str] = []
    at = 0
    while at < len(text):
        if at + 2 < len(text) and text[at + 1] == "-":
            low, high = text[at], text[at + 2]
            if low <= high:
                ranges.append(f"{re.escape(low)}-{re.escape(high)}")
            at += 3
        else:
            ranges.append(re.escape(text[at]))
            at += 1
    if negated:
        return f"(?:(?![{''.join(ranges)}]){one})" if ranges else one
    return f"(?:(?=[{''.join(ranges)}]){one})" if ranges else "(?!)"
