"""What each rule of the configuration comes to: the rulebook that it names, and the key under which its verdicts are kept today."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from cosinspect.errors import CosinspectError, InvalidConfiguration
from cosinspect.inspection.rulebook import Rulebook, load_keys, load_rulebook
from cosinspect.server.configuration import AdmissionRule
from cosinspect.signatures.keys import PublicKey

__all__ = ["Rulebooks"]


class Rulebooks:
    """The rules' rulebooks; files that rules name are read once, a key holds for a day, since a waiver does.

    Args:
        rules: of the configuration.
        platform: which image of an index is meant.

    Raises:
        InvalidConfiguration: a profile, a policy or a key that a rule names cannot be used.
    """

    def __init__(self, rules: tuple[AdmissionRule, ...], platform: str | None) -> None:
        self._books: dict[AdmissionRule, Rulebook] = {}
        self._attesters: dict[AdmissionRule, tuple[PublicKey, ...]] = {}
        for number, rule in enumerate(rules):
            try:
                signatures = load_keys(rule.verify_keys)
                self._books[rule] = load_rulebook(
                    rule.profile, rule.policies, signatures=signatures, platform=platform
                )
                attesters = load_keys(rule.attestation_keys)
                self._attesters[rule] = attesters.keys if attesters else ()
            except CosinspectError as fault:
                raise InvalidConfiguration(str(fault), where=f"rules[{number}]") from fault
        self._day = datetime.now(UTC).date()
        self._keys: dict[AdmissionRule, str] = {}

    def book(self, rule: AdmissionRule) -> Rulebook:
        """Return what a rule requires."""
        return self._books[rule]

    def attesters(self, rule: AdmissionRule) -> tuple[PublicKey, ...]:
        """Return whose attestations a rule believes."""
        return self._attesters[rule]

    def key(self, rule: AdmissionRule) -> str:
        """Return the key of a rule's verdicts."""
        today = datetime.now(UTC).date()
        if today != self._day:
            self._keys, self._day = {}, today
        if rule not in self._keys:
            fingerprints = " ".join(key.fingerprint for key in self._attesters[rule])
            told = f"{self._books[rule].key(today)} {fingerprints}"
            self._keys[rule] = hashlib.sha256(told.encode()).hexdigest()
        return self._keys[rule]
