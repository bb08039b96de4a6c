"""The decision to admit an image, from its verdict: the rule that matches, its mode, and the configured decisions without a verdict."""

from __future__ import annotations

import logging
import time

from attrs import frozen

from cosinspect.errors import CosinspectError
from cosinspect.oci.reference import Reference
from cosinspect.server.configuration import AdmissionRule, Configuration, Mode, Otherwise
from cosinspect.server.inspector import Decision, Inspector, Standing
from cosinspect.server.metrics import Metrics

__all__ = ["Gate", "Passage"]

_logger = logging.getLogger("cosinspect.server")

UNMATCHED = "unmatched"
"""The name of rule and mode for an image that no rule matches."""


@frozen
class Passage:
    """Whether an image is admitted.

    Attributes:
        admitted: whether it is admitted.
        warning: a warning for the client about an admitted image, or "".
        decision: what is known about the image, None if it was not inspected.
        message: why it is not admitted, or "".
        name: the image as it was requested.
        rule: the rule that matches the image, None if none does or the name is invalid.
    """

    name: str
    admitted: bool
    message: str = ""
    warning: str = ""
    decision: Decision | None = None
    rule: AdmissionRule | None = None

    @property
    def standing(self) -> str:
        """What is known about the image, in one word."""
        return self.decision.standing.value if self.decision is not None else "skipped"


class Gate:
    """Decides whether images are admitted, by the rules of a configuration."""

    def __init__(self, configuration: Configuration, inspector: Inspector, metrics: Metrics) -> None:
        self._configuration = configuration
        self._inspector = inspector
        self._metrics = metrics

    async def admit(
        self, name: str, namespace: str, *, until: float, protocol: str, unresolved: str = ""
    ) -> Passage:
        """Return whether an image is admitted, by `until`. The rule is selected before the image is inspected.

        Args:
            name: of an image in a registry.
            namespace: of the request, "" if there is none.
            until: when an answer is due, by `time.monotonic`.
            protocol: of the request, for the metrics.
            unresolved: why the name has no tag yet; then the repository selects the rule, and the image is not inspected.
        """
        started = time.monotonic()
        passage = await self._admitted(name, namespace, until, unresolved)
        self._record(passage, protocol, time.monotonic() - started)
        return passage

    async def _admitted(self, name: str, namespace: str, until: float, unresolved: str) -> Passage:
        doubt = self._configuration.admission
        try:
            reference = Reference.parse(name)
        except CosinspectError as fault:
            decision = Decision(name, Standing.UNDECIDED, str(fault))
            return _passage(decision, doubt.undecided is Otherwise.ADMIT, None)
        rule = self._configuration.rule(reference, namespace)
        if rule is None:
            if doubt.unmatched is Otherwise.ADMIT:
                return Passage(name, admitted=True)
            where = f" in the namespace {namespace}" if namespace else ""
            return Passage(name, admitted=False, message=f"{reference}: no rule matches it{where}")
        if rule.mode is Mode.SKIP:
            return Passage(name, admitted=True, rule=rule)
        if unresolved:
            text = f"{reference.registry}/{reference.repository}: {unresolved}, so it cannot be inspected now"
            admitted = rule.mode is Mode.WARN or doubt.unresolved is Otherwise.ADMIT
            return _passage(Decision(name, Standing.UNDECIDED, text), admitted, rule)
        decision = await self._inspector.decide(name, rule, until=until)
        admits = {
            Standing.PASS: True,
            Standing.FAIL: False,
            Standing.UNDECIDED: doubt.undecided is Otherwise.ADMIT,
            Standing.PENDING: doubt.pending is Otherwise.ADMIT,
            Standing.BUSY: doubt.pending is Otherwise.ADMIT,
        }
        return _passage(decision, admits[decision.standing] or rule.mode is Mode.WARN, rule)

    def _record(self, passage: Passage, protocol: str, seconds: float) -> None:
        """Count a decision, and write its line of the log."""
        rule, decision = passage.rule, passage.decision
        name, mode = (rule.name, rule.mode.value) if rule is not None else (UNMATCHED, UNMATCHED)
        verdict = UNMATCHED if rule is None and decision is None else passage.standing
        admitted = "yes" if passage.admitted else "no"
        self._metrics.decisions.labels(protocol, name, mode, verdict, admitted).inc()
        level = logging.DEBUG if decision is None and passage.admitted else logging.INFO
        _logger.log(
            level,
            "decision",
            extra={
                "protocol": protocol,
                "image": passage.name,
                "digest": decision.digest if decision else None,
                "verdict": verdict,
                "admitted": passage.admitted,
                "rule": name,
                "mode": mode,
                "milliseconds": round(1000 * seconds, 1),
                "reason": passage.message or passage.warning,
            },
        )


def _passage(decision: Decision, admitted: bool, rule: AdmissionRule | None) -> Passage:
    passed = decision.standing is Standing.PASS
    return Passage(
        decision.name,
        admitted,
        message="" if admitted else decision.message,
        warning=decision.message if admitted and not passed else "",
        decision=decision,
        rule=rule,
    )
