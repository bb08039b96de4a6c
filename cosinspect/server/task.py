"""One inspection in a process of its own, whose memory and faults are no business of the one that answers requests."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from attrs import evolve, field, frozen

from cosinspect.cache import Cache, open_directory
from cosinspect.errors import CosinspectError
from cosinspect.inspection import inspect
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.render.findings import reasons, sentence
from cosinspect.report import Verdict
from cosinspect.server.configuration import Rule
from cosinspect.server.rules import rule_key, signature_policy
from cosinspect.sources.access import Access

__all__ = ["Outcome", "Task", "access_of", "attend", "perform"]

REASONS = 3
"""Reasons that a message has; the report has them all."""


@frozen
class Task:
    """An inspection that is to be made; a value that goes from one process to another.

    Attributes:
        name: the image, by its digest.
        rule: what is required of it.
        key: the rule's, as the one that asks knows it.
        platform: which image of an index; None for what this machine runs.
        seconds: what it may take.
        cache: directory or URL; None for none.
        beside: directory for what a cache by URL keeps here.
        plain_http: whether its registry is spoken to without TLS.
        environment: what says where credentials and mirrors are.
        authorization: header for the registry, in place of these credentials.
    """

    name: str
    rule: Rule
    key: str
    platform: str | None
    seconds: float
    cache: str | None
    beside: str
    plain_http: bool
    environment: Mapping[str, str] = field(repr=False, hash=False)
    authorization: str | None = field(default=None, repr=False)


@frozen
class Outcome:
    """How an inspection ended.

    Attributes:
        verdict: None where nothing could be decided.
        message: why, in one line.
        report: as JSON, empty without a verdict.
    """

    verdict: Verdict | None
    message: str
    report: bytes = b""


def perform(task: Task) -> Outcome:
    """Inspect; whatever happens is an outcome."""
    rule = task.rule
    try:
        if rule_key(rule, task.platform, datetime.now(UTC).date()) != task.key:
            return Outcome(None, "a profile, policy or key of the rule has changed since the server started")
        report = inspect(
            task.name,
            profile=rule.profile,
            policies=rule.policies,
            platform=task.platform,
            access=access_of(task),
            signatures=signature_policy(rule.verify_keys),
            limits=evolve(DEFAULT_LIMITS, seconds=task.seconds),
            cache=_cache(task.cache, task.beside),
        )
    except CosinspectError as fault:
        return Outcome(None, str(fault))
    except Exception as fault:  # noqa: BLE001 - the next inspection must not meet what this one did
        return Outcome(None, f"internal error: {type(fault).__name__}: {fault}")
    told = list(reasons(report))
    more = f"; and {len(told) - REASONS} more" if len(told) > REASONS else ""
    message = "; ".join([sentence(report), *told[:REASONS]]) + more
    return Outcome(report.verdict, message, json.dumps(report.to_dict()).encode())


def access_of(task: Task) -> Access:
    """Give how the image's registry is reached.

    Raises:
        InvalidAccess: settings of this machine cannot be used.
    """
    return evolve(
        Access.of_system(task.environment), plain_http=task.plain_http, authorization=task.authorization
    )


def attend(parent: int) -> None:
    """Make ready a process that inspects: the one that asks decides when it ends, and it does not outlive that one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    logging.getLogger("cosinspect").addHandler(logging.NullHandler())
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGKILL)


def _cache(place: str | None, beside: str) -> Cache | None:
    if place is None:
        return None
    if "://" not in place:
        return Cache(open_directory(Path(place), trusted=True))
    # Loaded by its name: few need it, and the extra may be missing.
    module = import_module("cosinspect.cache.shared")
    return Cache(module.open_shared(place, open_directory(Path(beside), trusted=True)))
