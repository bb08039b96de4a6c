"""What each rule of the configuration comes to: the rulebook that it names, and the key under which its verdicts are kept today."""

from __future__ import annotations

from datetime import UTC, datetime

from cosinspect.errors import CosinspectError, InvalidConfiguration
from cosinspect.rulebook import Rulebook, load_keys, load_rulebook
from cosinspect.server.configuration import Rule

__all__ = ["Rulebooks"]


class Rulebooks:
    """The rules' rulebooks; files that rules name are read once, a key holds for a day, since a waiver does.

    Args:
        rules: of the configuration.
        platform: which image of an index is meant.

    Raises:
        InvalidConfiguration: a profile, a policy or a key that a rule names cannot be used.
    """

    def __init__(self, rules: tuple[Rule, ...], platform: str | None) -> None:
        self._books: dict[Rule, Rulebook] = {}
        for number, rule in enumerate(rules):
            try:
                signatures = load_keys(rule.verify_keys)
                self._books[rule] = load_rulebook(
                    rule.profile, rule.policies, signatures=signatures, platform=platform
                )
            except CosinspectError as fault:
                raise InvalidConfiguration(str(fault), where=f"rules[{number}]") from fault
        self._day = datetime.now(UTC).date()
        self._keys: dict[Rule, str] = {}

    def book(self, rule: Rule) -> Rulebook:
        """Give what a rule requires."""
        return self._books[rule]

    def key(self, rule: Rule) -> str:
        """Give the key of a rule's verdicts."""
        today = datetime.now(UTC).date()
        if today != self._day:
            self._keys, self._day = {}, today
        if rule not in self._keys:
            self._keys[rule] = self._books[rule].key(today)
        return self._keys[rule]
