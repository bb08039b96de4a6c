"""The events and tokens of YAML parsers, counted over all files of an image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from cosinspect.deadline import spend, take
from cosinspect.limits import Limits

__all__ = ["counted_events"]

_BATCH = 64  # events per count, so that many small files are bounded too


def counted_events(events: Iterable[Any], limits: Limits) -> Iterator[Any]:
    """Yield the events of a parser, and count them for the whole image.

    Raises:
        LimitExceeded: the YAML files of the image have more than `Limits.yaml_events`.
    """
    for number, event in enumerate(events):
        if number % _BATCH == 0:
            spend(_BATCH)
            take("yaml_events", _BATCH, limits.yaml_events, "parts of YAML files", "YAML")
        yield event
