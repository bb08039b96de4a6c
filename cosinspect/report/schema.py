"""JSON Schemas of what other programs read; each is made from the type that reads the document again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

__all__ = ["document_schema"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PREFIX = "_Wire"


def document_schema(*kinds: type, title: str) -> dict[str, Any]:
    """Return the schema of a document in the dialect 2020-12.

    Args:
        kinds: the structures that documents are read into; a document has one of them.
        title: of the schema, such as `cosinspect.report/1`.
    """
    references, parts = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    names = {}
    for name in parts:
        short = name.removeprefix(_PREFIX)
        names[name] = short if short == name or short not in parts else f"{short}Record"
    named = {names[name]: _plain(part, names) for name, part in parts.items()}
    found = [_plain(each, names) for each in references]
    whole = found[0] if len(found) == 1 else {"anyOf": found}
    return {"$schema": DIALECT, "title": title, **whole, "$defs": named}


def _plain(value: Any, names: Mapping[str, str]) -> Any:
    """Return a part of a schema without the names and docstrings that types have in the code."""
    if isinstance(value, list):
        return [_plain(each, names) for each in value]
    if not isinstance(value, dict):
        return value
    made = {}
    for key, each in value.items():
        if key == "$ref":
            place, _, name = each.rpartition("/")
            made[key] = f"{place}/{names[name]}"
        elif key not in ("title", "description") or isinstance(each, dict):  # a property may have such a name
            made[key] = _plain(each, names)
    return made
