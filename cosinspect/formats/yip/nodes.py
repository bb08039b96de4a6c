"""YAML as a tree of nodes, as go-yaml's parsers build it, before values are converted.

go-yaml (v1, v2 and v3) ports libyaml's parser, and PyYAML binds libyaml itself, so the events are the same. A node
keeps what the decoder needs: the text of a scalar, its tag, and whether it is plain. Aliases stay references, so the tree is
as large as the text, not as its expansion.

Only the first document of a stream is read. v1 reads one event after the document's end, and fails if that event
is invalid (`ahead`).
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Literal, TypeAlias

import yaml
from attrs import Factory, define, frozen

from cosinspect.errors import FormatError
from cosinspect.formats.yaml_events import counted_events
from cosinspect.limits import DEFAULT_LIMITS, Limits

__all__ = [
    "NODE_DEPTH",
    "Alias",
    "Dialect",
    "DocumentTree",
    "Mapping",
    "Node",
    "Scalar",
    "Sequence",
    "read_nodes",
]

Dialect: TypeAlias = Literal["v1", "v2", "v3"]
"""The major version of go-yaml."""

NODE_DEPTH = 100
"""The deepest nesting of collections; ordinary configuration is below 20."""


# libyaml's binding has the same events at a tenth of the time; a source build of PyYAML may lack it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"


@define(eq=False)
class Scalar:
    """A scalar.

    Attributes:
        text: as written, after escapes and folding.
        tag: `!!name` for YAML's own tags, any other tag unchanged, "" if there is none.
        implicit: whether its text may decide its type: it is plain, or has the tag `!`.
        plain: whether it has no quotes and is not a block.
        line: counted from 1.
    """

    text: str
    tag: str
    implicit: bool
    plain: bool
    line: int


@define(eq=False)
class Sequence:
    """A sequence."""

    tag: str
    line: int
    items: list[Node] = Factory(list)


@define(eq=False)
class Mapping:
    """A mapping, with every pair as written."""

    tag: str
    line: int
    pairs: list[tuple[Node, Node]] = Factory(list)


@define(eq=False)
class Alias:
    """A reference to an earlier node; `target` is None if no node has that anchor (only v1 accepts that)."""

    name: str
    line: int
    target: Node | None


Node: TypeAlias = "Scalar | Sequence | Mapping | Alias"


@frozen
class DocumentTree:
    """The first document of a stream.

    Attributes:
        root: its node, None if the stream has no document.
        rest: the line where the stream continues after it, None if it ends.
    """

    root: Node | None
    rest: int | None


def read_nodes(text: bytes, dialect: Dialect = "v2", *, limits: Limits = DEFAULT_LIMITS) -> DocumentTree:
    """Read the first document of `text`.

    Args:
        text: the stream, UTF-8 or UTF-16 with a byte order mark.
        dialect: the version of go-yaml: v1 reads one event after the document, and reports unknown anchors only when it
            decodes them; v3 reads two more tokens.
        limits: `parsed_file_bytes` bounds the text.

    Raises:
        FormatError: of kind `syntax` or `alias` (go-yaml refuses the text), or `limit` or `depth` (a bound of this
            reader; the text may be valid).
    """
    if len(text) > limits.parsed_file_bytes:
        raise FormatError(
            f"a YAML text of at most {limits.parsed_file_bytes} bytes is read, this one has {len(text)}",
            kind="limit",
        )
    marks = _marks(text, limits)
    if marks and dialect == "v1":
        raise FormatError("go-yaml v1 does not read the tag `!`", kind="syntax")
    builder = _TreeBuilder(lazy_aliases=dialect == "v1", marks=marks, most=limits.yaml_nodes)
    rest: int | None = None
    try:
        events: Any = counted_events(yaml.parse(text or b"\n", Loader=_LOADER), limits)
        for event in events:
            if isinstance(event, yaml.DocumentEndEvent):
                rest = _rest(events, event, strict=dialect == "v1")
                if rest is not None and dialect == "v3":
                    _scan(text, event, limits)
                break
            builder.feed(event)
    except yaml.YAMLError as fault:
        raise _syntax_error(fault) from fault
    except UnicodeDecodeError as fault:  # the pure Python loader decodes the text itself
        raise FormatError(f"the text is not UTF-8: {fault.reason}", kind="syntax") from fault
    return DocumentTree(builder.root, rest)


def _rest(events: Any, end: Any, *, strict: bool) -> int | None:
    line: int = end.end_mark.line + 1
    try:
        following = next(events, None)
    except yaml.YAMLError:
        if strict:
            raise
        return line
    return None if following is None or isinstance(following, yaml.StreamEndEvent) else line


def _scan(text: bytes, end: Any, limits: Limits) -> None:
    """Scan the end of the document and two more tokens, as go-yaml v3 does to find comments."""
    start = end.start_mark.index
    left = 3
    for token in counted_events(yaml.scan(text, Loader=_LOADER), limits):
        left -= token.start_mark.index >= start and not isinstance(token, yaml.BlockEndToken)
        if not left:
            break


def _marks(text: bytes, limits: Limits) -> list[int]:
    """Return the positions of scalars with the tag `!`: libyaml, unlike its ports, reports them without a tag."""
    found: list[int] = []
    if b"!" not in text:
        return found
    try:
        # One by one: if the scanner fails, the tokens before count.
        for token in counted_events(yaml.scan(text, Loader=_LOADER), limits):
            if isinstance(token, yaml.TagToken) and token.value in {("!", ""), ("", "!"), (None, "!")}:
                found.append(token.end_mark.index)  # noqa: PERF401 - see above
    except yaml.YAMLError:
        pass  # the fault is reported when the events are read
    return found


def _syntax_error(fault: yaml.YAMLError) -> FormatError:
    mark = getattr(fault, "problem_mark", None)
    problem = getattr(fault, "problem", None) or getattr(fault, "reason", None) or "not YAML"
    where = None if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"
    if "maximum nesting depth" in str(problem):
        return FormatError(
            f"expected YAML nested at most {NODE_DEPTH} levels deep, found more", kind="depth", where=where
        )
    return FormatError(f"the text is not YAML: {problem}", kind="syntax", where=where)


@define
class _TreeBuilder:
    """Builds the tree from the parser's events, with a list and not the interpreter's stack."""

    lazy_aliases: bool
    marks: list[int]
    most: int
    root: Node | None = None
    open: list[Sequence | Mapping] = Factory(list)
    keys: list[Node | None] = Factory(list)
    anchors: dict[str, Node] = Factory(dict)
    count: int = 0

    def feed(self, event: Any) -> None:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.ScalarEvent):
            implicit = bool(event.implicit[0])
            tag = "!" if self._is_marked(event) else _short(event.tag)
            self._place(Scalar(event.value, tag, implicit, event.style in {None, ""}, line), event.anchor)
        elif isinstance(event, yaml.MappingStartEvent):
            self._open(Mapping(_short(event.tag), line), event.anchor)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._open(Sequence(_short(event.tag), line), event.anchor)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self.open.pop()
            self.keys.pop()
        elif isinstance(event, yaml.AliasEvent):
            name = str(event.anchor)
            target = self.anchors.get(name)
            if target is None and not self.lazy_aliases:
                raise FormatError(
                    f"no earlier node has the anchor {name!r}", kind="alias", where=f"line {line}"
                )
            self._place(Alias(name, line, target), None)

    def _is_marked(self, event: Any) -> bool:
        at = bisect_left(self.marks, event.start_mark.index)
        return at < len(self.marks) and self.marks[at] <= event.end_mark.index

    def _open(self, node: Sequence | Mapping, anchor: str | None) -> None:
        if len(self.open) >= NODE_DEPTH:
            raise FormatError(
                f"expected YAML nested at most {NODE_DEPTH} levels deep, found more",
                kind="depth",
                where=f"line {node.line}",
            )
        self._place(node, anchor)
        self.open.append(node)
        self.keys.append(None)

    def _place(self, node: Node, anchor: str | None) -> None:
        self.count += 1
        if self.count > self.most:
            raise FormatError(
                f"expected a YAML document of at most {self.most} nodes, found more", kind="limit"
            )
        if anchor is not None:
            self.anchors[anchor] = node
        if not self.open:
            self.root = node
            return
        parent = self.open[-1]
        if isinstance(parent, Sequence):
            parent.items.append(node)
        elif (key := self.keys[-1]) is None:
            self.keys[-1] = node
        else:
            parent.pairs.append((key, node))
            self.keys[-1] = None


def _short(tag: str | None) -> str:
    if tag is None:
        return ""
    return f"!!{tag.removeprefix(_TAG)}" if tag.startswith(_TAG) else tag
