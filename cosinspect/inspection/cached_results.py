"""The results of the checks of an image as a value in the cache: the same image, rules and code give the same results.

They are stored under the digest of the manifest, which identifies everything that was read.
"""

from __future__ import annotations

import msgspec
from attrs import frozen

from cosinspect.cache.code import code_digest
from cosinspect.checks import CATALOGUE
from cosinspect.image.image import Image
from cosinspect.policy import Plan
from cosinspect.report.report import CheckResult
from cosinspect.signatures.outcome import Verification
from cosinspect.wire_types import ready

__all__ = ["Results", "load_results", "store_results"]

KIND = "results"


@frozen
class Results:
    """The results of the checks.

    Attributes:
        generation: of the toolkit in the image, as in the report.
        entries: names in the merged tree.
        results: one for each check, in the catalogue's order.
        installed: the generation of the image that the machine runs before the upgrade, "" if there is none.
    """

    generation: str
    entries: int
    results: tuple[CheckResult, ...]
    installed: str = ""


def load_results(
    image: Image, plan: Plan, verification: Verification | None, origin: Image | None = None
) -> Results | None:
    """Return the cached results for the image with the same rules, and the same `origin` of an upgrade; or None."""
    parts = _parts(image, plan, verification, origin) if image.cache is not None else None
    if image.cache is None or parts is None:
        return None
    value = image.cache.value(KIND, *parts)
    if value is None:
        return None
    try:
        return msgspec.msgpack.decode(value, type=ready(Results))
    except msgspec.DecodeError:  # an invented file
        return None


def store_results(
    checked: Results,
    image: Image,
    plan: Plan,
    verification: Verification | None,
    origin: Image | None = None,
) -> None:
    """Store the results for an image, unless plugins took part or a check is open for a transient reason."""
    parts = _parts(image, plan, verification, origin) if image.cache is not None else None
    if image.cache is None or parts is None or any(result.transient for result in checked.results):
        return
    try:
        value = msgspec.msgpack.encode(checked)
    except UnicodeEncodeError:  # a result has a name that is not UTF-8
        return
    image.cache.keep_value(value, KIND, *parts)


def _parts(
    image: Image, plan: Plan, verification: Verification | None, origin: Image | None
) -> tuple[bytes, ...] | None:
    """Return everything that decides the results, None if unknown code takes part."""
    verified = all(layer.verify_diff_id for layer in image.layers)
    own = {id(item) for item in CATALOGUE}
    others = sum(id(item) not in own for item in plan.checks)
    if not verified or others > plan.rules:
        return None
    rules = {
        "manifest": str(image.digest),
        "choice": [str(image.index_digest), str(image.choice.wanted)] if image.choice is not None else None,
        "bounds": {**_plain(image.limits), "seconds": 0.0},
        "profile": _plain(plan.profile),
        "policies": list(plan.digests),
        "signatures": verification.to_dict() if verification is not None else None,
        "build": _plain(plan.build) if plan.build is not None else None,
        "checks": [item.id for item in plan.checks],
        "origin": [origin.name, str(origin.digest)] if origin is not None else None,
    }
    return code_digest(), msgspec.json.encode(rules, order="deterministic")


def _plain(value: object) -> dict[str, object]:
    found: dict[str, object] = msgspec.to_builtins(value)
    return found
