"""YAML text decoded into a Go type, with the conversions of go-yaml v1, v2 and v3.

yip decodes its documents into Go structures, and elemental and Kairos contain yip. So go-yaml's rules decide whether a file is
accepted, and they differ between its versions (`decode.go` and `resolve.go` of gopkg.in/yaml.v1, v2.4.0
and v3.0.1):

- v1 skips a value of the wrong type; v2 and v3 refuse the document.
- null clears a value in v1 and v2; in v3 only a value that can be nil.
- `yes`, `on`, `y` and their opposites are booleans in v1 and v2; in v3 only where the type is a boolean.
- a repeated key counts twice in v1 and v2 (v1 appends lists); v3 refuses the document.
- `<<` overrides the keys before it in v1 and v2; in v3 the mapping's own keys override it.
- v2 and v3 refuse a document that is mostly made of aliases.

Any scalar but null becomes text if the type is text, as written. Keys that a structure does not have are ignored with their values.

Floats become integers as on amd64.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping as Table
from typing import Any

from attrs import Factory, define, frozen

from cosinspect.deadline import spend
from cosinspect.errors import FormatError
from cosinspect.formats.yip.go_scalars import (
    BOOLEANS,
    INTEGERS,
    NULLS,
    Failed,
    described,
    resolve,
    told_by_text,
    whole,
)
from cosinspect.formats.yip.nodes import Alias, Dialect, Mapping, Node, Scalar, Sequence

__all__ = ["Budget", "Decoded", "GoType", "decode"]

MAX_STEPS = 400_000
"""The most values of one document, or of all documents that share a `Budget`, aliases expanded."""

MAX_ERRORS = 20
MAX_NOTES = 20
_DEPTH = 150  # nesting of the decoder's own calls: schema and merges


@frozen(eq=False)
class GoType:
    """A Go type that go-yaml decodes into.

    Attributes:
        kind: `string`, `bool`, `int`, `uint32`, `uint64`, `slice`, `map` (with text keys), `struct` or `pointer`.
        element: of a slice, map or pointer.
        fields: of a struct, by their keys in YAML.
    """

    kind: str
    element: GoType | None = None
    fields: Table[str, GoType] = Factory(dict)

    @property
    def of(self) -> GoType:
        """The element's type."""
        assert self.element is not None  # noqa: S101 - only asked of kinds that have one
        return self.element

    def zero(self) -> Any:
        """Return the zero value; a struct is a dict without zero fields."""
        return {} if self.kind == "struct" else _ZEROS[self.kind]


_ZEROS = {"string": "", "bool": False, "int": 0, "uint32": 0, "uint64": 0} | dict.fromkeys(
    ("slice", "map", "pointer")
)
_NAMES = {
    "string": "text",
    "bool": "true or false",
    "int": "a whole number",
    "uint32": "a whole number from 0 to 4294967295",
    "uint64": "a whole number that is not negative",
    "slice": "a list",
    "map": "a mapping",
    "struct": "a mapping",
    "pointer": "a mapping",
}
TEXT = GoType("string")


@define
class Budget:
    """The number of values that may still be decoded. The documents of an image share it, so that many small ones are bounded too."""

    steps: int = MAX_STEPS

    def take(self, steps: int) -> None:
        """Subtract some.

        Raises:
            FormatError: of kind `limit`; fewer are left.
        """
        spend(steps)
        self.steps -= steps
        if self.steps < 0:
            raise FormatError(f"expected at most {MAX_STEPS} values, found more", kind="limit")


@frozen
class Decoded:
    """The result of decoding a document.

    Attributes:
        value: of the Go type; None if the document cannot be decoded at all.
        errors: why go-yaml refuses the document, one line for each reason; empty if it accepts it.
        unknown: the keys that the type does not have, by their paths.
        repeated: the keys that one mapping has twice, by their paths, if go-yaml accepts that.
        bound: the bound of this decoder that was reached, so that nothing is known; "" if none was.
    """

    value: Any
    errors: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    bound: str = ""


def decode(
    root: Node | None,
    target: GoType,
    dialect: Dialect,
    *,
    dashes: bool = False,
    budget: Budget | None = None,
) -> Decoded:
    """Decode a document's root into a Go type.

    Args:
        root: the result of `read_nodes`; None decodes to the zero value.
        target: the type.
        dialect: which go-yaml.
        dashes: whether `-` in keys is read as `_`, as coreos/yaml does for cloud-init.
        budget: the values that may be decoded; by default a new one.
    """
    decoder = _Decoder(dialect, dashes, budget or Budget())
    value = target.zero()
    if root is None:
        return Decoded(value, ())
    try:
        _, value = decoder.node(root, target, value)
    except Failed as fault:
        return Decoded(None, (*decoder.errors, str(fault)))
    except FormatError as fault:
        return Decoded(None, (), bound=str(fault))
    return Decoded(value, tuple(decoder.errors), tuple(decoder.unknown), tuple(decoder.repeated))


@define
class _Decoder:
    """Follows go-yaml's decoder; each method returns whether go-yaml accepts the value, and the new value of its target."""

    dialect: Dialect
    dashes: bool
    budget: Budget
    errors: list[str] = Factory(list)
    unknown: list[str] = Factory(list)
    repeated: list[str] = Factory(list)
    path: list[str] = Factory(list)
    aliases: set[Any] = Factory(set)
    merged: set[Any] | None = None
    steps: int = 0
    alias_steps: int = 0
    alias_depth: int = 0
    depth: int = 0

    # -- nodes -----------------------------------------------------------------------------------------------------

    def node(self, node: Node, target: GoType, current: Any) -> tuple[bool, Any]:
        self._count()
        self.depth += 1
        if self.depth > _DEPTH:
            raise FormatError("merges are nested deeper than the decoder's limit", kind="depth")
        try:
            if isinstance(node, Alias):
                return self._alias(node, target, current)
            if target.kind == "pointer" and not self._is_null(node):
                start = target.of.zero() if current is None else current
                return self.node(node, target.of, start)
            if isinstance(node, Scalar):
                return self._scalar(node, target, current)
            if isinstance(node, Mapping):
                return self._mapping(node, target, current)
            return self._sequence(node, target, current)
        finally:
            self.depth -= 1

    def _count(self) -> None:
        self.steps += 1
        self.alias_steps += self.alias_depth > 0
        self.budget.take(1)
        # go-yaml's own bound: up to 400,000 steps, at most 99 of 100 may come from aliases.
        mostly = self.alias_steps > 100 and self.steps > 1000 and self.alias_steps / self.steps > 0.99
        if mostly and self.dialect != "v1":
            raise Failed("the document consists mostly of aliases")

    def _alias(self, node: Alias, target: GoType, current: Any) -> tuple[bool, Any]:
        if node.target is None:
            raise Failed(f"line {node.line}: no earlier node has the anchor {node.name!r}")
        mark = node.name if self.dialect == "v1" else id(node)
        if mark in self.aliases:
            raise Failed(f"line {node.line}: the node with the anchor {node.name!r} contains itself")
        self.aliases.add(mark)
        self.alias_depth += 1
        good, current = self.node(node.target, target, current)
        self.alias_depth -= 1
        self.aliases.discard(mark)
        return good, current

    def _refuse(self, node: Node, target: GoType, found: str) -> bool:
        """Note a value of the wrong type, which v1 skips without a message."""
        if self.dialect != "v1":
            self._error(node, f"expected {_NAMES[target.kind]}, found {found}")
        return False

    def _error(self, node: Node, message: str) -> None:
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(f"line {node.line}: {self._where()}: {message}")

    def _where(self) -> str:
        return ("".join(self.path).lstrip(".") or "the document")[:200]

    def _is_null(self, node: Node) -> bool:
        while isinstance(node, Alias) and node.target is not None:
            node = node.target
        if not isinstance(node, Scalar):
            return node.tag == "!!null" if isinstance(node, (Mapping, Sequence)) else False
        if self.dialect == "v3":
            return node.tag == "!!null" or (node.tag in {"", "!"} and node.plain and node.text in NULLS)
        return node.tag == "!!null" or (
            node.tag == "" and (node.text in {"null", "~"} or (node.text == "" and node.implicit))
        )

    # -- scalars ---------------------------------------------------------------------------------------------------

    def _scalar(self, node: Scalar, target: GoType, current: Any) -> tuple[bool, Any]:
        value = self._resolved(node)
        kind = target.kind
        if value is None:
            if self.dialect != "v3" or kind in {"pointer", "map", "slice"}:
                return True, target.zero()
            return False, current
        if kind == "string":
            # A value with the tag `!!binary` is decoded; any other is text as written.
            return True, value if node.tag == "!!binary" else node.text
        if kind == "bool":
            if self.dialect == "v3" and isinstance(value, str) and value in BOOLEANS:
                value = BOOLEANS[value]
            if isinstance(value, bool):
                return True, value
        elif kind in INTEGERS and isinstance(value, (int, float)) and not isinstance(value, bool):
            number = whole(value, kind)
            if number is not None:
                return True, number
        return self._refuse(node, target, described(node, value)), current

    def _resolved(self, node: Scalar) -> Any:
        """Return the scalar's value: None, a bool, int, float, `_TIME` or text."""
        tag = node.tag
        if self.dialect == "v3" and tag == "!":
            tag = ""
        if tag == "" and not told_by_text(node, self.dialect):
            return node.text
        value = resolve(tag, node.text, self.dialect)
        if node.tag == "!!binary":
            try:
                raw = re.sub(r"[\r\n]", "", str(value)).encode()
                return base64.b64decode(raw, validate=True).decode("utf-8", "replace")
            except (binascii.Error, ValueError) as fault:
                raise Failed(f"line {node.line}: not base64: {fault}") from fault
        return value

    # -- collections -----------------------------------------------------------------------------------------------

    def _sequence(self, node: Sequence, target: GoType, current: Any) -> tuple[bool, Any]:
        if target.kind != "slice":
            return self._refuse(node, target, "a list"), current
        values = list(current or ()) if self.dialect == "v1" else []
        for index, item in enumerate(node.items):
            self.path.append(f"[{index}]")
            good, value = self.node(item, target.of, target.of.zero())
            self.path.pop()
            if good:
                values.append(value)
        return True, values

    def _mapping(self, node: Mapping, target: GoType, current: Any) -> tuple[bool, Any]:
        if self.dialect == "v3" and not self._keys_are_unique(node):
            return False, current
        if target.kind == "struct":
            return self._struct(node, target, current)
        if target.kind == "map":
            return self._map(node, target, current)
        return self._refuse(node, target, "a mapping"), current

    def _keys_are_unique(self, node: Mapping) -> bool:
        seen: dict[tuple[type, str], int] = {}
        unique = True
        for key, _ in node.pairs:
            text = key.text if isinstance(key, Scalar) else key.name if isinstance(key, Alias) else ""
            mark = (type(key), text)
            if mark in seen:
                unique = False
                self._error(key, f"the key {text[:80]!r} is repeated from line {seen[mark]}")
            seen.setdefault(mark, key.line)
        return unique

    def _struct(self, node: Mapping, target: GoType, current: dict[str, Any]) -> tuple[bool, Any]:
        outer, self.merged = self.merged, None
        merge: Node | None = None
        done: set[str] = set()
        name = ""
        for key, value in node.pairs:
            if self._merges(key):
                if self.dialect == "v3":
                    merge = value
                else:
                    current = self._merge(value, target, current)
                continue
            good, name = self._key(key, name)
            if not good or self._is_merged(outer, name):
                continue
            field = target.fields.get(name)
            if field is None:
                self._note(self.unknown, name)
                continue
            if name in done:
                self._note(self.repeated, name)
                if self.dialect == "v3":
                    self._error(key, f"the key {name!r} is repeated")
                    continue
            done.add(name)
            self.path.append(f".{name}")
            _, current[name] = self.node(value, field, current.get(name, field.zero()))
            self.path.pop()
        self.merged = outer
        if merge is not None:
            current = self._merge_v3(node, merge, target, current)
        return True, current

    def _map(self, node: Mapping, target: GoType, current: dict[str, Any] | None) -> tuple[bool, Any]:
        outer, self.merged = self.merged, None
        merge: Node | None = None
        new = current is None
        values: dict[str, Any] = {} if current is None else current
        done: set[str] = set()
        for key, value in node.pairs:
            if self._merges(key):
                if self.dialect == "v3":
                    merge = value
                else:
                    values = self._merge(value, target, values)
                continue
            good, name = self._key(key, "")
            if not good or self._is_merged(outer, name):
                continue
            if name in done:
                self._note(self.repeated, name)
            done.add(name)
            self.path.append(f".{name}")
            good, found = self.node(value, target.of, target.of.zero())
            self.path.pop()
            empty = self.dialect == "v3" and self._is_null(value) and (new or name not in values)
            if good or empty:
                values[name] = found
        self.merged = outer
        if merge is not None:
            values = self._merge_v3(node, merge, target, values)
        return True, values

    def _key(self, key: Node, name: str) -> tuple[bool, str]:
        if self.dashes and isinstance(key, Scalar) and "-" in key.text:
            key = Scalar(key.text.replace("-", "_"), key.tag, key.implicit, key.plain, key.line)
        self.path.append(".(key)")
        good, value = self.node(key, TEXT, name)
        self.path.pop()
        return good, value

    def _is_merged(self, outer: set[Any] | None, name: str) -> bool:
        """Return whether a merged mapping must not set a key, and note that it does (v3)."""
        if outer is None:
            return False
        if name in outer:
            return True
        outer.add(name)
        return False

    def _note(self, notes: list[str], name: str) -> None:
        if len(notes) < MAX_NOTES:
            notes.append(f"{''.join(self.path)}.{name}".lstrip(".")[:200])

    # -- merges ----------------------------------------------------------------------------------------------------

    def _merges(self, key: Node) -> bool:
        if not isinstance(key, Scalar) or key.text != "<<":
            return False
        if self.dialect == "v3":
            return key.tag == "!!merge" or (key.tag in {"", "!"} and key.plain)
        return key.implicit or key.tag == "!!merge"

    def _sources(self, value: Node) -> list[Node]:
        sources: list[Node] = list(value.items) if isinstance(value, Sequence) else [value]
        for source in sources:
            held = source.target if isinstance(source, Alias) else source
            # v1 reports an unknown anchor when it decodes the alias.
            if not isinstance(held, Mapping) and not (isinstance(source, Alias) and held is None):
                raise Failed(f"line {source.line}: `<<` requires a mapping or a list of mappings")
        return sources

    def _merge(self, value: Node, target: GoType, current: Any) -> Any:
        for source in reversed(self._sources(value)):
            _, current = self.node(source, target, current)
        return current

    def _merge_v3(self, parent: Mapping, value: Node, target: GoType, current: Any) -> Any:
        outer = self.merged
        if outer is None:
            self.merged = {self._plain(key) for key, _ in parent.pairs}
        for source in self._sources(value):
            _, current = self.node(source, target, current)
        self.merged = outer
        return current

    def _plain(self, key: Node) -> Any:
        """Return a key as go-yaml decodes it without a type: only text equals a field's name."""
        self._count()
        while isinstance(key, Alias) and key.target is not None:
            key = key.target
        if not isinstance(key, Scalar):
            raise Failed(f"line {key.line}: a key must be a scalar")
        value = self._resolved(key)
        return value if isinstance(value, str) else (type(value), value)
