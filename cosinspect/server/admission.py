"""Kubernetes's admission webhooks, admission.k8s.io/v1: objects are admitted if their images are; tags may be pinned."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

import msgspec
from attrs import frozen

from cosinspect.errors import InvalidObject
from cosinspect.kubernetes_images import ImageFields, NamedImage
from cosinspect.server.configuration import Configuration, Otherwise
from cosinspect.server.exchange import Refusal, Reply, parse_json, reply_json
from cosinspect.server.gate import Gate, Passage
from cosinspect.server.inspector import Standing
from cosinspect.server.journal import bind
from cosinspect.server.objects import SMALL, read_object
from cosinspect.wire_types import ready

__all__ = ["Admissions", "parse_timeout"]

_logger = logging.getLogger("cosinspect.server")

API_VERSION = "admission.k8s.io/v1"
KIND = "AdmissionReview"
WARNING = 240
"""The maximum length of a warning; the API server may cut warnings above 256 characters."""
MESSAGE = 4000
"""The maximum length of a denial."""
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_INSPECTED = ("CREATE", "UPDATE")
_OPERATIONS = (*_INSPECTED, "DELETE", "CONNECT")


class _GroupVersionKind(msgspec.Struct):
    kind: str
    group: str = ""
    version: str = ""


class _User(msgspec.Struct):
    username: str = ""


class _Request(msgspec.Struct, rename="camel"):
    uid: str
    kind: _GroupVersionKind
    operation: str
    namespace: str | None = None
    name: str | None = None
    sub_resource: str | None = None
    user_info: _User | None = None
    object: msgspec.Raw = msgspec.Raw(b"null")
    old_object: msgspec.Raw = msgspec.Raw(b"null")


class _Metadata(msgspec.Struct, rename="camel"):
    name: str = ""
    generate_name: str = ""


class _Named(msgspec.Struct):
    metadata: _Metadata


class _Review(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    request: _Request


@frozen
class Admissions:
    """Answers admission reviews.

    Attributes:
        configuration: has the decision for unknown objects.
        fields: where objects name images.
        gate: decides about images.
    """

    configuration: Configuration
    fields: ImageFields
    gate: Gate

    async def answer(self, body: bytes, *, patience: str | None, arrived: float, mutate: bool) -> Reply:
        """Answer one review.

        Args:
            body: the document.
            patience: the `timeout` of the request as a Go duration, or None.
            arrived: the time of arrival, by `time.monotonic`.
            mutate: whether to replace tags by the inspected digests.

        Raises:
            Refusal: the document is not a review.
        """
        review = parse_json(body, _Review, f"an {KIND} of {API_VERSION}")
        if len(body) > SMALL:
            await asyncio.sleep(0)  # reading a large object takes as long again: others are answered first
        if (review.api_version, review.kind) != (API_VERSION, KIND):
            raise Refusal(
                400,
                f"expected {KIND} of {API_VERSION}, found {review.kind[:60]!r} of {review.api_version[:60]!r}",
            )
        request = review.request
        if request.operation not in _OPERATIONS:
            raise Refusal(
                400,
                f"expected one of the operations {', '.join(_OPERATIONS)}, found {request.operation[:60]!r}",
            )
        until = arrived + self._patience(patience)
        namespace = request.namespace or ""
        bind(
            uid=request.uid,
            operation=request.operation,
            object=_named(request),
            namespace=namespace,
            user=request.user_info.username if request.user_info else "",
        )
        try:
            found = await self._images(request)
        except InvalidObject as fault:
            if not self.configuration.enforces(namespace):
                _logger.info("object admitted with a warning", extra={"reason": str(fault)})
                return _warned(request.uid, f"cosinspect: {fault}")
            _logger.info("object refused", extra={"reason": str(fault)})
            return _denied(request.uid, str(fault))
        except LookupError as fault:
            if self.configuration.admission.unlisted is Otherwise.ADMIT:
                return _reply(request.uid, {"allowed": True})
            _logger.info("object refused", extra={"reason": str(fault.args[0])})
            return _denied(request.uid, str(fault.args[0]))
        images = tuple(image for image in found if not image.ignored)
        wanted = list(dict.fromkeys((image.name, image.unresolved) for image in images))
        protocol = "mutate" if mutate else "admission"
        asked = [
            self.gate.admit(name, namespace, until=until, protocol=protocol, unresolved=why)
            for name, why in wanted
        ]
        passages = dict(zip(wanted, await asyncio.gather(*asked), strict=True))
        ignored = [f"cosinspect: {image.name}: {image.ignored}" for image in found if image.ignored]
        return self._answered(request, images, passages, ignored, mutate=mutate)

    def _patience(self, told: str | None) -> float:
        """Return the seconds until an answer is due, which is before the API server's timeout."""
        patience = self.configuration.admission.seconds
        if told is not None:
            patience = parse_timeout(told)
            patience -= min(1.0, patience / 5)
        return patience

    async def _images(self, request: _Request) -> tuple[NamedImage, ...]:
        """Return the images to decide.

        Raises:
            InvalidObject: the object does not name its images properly.
            LookupError: the kind of object is unknown.
        """
        if request.operation not in _INSPECTED:
            return ()
        group, kind = request.kind.group, request.kind.kind
        if not self.fields.knows(group, kind):
            if (
                request.sub_resource
            ):  # Scale, Eviction, Binding: what a request for a part of an object sends names no image
                return ()
            told = f"{kind[:100]} of {group[:100] or 'the core group'}"
            raise LookupError(f"the paths of images in a {told} are not known: add it under kinds")
        body, before = self._objects(request)
        if (
            not request.name and memoryview(request.object).nbytes > SMALL
        ):  # `_named` has not read it a second time
            bind(object=_qualified(request, _name_in(body)))
        # A change of labels does not decide running images again, and an object that is being deleted must be able to
        # lose its finalizers. An object that is created is always decided.
        if request.operation == "UPDATE" and (
            _is_deleted(body) or self._brings_nothing(group, kind, body, before)
        ):
            return ()
        images = await self._find(group, kind, body)
        if request.operation == "UPDATE" and before is not None:
            try:
                old = {image.name for image in await self._find(group, kind, before)}
            except InvalidObject:
                old = set()
            images = tuple(image for image in images if image.name not in old)
        return images

    def _objects(self, request: _Request) -> tuple[Any, Any]:
        """Return the object and its earlier state; a state is None if it is absent or cannot be read.

        Raises:
            InvalidObject: the object cannot be read.
        """
        group, kind = request.kind.group, request.kind.kind
        if request.operation != "UPDATE":
            return read_object(request.object, group, kind, self.fields), None
        try:
            before = read_object(request.old_object, group, kind, self.fields)
        except InvalidObject:
            if bytes(request.object) == bytes(request.old_object):
                return {}, {}
            before = None
        return read_object(request.object, group, kind, self.fields), before

    def _brings_nothing(self, group: str, kind: str, body: object, before: object) -> bool:
        """Return whether an update changes no field that may name an image; configured paths may lead to any field."""
        if self.fields.is_slow(group, kind):
            return bool(body == before)
        return bool(_content(body) == _content(before))

    async def _find(self, group: str, kind: str, body: object) -> tuple[NamedImage, ...]:
        """Find the images of an object; JSONPaths of the configuration are evaluated outside of the event loop."""
        if self.fields.is_slow(group, kind):
            return await asyncio.to_thread(self.fields.find, group, kind, body)
        return self.fields.find(group, kind, body)

    def _answered(
        self,
        request: _Request,
        images: tuple[NamedImage, ...],
        passages: dict[tuple[str, str], Passage],
        ignored: list[str],
        *,
        mutate: bool,
    ) -> Reply:
        told = [f"{each.name}={each.standing}" for each in passages.values()]
        annotations = {"images": "; ".join(told)[:MESSAGE]} if told else {}
        refused = [each for each in passages.values() if not each.admitted]
        if refused:
            waiting = [each for each in refused if each.standing in ("pending", "busy")]
            count = f"{len(refused)} of {len(passages)} images" if len(passages) > 1 else "the image"
            text = f"cosinspect does not admit {count}: " + "; ".join(each.message for each in refused)
            return _denied(request.uid, text, annotations, code=503 if len(waiting) == len(refused) else 403)
        response: dict[str, Any] = {"allowed": True}
        warnings = [
            *(f"cosinspect: {each.warning}" for each in passages.values() if each.warning),
            *ignored,
        ]
        if mutate:
            patch = []
            for image in images:
                decision = passages[image.name, image.unresolved].decision
                if decision is None or decision.digest is None or "@" in image.written:
                    continue
                if image.unpinnable:
                    warnings.append(f"cosinspect: {image.name} is not pinned: {image.unpinnable}")
                elif decision.standing is Standing.PASS:
                    pinned = f"{image.written}@{decision.digest}"
                    patch.append({"op": "replace", "path": image.pointer, "value": pinned})
            if patch:
                response |= {"patchType": "JSONPatch", "patch": msgspec.json.encode(patch)}
        if warnings:
            response["warnings"] = [_cut(each, WARNING) for each in warnings]
        if annotations:
            response["auditAnnotations"] = annotations
        return _reply(request.uid, response)


def parse_timeout(text: str) -> float:
    """Read a duration as Go writes it (`10s`, `1m30s`), in seconds.

    Raises:
        Refusal: it is invalid, or too long to wait for.
    """
    end, seconds = 0, 0.0
    for part in _DURATION.finditer(text[:64]):
        if part.start() != end:
            break
        end = part.end()
        seconds += float(part[1]) * _UNITS[part[2]]
    if end != len(text) or not 0 < seconds <= 3600:
        raise Refusal(400, f"expected a timeout such as 10s, found {text[:64]!r}")
    return seconds


def _named(request: _Request) -> str:
    """Name an object as `kubectl` does; an object that is created may only have a prefix of a name."""
    name = request.name or ""
    if not name and memoryview(request.object).nbytes <= SMALL:
        try:
            metadata = msgspec.json.decode(request.object, type=ready(_Named)).metadata
            name = metadata.name or metadata.generate_name
        except msgspec.MsgspecError:
            name = ""
    return _qualified(request, name)


def _qualified(request: _Request, name: str) -> str:
    return f"{request.kind.kind[:100]}/{name[:253]}"


def _name_in(body: object) -> str:
    metadata = _metadata_of(body)
    found = metadata.get("name") or metadata.get("generateName")
    return found if isinstance(found, str) else ""


def _denied(uid: str, message: str, annotations: dict[str, str] | None = None, *, code: int = 403) -> Reply:
    reason = {403: "Forbidden", 503: "ServiceUnavailable"}[code]
    status = {"code": code, "reason": reason, "message": _cut(message, MESSAGE)}
    response: dict[str, Any] = {"allowed": False, "status": status}
    if annotations:
        response["auditAnnotations"] = annotations
    return _reply(uid, response)


def _warned(uid: str, message: str) -> Reply:
    return _reply(uid, {"allowed": True, "warnings": [_cut(message, WARNING)]})


def _is_deleted(body: object) -> bool:
    return bool(_metadata_of(body).get("deletionTimestamp"))


def _metadata_of(body: object) -> dict[str, Any]:
    metadata = body.get("metadata") if isinstance(body, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def _content(body: object) -> object:
    """Return an object without fields, other than images, that controllers and users change."""
    if not isinstance(body, dict):
        return body
    return {key: value for key, value in body.items() if key not in ("metadata", "status")}


def _reply(uid: str, response: dict[str, Any]) -> Reply:
    return reply_json({"apiVersion": API_VERSION, "kind": KIND, "response": {"uid": uid, **response}})


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
