"""Gatekeeper's external data, externaldata.gatekeeper.sh/v1beta1: image names in, one answer for each out.

A constraint interprets the answers. For validation, each answer is an object with `admitted`, `standing`, `digest` and `message`.
For mutation (`pin`), it is the name with the checked digest. An image that cannot be decided is an error of its key. An image
that is not decided yet is not an error, but an object that is not admitted.

Gatekeeper caches every answer by its key for minutes, errors too (frameworks/constraint, pkg/externaldata/cache.go). So a key may
have marks after the name, each after a `#`: `channel` says that the tag is not known yet; any other mark makes a different key of
the same image, which is answered in less time.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from attrs import frozen

from cosinspect.server.exchange import Refusal, Reply, parse_json, reply_json
from cosinspect.server.gate import Gate, Passage
from cosinspect.server.inspector import Standing

__all__ = ["Provider"]

API_VERSION = "externaldata.gatekeeper.sh/v1beta1"
MOST_KEYS = 500
AGAIN_SECONDS = 1.0
"""The time limit of an answer to a key with a mark: it is requested after the key without one, within the same 3 s of the webhook."""
CHANNEL = "channel"
_VALUES = (Standing.FAIL, Standing.PENDING, Standing.BUSY)
"""States that are an answer although the image is not admitted."""


class _Keys(msgspec.Struct):
    keys: Annotated[list[str], msgspec.Meta(max_length=MOST_KEYS)]


class _ProviderRequest(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    request: _Keys


@frozen
class Provider:
    """Answers requests of Gatekeeper.

    Attributes:
        gate: decides whether images are admitted.
        seconds: until an answer is due; Gatekeeper's requests do not state a timeout.
    """

    gate: Gate
    seconds: float

    async def answer(self, body: bytes, *, arrived: float, pin: bool) -> Reply:
        """Answer one request.

        Args:
            body: the document.
            arrived: the time of arrival, by `time.monotonic`.
            pin: whether the values are names with digests, for mutation.

        Raises:
            Refusal: it is not a request.
        """
        asked = parse_json(body, _ProviderRequest, f"a ProviderRequest of {API_VERSION}")
        if (asked.api_version, asked.kind) != (API_VERSION, "ProviderRequest"):
            raise Refusal(
                400,
                f"expected ProviderRequest of {API_VERSION}, found {asked.kind[:60]!r} of {asked.api_version[:60]!r}",
            )
        keys = list(dict.fromkeys(asked.request.keys))
        passages = await asyncio.gather(*(self._passage(key, arrived) for key in keys))
        told = zip(keys, passages, strict=True)
        items = [{"key": key, **(_pinned(each) if pin else _item(each))} for key, each in told]
        # The same request gets the same answer or a better one; Gatekeeper requires that of mutations.
        response = {"idempotent": True, "items": items}
        return reply_json({"apiVersion": API_VERSION, "kind": "ProviderResponse", "response": response})

    async def _passage(self, key: str, arrived: float) -> Passage:
        name, *marks = key.split("#")
        seconds = min(self.seconds, AGAIN_SECONDS) if set(marks) - {CHANNEL} else self.seconds
        unresolved = "its tag comes from a channel" if CHANNEL in marks else ""
        return await self.gate.admit(
            name, "", until=arrived + seconds, protocol="gatekeeper", unresolved=unresolved
        )


def _item(passage: Passage) -> dict[str, Any]:
    decision = passage.decision
    known = decision is not None and decision.standing in _VALUES
    if not passage.admitted and not known:
        return {"error": passage.message}
    value = {
        "admitted": passage.admitted,
        "standing": passage.standing,
        "digest": decision.digest if decision else None,
        "message": passage.message or passage.warning,
    }
    return {"value": value}


def _pinned(passage: Passage) -> dict[str, Any]:
    decision = passage.decision
    if not passage.admitted:
        return {"error": passage.message}
    passed = decision is not None and decision.standing is Standing.PASS and decision.digest is not None
    if decision is None or not passed or "@" in passage.name:
        return {"value": passage.name}
    return {"value": f"{passage.name}@{decision.digest}"}
