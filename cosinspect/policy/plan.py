"""The plan of an inspection: profile, checks and waivers, combined and verified before any work."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from datetime import date

from attrs import evolve, frozen

from cosinspect.checks.base import Check
from cosinspect.errors import InvalidPolicy, InvalidProfile
from cosinspect.formats.text.build_manifest import BuildManifest
from cosinspect.globs import name_matches
from cosinspect.policy.document import Policy
from cosinspect.profiles import Profile
from cosinspect.report.report import SIGNATURE_TAG, Capability, CheckResult, Finding, Kind, Level, Waiver

__all__ = ["Plan", "make_plan"]


@frozen
class Plan:
    """Everything that an inspection requires.

    Attributes:
        profile: with the levels and required capabilities of the policies.
        checks: the catalogue's, then those of plugins, then the policies' rules.
        policies: their names.
        waivers: by the id of a check, expired ones marked.
        digests: of the policies' text.
        rules: how many of the checks are the policies'.
        build: the manifest of an ISO, or None.
        selected: the ids of the selected checks, empty for all.
        strict: whether warnings fail.
    """

    profile: Profile
    checks: tuple[Check, ...]
    policies: tuple[str, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    digests: tuple[str, ...] = ()
    rules: int = 0
    build: BuildManifest | None = None
    selected: tuple[str, ...] = ()
    strict: bool = False

    def only(self, ids: tuple[str, ...]) -> Plan:
        """Return the plan with only these checks; all checks if empty.

        Raises:
            InvalidProfile: there is no such check.
        """
        if not ids:
            return self
        known = {item.id: item for item in self.checks}
        _require_known(ids, known, "the checks to run", InvalidProfile)
        checks = tuple(item for item in self.checks if item.id in ids)
        return evolve(
            self,
            checks=checks,
            waivers=tuple(waiver for waiver in self.waivers if waiver.check in ids),
            selected=tuple(item.id for item in checks),
        )

    def waive(self, results: Iterable[CheckResult]) -> tuple[tuple[CheckResult, ...], tuple[Waiver, ...]]:
        """Apply waivers to findings and open results; return the results, and the unused waivers."""
        used: set[Waiver] = set()

        def covering(check: str, path: str | None) -> Waiver | None:
            fitting = [
                waiver
                for waiver in self.waivers
                if waiver.check == check and (not waiver.path or name_matches(path or "", waiver.path))
            ]
            # A valid waiver comes before an expired one.
            found = min(fitting, key=lambda waiver: waiver.expired, default=None)
            if found is not None:
                used.add(found)
            return found

        def covered(finding: Finding, check: str) -> Finding:
            return evolve(finding, waiver=covering(check, finding.path))

        waived = []
        for result in results:
            if result.kind is Kind.FAIL:
                findings = tuple(covered(finding, result.check) for finding in result.findings)
                waived.append(evolve(result, findings=findings))
            elif result.kind is Kind.OPEN:
                waived.append(evolve(result, waiver=covering(result.check, None)))
            else:
                waived.append(result)
        return tuple(waived), tuple(waiver for waiver in self.waivers if waiver not in used)


def make_plan(
    profile: Profile, checks: Sequence[Check], policies: Sequence[Policy] = (), *, today: date
) -> Plan:
    """Combine profile, checks and policies to a plan.

    Args:
        profile: the requirements.
        checks: the catalogue, and the checks of plugins.
        policies: in order; levels of later ones replace those of earlier ones.
        today: the day for the expiry of waivers.

    Raises:
        InvalidProfile: the profile names an unknown check.
        InvalidPolicy: a policy names an unknown check, or two rules have the same id or name.
    """
    every = list(checks)
    for policy in policies:
        for item in policy.checks:
            taken = next((each for each in every if item.id == each.id or item.name == each.name), None)
            if taken is not None:
                raise InvalidPolicy(
                    f"expected ids and names of their own, {item.id} {item.name} meets {taken.id} {taken.name}",
                    where=policy.where,
                )
            every.append(item)
    known = {item.id: item for item in every}
    for each in (profile, *profile.choices.values()):
        _require_known(each.levels, known, f"profile {each.name}, levels", InvalidProfile)
    levels: dict[str, Level] = {}
    required: list[Capability] = []
    waivers: list[Waiver] = []
    for policy in policies:
        _require_known(policy.levels, known, f"{policy.where}, levels", InvalidPolicy)
        _require_known(
            [item.check for item in policy.waivers], known, f"{policy.where}, waivers", InvalidPolicy
        )
        for waiver in policy.waivers:
            if SIGNATURE_TAG in known[waiver.check].tags:
                raise InvalidPolicy(
                    f"a signature cannot be waived: {waiver.check}", where=f"{policy.where}, waivers"
                )
        levels.update(policy.levels)
        required.extend(policy.required)
        waivers.extend(evolve(waiver, expired=waiver.expires < today) for waiver in policy.waivers)
    return Plan(
        profile=profile.extended(levels, required),
        checks=tuple(every),
        policies=tuple(policy.name for policy in policies),
        waivers=tuple(dict.fromkeys(waivers)),
        digests=tuple(policy.digest for policy in policies),
        rules=len(every) - len(checks),
        strict=any(policy.strict for policy in policies),
    )


def _require_known(
    ids: Iterable[str], known: dict[str, Check], where: str, kind: type[InvalidProfile]
) -> None:
    for item in sorted(set(ids) - known.keys()):
        by_name = next((check.id for check in known.values() if check.name == item), None)
        near = [by_name] if by_name else difflib.get_close_matches(item.upper(), known, n=1, cutoff=0.7)
        meant = f"did you mean {near[0]}? " if near else ""
        raise kind(
            f"there is no check {item[:60]!r}", where=where, remedy=f"{meant}`cosinspect checks` lists them"
        )
