"""What the checks said of an image, as a value that can be kept: the same image, rules and code give the same again.

A judgement holds for the digest of a manifest, which names everything that was read.
"""

from __future__ import annotations

import msgspec
from attrs import frozen

from cosinspect.cache.code import code_digest
from cosinspect.checks import CATALOGUE
from cosinspect.checks.base import Check
from cosinspect.image import Image
from cosinspect.profiles import Profile
from cosinspect.report import CheckResult
from cosinspect.signatures.outcome import Verification

__all__ = ["Judgement", "keep_judgement", "known_judgement"]

KIND = "judgement"


@frozen
class Judgement:
    """What the checks said.

    Attributes:
        generation: of the toolkit in the image, as in the report.
        entries: names in the merged tree.
        results: one for each check, in the catalogue's order.
    """

    generation: str
    entries: int
    results: tuple[CheckResult, ...]


def known_judgement(
    image: Image, profile: Profile, verification: Verification | None, checks: tuple[Check, ...]
) -> Judgement | None:
    """Give what the checks said of the image before, by the same rules; None if that is not known."""
    parts = _parts(image, profile, verification, checks)
    if image.cache is None or parts is None:
        return None
    value = image.cache.value(KIND, *parts)
    if value is None:
        return None
    try:
        return msgspec.msgpack.decode(value, type=Judgement)
    except msgspec.DecodeError:  # a file that somebody made up
        return None


def keep_judgement(
    judgement: Judgement,
    image: Image,
    profile: Profile,
    verification: Verification | None,
    checks: tuple[Check, ...],
) -> None:
    """Keep what the checks said of an image, if it is theirs alone to say."""
    parts = _parts(image, profile, verification, checks)
    if image.cache is None or parts is None:
        return
    try:
        value = msgspec.msgpack.encode(judgement)
    except UnicodeEncodeError:  # a name that is not UTF-8 is told in it
        return
    image.cache.keep_value(value, KIND, *parts)


def _parts(
    image: Image, profile: Profile, verification: Verification | None, checks: tuple[Check, ...]
) -> tuple[bytes, ...] | None:
    """Give everything that decides a judgement, None where code has a part in it that is not known."""
    verified = all(layer.verify_diff_id for layer in image.layers)
    if not verified or not {id(item) for item in checks} <= {id(item) for item in CATALOGUE}:
        return None
    rules = {
        "manifest": str(image.digest),
        "bounds": {**_plain(image.limits), "seconds": 0.0},
        "profile": _plain(profile),
        "signatures": verification.to_dict() if verification is not None else None,
        "checks": [item.id for item in checks],
    }
    return code_digest(), msgspec.json.encode(rules, order="deterministic")


def _plain(value: object) -> dict[str, object]:
    found: dict[str, object] = msgspec.to_builtins(value)
    return found
