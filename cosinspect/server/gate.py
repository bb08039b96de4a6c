"""From what is known of an image to whether it is admitted: the rule that fits, its mode, and what the configuration says of doubt."""

from __future__ import annotations

from attrs import frozen

from cosinspect.errors import CosinspectError
from cosinspect.oci.reference import Reference
from cosinspect.server.configuration import Configuration, Mode, Otherwise
from cosinspect.server.inspector import Decision, Inspector, Standing
from cosinspect.server.metrics import Metrics

__all__ = ["Gate", "Passage"]


@frozen
class Passage:
    """Whether an image is admitted.

    Attributes:
        admitted: whether.
        warning: what to tell whoever asked though it is, "" for nothing.
        decision: what is known of the image, None where it was not looked at.
        message: why it is not admitted, else "".
        name: the image as it was asked for.
    """

    name: str
    admitted: bool
    message: str = ""
    warning: str = ""
    decision: Decision | None = None

    @property
    def standing(self) -> str:
        """What is known of the image, in a word."""
        return self.decision.standing.value if self.decision is not None else "skipped"


class Gate:
    """Lets images pass by the rules of a configuration."""

    def __init__(self, configuration: Configuration, inspector: Inspector, metrics: Metrics) -> None:
        self._configuration = configuration
        self._inspector = inspector
        self._metrics = metrics

    async def admit(
        self, name: str, namespace: str, *, until: float, protocol: str, unresolved: str = ""
    ) -> Passage:
        """Return whether an image is admitted, by `until`. The rule that fits is looked up before the image is judged.

        Args:
            name: of an image in a registry.
            namespace: that it is asked for in, "" outside of any.
            until: when an answer is due, by `time.monotonic`.
            protocol: that it is asked by, for the metrics.
            unresolved: why the name has no tag yet; the repository decides the rule then, and nothing is inspected.
        """
        doubt = self._configuration.admission
        try:
            reference = Reference.parse(name)
        except CosinspectError as fault:
            decision = Decision(name, Standing.UNDECIDED, str(fault))
            return self._passage(decision, doubt.undecided is Otherwise.ADMIT, protocol)
        rule = self._configuration.rule(reference, namespace)
        if rule is None:
            if doubt.unmatched is Otherwise.ADMIT:
                return Passage(name, admitted=True)
            where = f" in the namespace {namespace}" if namespace else ""
            return Passage(name, admitted=False, message=f"{reference}: no rule speaks of it{where}")
        if rule.mode is Mode.SKIP:
            return Passage(name, admitted=True)
        if unresolved:
            text = f"{reference.registry}/{reference.repository}: {unresolved}, so it cannot be inspected now"
            admitted = rule.mode is Mode.WARN or doubt.unresolved is Otherwise.ADMIT
            return self._passage(Decision(name, Standing.UNDECIDED, text), admitted, protocol)
        decision = await self._inspector.decide(name, rule, until=until)
        admits = {
            Standing.PASS: True,
            Standing.FAIL: False,
            Standing.UNDECIDED: doubt.undecided is Otherwise.ADMIT,
            Standing.PENDING: doubt.pending is Otherwise.ADMIT,
            Standing.BUSY: doubt.pending is Otherwise.ADMIT,
        }
        return self._passage(decision, admits[decision.standing] or rule.mode is Mode.WARN, protocol)

    def _passage(self, decision: Decision, admitted: bool, protocol: str) -> Passage:
        self._metrics.decisions.labels(protocol, decision.standing.value).inc()
        passed = decision.standing is Standing.PASS
        return Passage(
            decision.name,
            admitted,
            message="" if admitted else decision.message,
            warning=decision.message if admitted and not passed else "",
            decision=decision,
        )
