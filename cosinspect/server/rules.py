"""What a rule of the configuration comes to today: the plan that it names, and the key under which its verdicts are kept."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec

from cosinspect.cache.code import code_digest
from cosinspect.checks import CATALOGUE
from cosinspect.errors import CosinspectError, InvalidConfiguration, InvalidSignaturePolicy
from cosinspect.inspection import plan_inspection
from cosinspect.plugins import installed_checks
from cosinspect.server.configuration import Rule
from cosinspect.signatures.keys import KEY_BYTES, PublicKey
from cosinspect.signatures.policy import SignaturePolicy

__all__ = ["RuleKeys", "rule_key", "signature_policy"]

_PROCESS = secrets.token_hex(8)


class RuleKeys:
    """Keys of everything that decides a verdict besides the image: code, profile, policies, keys, waivers that have run out.

    A key holds for a day, since a waiver does; files that rules name are read when the server starts, and at a day's turn.

    Args:
        rules: of the configuration.
        platform: which image of an index is meant.

    Raises:
        InvalidConfiguration: a profile, a policy or a key that a rule names cannot be used.
    """

    def __init__(self, rules: tuple[Rule, ...], platform: str | None) -> None:
        self._platform = platform
        self._rules = rules
        self._day = datetime.now(UTC).date()
        self._keys = self._made(self._day)

    def key(self, rule: Rule) -> str:
        """Give the key of a rule's verdicts.

        Raises:
            InvalidConfiguration: what the rule names cannot be used any more.
        """
        today = datetime.now(UTC).date()
        if today != self._day:
            self._keys, self._day = self._made(today), today
        return self._keys[rule]

    def _made(self, day: date) -> dict[Rule, str]:
        made = {}
        for number, rule in enumerate(self._rules):
            try:
                made[rule] = rule_key(rule, self._platform, day)
            except CosinspectError as fault:
                raise InvalidConfiguration(str(fault), where=f"rules[{number}]") from fault
        return made


def rule_key(rule: Rule, platform: str | None, day: date) -> str:
    """Give the key of a rule's verdicts on a day.

    Raises:
        CosinspectError: a profile, a policy or a key that it names cannot be used.
    """
    plan = plan_inspection(rule.profile, rule.policies, today=day)
    signers = signature_policy(rule.verify_keys)
    decides = {
        "profile": msgspec.to_builtins(plan.profile),
        "policies": plan.digests,
        "expired": [waiver.expired for waiver in plan.waivers],
        "signers": signers.signers if signers else (),
        "platform": platform,
        # What plugins' code is nobody knows, so their verdicts are this process's alone.
        "plugins": _PROCESS if len(installed_checks()) > len(CATALOGUE) else "",
    }
    return hashlib.sha256(code_digest() + msgspec.json.encode(decides, order="deterministic")).hexdigest()


def signature_policy(paths: tuple[str, ...]) -> SignaturePolicy | None:
    """Give whom to trust, None where nobody is named.

    Raises:
        InvalidSignaturePolicy: a file has no key.
    """
    keys = []
    for path in paths:
        try:
            with Path(path).open("rb") as file:
                keys.append(PublicKey.from_pem(file.read(KEY_BYTES + 1), path))
        except OSError as fault:
            raise InvalidSignaturePolicy(
                f"the key cannot be read: {fault.strerror or fault}", where=path
            ) from fault
    return SignaturePolicy(keys=tuple(keys)) if keys else None
