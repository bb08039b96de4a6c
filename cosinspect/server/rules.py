"""The rulebook of each rule of the configuration, and the key under which its verdicts are stored today."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, date, datetime
from weakref import WeakKeyDictionary

from attrs import define, field

from cosinspect.errors import CosinspectError, InvalidConfiguration
from cosinspect.inspection.rulebook import Rulebook, load_keys, load_rulebook
from cosinspect.server.configuration import AdmissionRule
from cosinspect.signatures.keys import PublicKey

__all__ = ["Rulebooks"]


@define(eq=False)
class _RuleBook:
    """The rulebook and the fingerprints of one rule."""

    rulebook: Rulebook
    attesters: tuple[PublicKey, ...]
    day: date | None = None
    key: str = field(default="")

    def key_of(self, today: date) -> str:
        """Return the key of a day."""
        if today != self.day:
            fingerprints = " ".join(key.fingerprint for key in self.attesters)
            told = f"{self.rulebook.key(today)} {fingerprints}"
            self.key, self.day = hashlib.sha256(told.encode()).hexdigest(), today
        return self.key


class Rulebooks:
    """The rulebooks of rules. Files that rules name are read once; a key is valid for a day, because waivers expire by day.

    A rule has its rulebook while the rule is referenced: a request under an earlier configuration ends under it.

    Args:
        rules: of the configuration.
        platform: the platform that is selected from an index.

    Raises:
        InvalidConfiguration: a profile, a policy or a key that a rule names cannot be used.
    """

    def __init__(self, rules: tuple[AdmissionRule, ...], platform: str | None) -> None:
        self._books: WeakKeyDictionary[AdmissionRule, _RuleBook] = WeakKeyDictionary()
        for number, rule in enumerate(rules):
            try:
                signatures = load_keys(rule.verify_keys)
                rulebook = load_rulebook(
                    rule.profile, rule.policies, signatures=signatures, platform=platform
                )
                attesters = load_keys(rule.attestation_keys)
                self._books[rule] = _RuleBook(rulebook, attesters.keys if attesters else ())
            except CosinspectError as fault:
                raise InvalidConfiguration(str(fault), where=f"rules[{number}]") from fault

    def adopt(self, later: Rulebooks) -> None:
        """Add the rulebooks of a later configuration."""
        self._books.update(later._books)

    def rules(self) -> Iterable[AdmissionRule]:
        """Return the rules that are still referenced."""
        return list(self._books)

    def book(self, rule: AdmissionRule) -> Rulebook:
        """Return the rulebook of a rule."""
        return self._books[rule].rulebook

    def attesters(self, rule: AdmissionRule) -> tuple[PublicKey, ...]:
        """Return the keys whose attestations a rule accepts."""
        return self._books[rule].attesters

    def key(self, rule: AdmissionRule) -> str:
        """Return the key of a rule's verdicts."""
        return self._books[rule].key_of(datetime.now(UTC).date())
