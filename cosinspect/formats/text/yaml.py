"""YAML documents as plain values, read as Go programs read them, with bounds against hostile documents.

luet, yip and elemental decode with go-yaml v2 (`resolve.go`, `decode.go`); so the scalar rules here are those of YAML
1.1 as go-yaml applies them: `yes`, `no`, `on`, `off`, `y` and `n` are booleans, `0644` is octal, but there are no
base-60 integers, and dates stay text. Keys are always text as written, as Go decodes them into structures; a value that Go
wants as text is converted anyway, so `version: 1.10` is 1.1 here. Only the first document of a stream is read. The
events come from PyYAML's safe loader (libyaml if the wheel has it); nesting uses a list, not the interpreter's stack.

Refused: more than `Limits.parsed_file_bytes`, nesting beyond `YAML_DEPTH`, more than `Limits.yaml_nodes` nodes with aliases
expanded, aliases that contain themselves, keys that are not scalars. Every tag
makes plain values only.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Any

import yaml
from attrs import define, field, frozen

from cosinspect.errors import FormatError
from cosinspect.formats.text.problem import MAX_PROBLEMS, Problem
from cosinspect.formats.yaml_events import counted_events
from cosinspect.limits import DEFAULT_LIMITS, Limits

__all__ = [
    "YAML_DEPTH",
    "YamlDocument",
    "load_yaml",
    "load_yaml_stream",
    "parse_yaml",
]

YAML_DEPTH = 100
"""The deepest nesting of collections, aliases expanded; ordinary configuration is below 20."""

# libyaml's binding has the same events at a tenth of the time; a source build of PyYAML may lack it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NULLS = frozenset(["", "~", "null", "Null", "NULL"])
_BOOLEANS = {
    spelling: value
    for words, value in ((("true", "yes", "on", "y"), True), (("false", "no", "off", "n"), False))
    for word in words
    for spelling in (word, word.capitalize(), word.upper())
}
_SPECIAL_FLOATS = {
    **{f"{sign}{word}": math.inf for sign in ("", "+") for word in (".inf", ".Inf", ".INF")},
    **{f"-{word}": -math.inf for word in (".inf", ".Inf", ".INF")},
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
_NUMBER_STARTS = frozenset("+-.0123456789")
_NUMBER_CHARACTERS = 400  # more digits than a finite float has before its point
_INTEGER = re.compile(r"([-+]?)(?:0[bB]([01]+)|0[oO]?([0-7]+)|0[xX]([0-9a-fA-F]+)|(0|[1-9][0-9]*))")
_INTEGER_BASES = (2, 8, 16, 10)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")

_TAG = "tag:yaml.org,2002:"
_MERGE = "<<"


@frozen
class YamlDocument:
    """The first document of a YAML stream.

    Attributes:
        value: dict (with text keys), list, str, int, float, bool or None; aliased parts are shared, so do not modify it.
        problems: oddities that go-yaml v2 accepts without a message: `repeated-key`, of which the last one counts (go-yaml
            v3 refuses it), and `further-document`, which is not read.
    """

    value: Any
    problems: tuple[Problem, ...] = ()


def load_yaml(text: str | bytes, *, limits: Limits = DEFAULT_LIMITS) -> Any:
    """Return the first document of `text` as dict, list, str, int, float, bool or None; an empty text is None.

    Of repeated keys the last one counts. See `parse_yaml` for what is refused.

    Raises:
        FormatError: as `parse_yaml` does.
    """
    return parse_yaml(text, limits=limits).value


def parse_yaml(text: str | bytes, *, limits: Limits = DEFAULT_LIMITS) -> YamlDocument:
    """Read the first document of `text`, with its oddities.

    Args:
        text: the stream; bytes are UTF-8, or UTF-16 with a byte order mark.
        limits: `parsed_file_bytes` bounds the text, and the characters of all scalars with aliases expanded.

    Raises:
        FormatError: of kind `limit`, `depth`, `encoding`, `syntax`, `key` (a mapping key that is not a scalar), `merge`
            (`<<` of something that is not a mapping), `alias` (of an unknown anchor), `cycle` (a node that contains
            itself) or `scalar` (a value that its tag does not allow). `where` names line and column.
    """
    content = _decoded(text, limits)
    builder = _ValueBuilder(limits.parsed_file_bytes, limits.yaml_nodes)
    events = iter(_events(content, limits))
    end = None
    try:
        for event in events:
            if isinstance(event, yaml.DocumentEndEvent):
                end = event.end_mark
                break
            builder.feed(event)
    except yaml.YAMLError as fault:
        raise _syntax_error(fault) from fault
    if end is not None:
        builder.note_rest(end, events)
    return YamlDocument(builder.value, tuple(builder.problems))


def load_yaml_stream(text: str | bytes, *, limits: Limits = DEFAULT_LIMITS) -> list[Any]:
    """Return every document of `text` as `load_yaml` gives the first one; empty ones are None.

    Raises:
        FormatError: as `parse_yaml` does.
    """
    found: list[Any] = []
    builder = _ValueBuilder(limits.parsed_file_bytes, limits.yaml_nodes)
    try:
        for event in _events(_decoded(text, limits), limits):
            if isinstance(event, yaml.DocumentEndEvent):
                found.append(builder.value)
                builder = _ValueBuilder(limits.parsed_file_bytes, limits.yaml_nodes)
            else:
                builder.feed(event)
    except yaml.YAMLError as fault:
        raise _syntax_error(fault) from fault
    return found


def _decoded(text: str | bytes, limits: Limits) -> str:
    if len(text) > limits.parsed_file_bytes:
        raise FormatError(
            f"expected a YAML text of at most {limits.parsed_file_bytes} bytes, found {len(text)}",
            kind="limit",
        )
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-16" if text[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig")
    except UnicodeDecodeError as fault:
        raise FormatError(
            f"expected YAML in UTF-8 or UTF-16, byte {fault.start} is not: {fault.reason}",
            kind="encoding",
            offset=fault.start,
        ) from fault


def _events(content: str, limits: Limits) -> Any:
    try:
        # The events are made one by one as they are requested; the stubs do not know the C loader.
        return counted_events(yaml.parse(content.encode(), Loader=_LOADER), limits)
    except UnicodeEncodeError as fault:
        raise FormatError("YAML text must not hold lone surrogates", kind="encoding") from fault


def _syntax_error(fault: yaml.YAMLError) -> FormatError:
    mark = getattr(fault, "problem_mark", None)
    problem = getattr(fault, "problem", None) or getattr(fault, "reason", None) or "not YAML"
    if "maximum nesting depth" in str(problem):
        # libyaml 0.2.6 has its own bound, and reaches it before it returns the first event.
        return FormatError(
            f"expected YAML nested at most {YAML_DEPTH} levels deep, found more",
            kind="depth",
            where=_where(mark),
        )
    return FormatError(f"the text is not YAML: {problem}", kind="syntax", where=_where(mark))


def _where(mark: Any) -> str | None:
    return None if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"


@define
class _Node:
    """A finished node; its weight counts again for each alias."""

    value: Any
    text: str | None  # of a scalar, as written
    nodes: int
    characters: int
    height: int


@define
class _Frame:
    """An open collection."""

    container: dict[str, Any] | list[Any]
    anchor: str | None
    nodes_before: int
    characters_before: int
    key: str | None = None
    merging: bool = False
    merges: list[Any] = field(factory=list)
    height: int = 1


@define
class _ValueBuilder:
    """Builds one value from parser events; its weight counts every alias as a copy."""

    max_characters: int
    max_nodes: int
    value: Any = None
    problems: list[Problem] = field(factory=list)
    stack: list[_Frame] = field(factory=list)
    anchors: dict[str, _Node | None] = field(factory=dict)  # None while the node is still open
    nodes: int = 0
    characters: int = 0

    def feed(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._weigh(1, len(event.value), event)
            node = _Node(_scalar(event), event.value, 1, len(event.value), 0)
            if event.anchor is not None:
                self.anchors[event.anchor] = node
            self._place(node, event, plain_merge=event.implicit[0] and event.value == _MERGE)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._open(event)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._close(event)
        elif isinstance(event, yaml.AliasEvent):
            self._place(self._aliased(event), event)

    def note(self, kind: str, message: str, mark: Any) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(kind, message, mark.line + 1))

    def note_rest(self, end: Any, events: Any) -> None:
        """Report that the stream continues after the first document, which is not read."""
        try:
            more = any(not isinstance(event, yaml.StreamEndEvent) for event in events)
        except yaml.YAMLError:
            more = True
        if more:
            self.note("further-document", "the documents after the first are not read", end)

    def _weigh(self, nodes: int, characters: int, event: Any) -> None:
        self.nodes += nodes
        self.characters += characters
        if self.nodes > self.max_nodes or self.characters > self.max_characters:
            raise FormatError(
                f"expected a YAML document of at most {self.max_nodes} nodes and {self.max_characters} characters, "
                "found more with its aliases expanded",
                kind="limit",
                where=_where(event.start_mark),
            )

    def _open(self, event: Any) -> None:
        self._deepen(1, event)
        before = (self.nodes, self.characters)
        self._weigh(1, 0, event)
        frame = self.stack[-1] if self.stack else None
        if (
            frame is not None
            and isinstance(frame.container, dict)
            and frame.key is None
            and not frame.merging
        ):
            raise FormatError("a mapping key must be a scalar", kind="key", where=_where(event.start_mark))
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        container: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        self.stack.append(_Frame(container, event.anchor, *before))

    def _close(self, event: Any) -> None:
        frame = self.stack.pop()
        if isinstance(frame.container, dict):
            # As the merge type specifies and go-yaml v3 does; in v2, `<<` overrides the keys before it.
            for merged in frame.merges:
                for key, value in merged.items():
                    frame.container.setdefault(key, value)
        node = _Node(
            frame.container,
            None,
            self.nodes - frame.nodes_before,
            self.characters - frame.characters_before,
            frame.height,
        )
        if frame.anchor is not None:
            self.anchors[frame.anchor] = node
        self._place(node, event)

    def _aliased(self, event: Any) -> _Node:
        where = _where(event.start_mark)
        if event.anchor not in self.anchors:
            raise FormatError(f"no earlier node has the anchor {event.anchor!r}", kind="alias", where=where)
        node = self.anchors[event.anchor]
        if node is None:
            raise FormatError(
                f"the node with the anchor {event.anchor!r} contains itself", kind="cycle", where=where
            )
        self._weigh(node.nodes, node.characters, event)
        self._deepen(node.height, event)
        return node

    def _deepen(self, height: int, event: Any) -> None:
        if len(self.stack) + height > YAML_DEPTH:
            raise FormatError(
                f"expected YAML nested at most {YAML_DEPTH} levels deep, found more",
                kind="depth",
                where=_where(event.start_mark),
            )

    def _place(self, node: _Node, event: Any, *, plain_merge: bool = False) -> None:
        if not self.stack:
            self.value = node.value
            return
        frame = self.stack[-1]
        frame.height = max(frame.height, node.height + 1)
        if isinstance(frame.container, list):
            frame.container.append(node.value)
        elif frame.merging:
            frame.merges.extend(_merge_sources(node.value, event))
            frame.merging = False
        elif frame.key is not None:
            frame.container[frame.key] = node.value
            frame.key = None
        elif plain_merge:
            frame.merging = True
        elif node.text is None:
            raise FormatError("a mapping key must be a scalar", kind="key", where=_where(event.start_mark))
        else:
            if node.text in frame.container:
                self.note(
                    "repeated-key",
                    f"the key {_shortened(node.text)} is repeated, the last one counts",
                    event.start_mark,
                )
            frame.key = node.text


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")


def _merge_sources(value: Any, event: Any) -> list[dict[str, Any]]:
    """Return the mappings that `<<` names; where they share a key the first one counts."""
    sources = value if isinstance(value, list) else [value]
    if not all(isinstance(source, dict) for source in sources):
        raise FormatError(
            "a merge key requires a mapping or a list of mappings",
            kind="merge",
            where=_where(event.start_mark),
        )
    return sources


def _scalar(event: Any) -> Any:
    text: str = event.value
    tag: str | None = event.tag
    if tag is None or tag == "!":
        # Quoted and block scalars are always text.
        return _resolved(text) if event.implicit[0] and tag is None else text
    kind = tag.removeprefix(_TAG)
    if kind == "binary":
        try:
            return base64.b64decode(text.replace("\n", "").encode(), validate=True).decode(errors="replace")
        except (binascii.Error, ValueError) as fault:
            raise FormatError(
                f"not base64: {fault}", kind="scalar", where=_where(event.start_mark)
            ) from fault
    types = _TAG_TYPES.get(kind)
    if types is None:
        return text  # a tag for text, or an unknown tag
    value = _resolved(text)
    if kind == "float" and type(value) is int:
        value = float(value)
    if type(value) not in types:
        raise FormatError(
            f"{_shortened(text)} is not of the type {kind}", kind="scalar", where=_where(event.start_mark)
        )
    return value


_TAG_TYPES: dict[str, tuple[type, ...]] = {
    "null": (type(None),),
    "bool": (bool,),
    "int": (int,),
    "float": (float,),
}


def _resolved(text: str) -> Any:
    """Return the value of a plain scalar."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text[0] in _NUMBER_STARTS:
        return _SPECIAL_FLOATS[text] if text in _SPECIAL_FLOATS else _number(text)
    return text


def _number(text: str) -> int | float | str:
    digits = text if text[0] == "." else text.replace("_", "")  # an oddity of go-yaml
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
        if -(2**63) <= value < 2**64:
            return value
    if _FLOAT.fullmatch(digits) is not None:
        approximation = float(digits)
        if math.isfinite(approximation):
            return approximation
    return text
