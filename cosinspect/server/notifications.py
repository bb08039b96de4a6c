"""Events of registries (CNCF distribution): pushed images are inspected before they are requested, so that admission finds the verdict.

A registry waits half a second for an answer, and holds back later events after an error. So every valid envelope is accepted at
once. The events that name an image of a rule start an inspection; the others are counted.
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
    """Handles events.

    Attributes:
        configuration: has the rules: an image that no rule matches is never fetched, for any host in an event.
        inspector: inspects.
        metrics: counts the effect of each event.
    """

    configuration: Configuration
    inspector: Inspector
    metrics: Metrics

    def answer(self, body: bytes) -> Reply:
        """Handle an envelope of events.

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
        return "queued" if any(taken) else "known or queue full"
