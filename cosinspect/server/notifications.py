"""Events of registries (CNCF distribution): what is pushed is inspected before anybody asks, so that admission only looks it up.

A registry waits half a second for an answer and queues up after one that it does not like. So whatever is an envelope of events
is taken at once; what of it is worth an inspection is found out here, and the rest counted.
"""

from __future__ import annotations

from typing import Any

import msgspec
from attrs import frozen

from cosinspect.errors import CosinspectError
from cosinspect.oci.documents import INDEX_TYPES, MANIFEST_TYPES
from cosinspect.oci.reference import Reference
from cosinspect.server.configuration import Configuration, Mode
from cosinspect.server.exchange import Reply, parse_json
from cosinspect.server.inspector import Inspector
from cosinspect.server.metrics import Metrics
from cosinspect.wire_types import ready

__all__ = ["Notifications"]

_IMAGES = frozenset((*INDEX_TYPES, *MANIFEST_TYPES))


class _Envelope(msgspec.Struct):
    events: list[Any]


class _Target(msgspec.Struct, rename={"media_type": "mediaType"}):
    media_type: str
    digest: str
    repository: str


class _NotificationRequest(msgspec.Struct):
    host: str


class _Event(msgspec.Struct):
    action: str
    target: _Target
    request: _NotificationRequest


@frozen
class Notifications:
    """Takes events.

    Attributes:
        configuration: which images are worth it: what no rule fits is never fetched, whatever host an event names.
        inspector: inspects.
        metrics: told what became of each.
    """

    configuration: Configuration
    inspector: Inspector
    metrics: Metrics

    def answer(self, body: bytes) -> Reply:
        """Take an envelope of events.

        Raises:
            Refusal: it is not one.
        """
        for event in parse_json(body, _Envelope, "an envelope of events").events:
            self.metrics.events.labels(self._take(event)).inc()
        return Reply(status=202)

    def _take(self, value: Any) -> str:
        try:
            event = msgspec.convert(value, ready(_Event))
        except (msgspec.ValidationError, RecursionError):
            return "malformed"
        if event.action != "push" or event.target.media_type not in _IMAGES:
            return "uninteresting"
        try:
            name = f"{event.request.host}/{event.target.repository}@{event.target.digest}"
            reference = Reference.parse(name)
        except CosinspectError:
            return "malformed"
        rules = dict.fromkeys(
            rule for rule in self.configuration.rules if rule.mode is not Mode.SKIP and rule.names(reference)
        )
        if not rules:
            return "unmatched"
        taken = [self.inspector.prefetch(reference, rule) for rule in rules]
        return "queued" if any(taken) else "known or no room"
