"""The document of a policy: TOML in, a `Policy` or every mistake out."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from attrs import field, frozen

from cosinspect.checks.base import Check
from cosinspect.errors import InvalidPolicy
from cosinspect.mistakes import Mistakes, read_document
from cosinspect.policy.rules import FileRule, LabelRule, PackageRule, PolicyRule, SizeRule, check_of
from cosinspect.report.report import Capability, Level, Waiver

__all__ = ["Policy", "load_policy", "parse_policy", "read_policy"]


@frozen
class Policy:
    """Requirements beyond a profile, and waivers.

    Attributes:
        name: for reports.
        required: further required capabilities.
        levels: levels of checks by id.
        checks: the rules, as checks.
        waivers: not yet compared with a day.
        where: the file it came from.
        digest: of its text.
        strict: whether warnings fail.
    """

    name: str
    required: tuple[Capability, ...]
    levels: Mapping[str, Level] = field(hash=False)
    checks: tuple[Check, ...]
    waivers: tuple[Waiver, ...]
    where: str
    digest: str
    strict: bool = False


class _WireWaiver(msgspec.Struct):
    check: str
    reason: Annotated[str, msgspec.Meta(min_length=3)]
    expires: dt.date
    path: str = ""


_RULES: dict[str, type[PolicyRule]] = {
    "files": FileRule,
    "packages": PackageRule,
    "labels": LabelRule,
    "sizes": SizeRule,
}
_TOP = ("name", "required", "levels", *_RULES, "waivers", "strict")


class _WirePolicy(msgspec.Struct):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=60)]
    required: list[Capability] = []
    levels: dict[str, Any] = {}
    files: list[Any] = []
    packages: list[Any] = []
    labels: list[Any] = []
    sizes: list[Any] = []
    waivers: list[Any] = []
    strict: bool = False


def load_policy(path: str | os.PathLike[str]) -> Policy:
    """Read a policy from a file.

    Raises:
        InvalidPolicy: the file cannot be read, or has mistakes; the message lists each with its line and key.
    """
    return parse_policy(read_policy(path), str(path))


def parse_policy(text: str, where: str) -> Policy:
    """Read a policy from TOML.

    Args:
        text: the document.
        where: the file, for messages.

    Raises:
        InvalidPolicy: the document has mistakes; as `load_policy`.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as fault:  # ValueError: also a number too long
        raise InvalidPolicy(f"expected TOML: {fault}", where=where) from fault
    mistakes = Mistakes.of(where, text)
    top = mistakes.convert(_WirePolicy, document, ())
    if isinstance(levels := document.get("levels"), dict):
        for check, level in levels.items():
            if level not in [known.value for known in Level]:
                mistakes.add(
                    ("levels", check), f"expected error or warning or note, found {str(level)[:40]!r}"
                )
    if top is None:
        # The readable part is verified anyway, so that all mistakes are reported at once.
        kept = {key: document[key] for key in (*_RULES, "waivers") if isinstance(document.get(key), list)}
        top = _WirePolicy("-", **kept)
    checks: list[Check] = []
    for kind, structure in _RULES.items():
        for number, value in enumerate(getattr(top, kind)):
            key = (kind, number)
            rule = mistakes.convert(structure, value, key, structure.parsers())
            if rule is not None:
                for name, message in rule.problems().items():
                    mistakes.add((*key, name), message)
                if rule.id in {item.id for item in checks}:
                    mistakes.add((*key, "id"), f"expected a unique id, {rule.id} belongs to another rule")
                else:
                    checks.append(check_of(rule))
    waivers = list(_waivers(top.waivers, mistakes))
    mistakes.end()
    return Policy(
        top.name,
        tuple(dict.fromkeys(top.required)),
        {check: Level(level) for check, level in top.levels.items()},
        tuple(checks),
        tuple(waivers),
        where,
        hashlib.sha256(text.encode()).hexdigest(),
        top.strict,
    )


def _waivers(values: Iterable[object], mistakes: Mistakes) -> Iterable[Waiver]:
    for number, value in enumerate(values):
        wire = mistakes.convert(_WireWaiver, value, ("waivers", number))
        if wire is not None:
            yield Waiver(wire.check, " ".join(wire.reason.split()), wire.expires, wire.path)


def read_policy(path: str | os.PathLike[str]) -> str:
    """Read the text of a policy.

    Raises:
        InvalidPolicy: the file cannot be read, or is not text.
    """
    return read_document(Path(path), "policy", InvalidPolicy)
