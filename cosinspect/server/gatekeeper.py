"""Gatekeeper's external data, externaldata.gatekeeper.sh/v1beta1: image names in, what is known of each out.

A constraint decides what it makes of an answer. As data each image is an object with `admitted`, `standing`, `digest` and
`message`; for mutation (`pin`) it is the name with the digest that was checked. What cannot be decided is an error of its key.
What is not decided yet is not an error but an object that is not admitted.

Gatekeeper keeps every answer by its key, for minutes, errors too (frameworks/constraint, pkg/externaldata/cache.go). So a key may
have marks after the name, each after a `#`: `channel` says that the tag is not known yet; any other makes it another key of the
same image, which is answered in less time.
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
"""What an answer to a key with a mark may take: it is asked after the one without, within the same 3 s of the webhook."""
CHANNEL = "channel"
_VALUES = (Standing.FAIL, Standing.PENDING, Standing.BUSY)
"""What is an answer though the image is not admitted."""


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
        gate: lets images pass.
        seconds: until an answer is due; Gatekeeper does not say how long it waits.
    """

    gate: Gate
    seconds: float

    async def answer(self, body: bytes, *, arrived: float, pin: bool) -> Reply:
        """Answer one request.

        Args:
            body: the document.
            arrived: when it came, by `time.monotonic`.
            pin: whether the values are names with digests, for mutation.

        Raises:
            Refusal: it is no request.
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
        # Asking again gives the same or more; Gatekeeper demands this of what it mutates by.
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
