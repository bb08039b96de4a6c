"""The options of an inspection as one value; the keywords of `inspect` make it."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any, TypedDict, Unpack

from attrs import evolve, field, frozen

from cosinspect.cache import Cache
from cosinspect.image.image import JOBS, Image
from cosinspect.inspection.plan import plan_inspection
from cosinspect.layer.layer import Progress
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci.documents import Platform
from cosinspect.policy import Plan, Policy
from cosinspect.profiles import Profile
from cosinspect.report.report import Capability
from cosinspect.rootfs.semantics import Semantics
from cosinspect.signatures.policy import SignaturePolicy
from cosinspect.sources.config.access import Access

__all__ = ["Keywords", "Options"]

_PARTS = {"timeout", "plain_http", "docker_config"}
"""Keywords for a part of an option."""


@frozen(kw_only=True)
class Options:
    """The options of an inspection, and its requirements. Every option has a default.

    Attributes:
        profile: the requirements: a builtin profile's name (`auto` selects by the image), the path of a TOML file, or a
            loaded one.
        semantics: the semantics to compare, instead of the profile's; the report uses the first.
        policies: further requirements: paths of TOML files, or loaded ones.
        build_manifest: path of the manifest of luet-makeiso or `elemental build-iso` for an ISO of the image.
        today: the day for the expiry of waivers; by default today, in UTC.
        plan: the plan, instead of `profile`, `semantics`, `policies`, `build_manifest` and `today`.
        upgrade_from: name of the image that the machine runs before the upgrade: checks compare the image with what that machine has
            on its disk and runs, and the upgrade is required; None for no comparison. Excludes `fast`.
        only: ids of the checks to run; the report is about these only, and no capability becomes yes.
        signatures: the required signers; without a signature the image does not pass.
        platform: `os/architecture[/variant]`, selects from an image index; by default the host's platform.
        access: access to registries.
        verify_diff_ids: whether layers must match the diff IDs of the configuration.
        limits: bounds for everything that is read, and the time.
        cache: stores layers and results, and supplies them again; None stores nothing.
        jobs: how many layers are read in parallel, at least one.
        trust_tables: trust the tables of contents of layers (eStargz, zstd:chunked) and fetch only needed parts; the report is then
            provisional. If a table is wrong, everything is read.
        fast: read layers from the top down until the verdict is a failure or every check is decided; the report is then
            provisional and names the layers that were not read.
        on_image: called with the image before its layers are read, and with the one of `upgrade_from`.
        progress: called with each layer and the number of its compressed bytes, from several threads.
    """

    profile: str | Profile = "auto"
    semantics: tuple[Semantics, ...] | None = None
    policies: tuple[str | os.PathLike[str] | Policy, ...] = field(default=(), converter=tuple)
    build_manifest: str | os.PathLike[str] | None = None
    today: date | None = None
    plan: Plan | None = None
    upgrade_from: str | None = None
    only: tuple[str, ...] = field(default=(), converter=tuple)
    signatures: SignaturePolicy | None = None
    platform: str | Platform | None = None
    access: Access = field(factory=Access)
    verify_diff_ids: bool = True
    limits: Limits = DEFAULT_LIMITS
    cache: Cache | None = None
    jobs: int = JOBS
    trust_tables: bool = False
    fast: bool = False
    on_image: Callable[[Image], None] | None = None
    progress: Progress | None = None

    def but(self, **keywords: Unpack[Keywords]) -> Options:
        """Return a copy with other options, named as for `inspect`.

        Raises:
            TypeError: there is no such option.
        """
        names = {*Keywords.__annotations__}
        for name in keywords.keys() - names:
            near = difflib.get_close_matches(name, names, n=1)
            meant = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(names))}"
            raise TypeError(f"there is no option {name}; {meant}")
        changes: dict[str, Any] = {name: value for name, value in keywords.items() if name not in _PARTS}
        if changes.get("access") is None and (keywords.keys() & {"access", "plain_http", "docker_config"}):
            config = keywords.get("docker_config")
            access = self.access if config is None else Access.of_docker_config(Path(config))
            changes["access"] = evolve(access, plain_http=keywords.get("plain_http", access.plain_http))
        timeout = keywords.get("timeout")
        if timeout is not None:
            changes["limits"] = evolve(keywords.get("limits", self.limits), seconds=timeout)
        return evolve(self, **changes)

    def make_plan(self) -> Plan:
        """Return the plan of the inspection.

        Raises:
            InvalidProfile: the profile, a policy or the build manifest cannot be used, or `only` names no check.
            InvalidPlugin: an installed plugin cannot be used.
        """
        plan = self.plan
        if plan is None:
            plan = plan_inspection(
                self.profile,
                self.policies,
                semantics=self.semantics,
                build_manifest=self.build_manifest,
                today=self.today,
            )
        if self.upgrade_from is not None:
            plan = evolve(plan, profile=plan.profile.extended({}, (Capability.UPGRADE,)))
        return plan.only(self.only)


class Keywords(TypedDict, total=False):
    """The single options, and three for a part of one: `timeout`, `plain_http`, `docker_config`."""

    profile: str | Profile
    semantics: tuple[Semantics, ...] | None
    policies: Iterable[str | os.PathLike[str] | Policy]
    build_manifest: str | os.PathLike[str] | None
    today: date | None
    plan: Plan | None
    upgrade_from: str | None
    only: Iterable[str]
    signatures: SignaturePolicy | None
    platform: str | Platform | None
    access: Access | None
    verify_diff_ids: bool
    limits: Limits
    cache: Cache | None
    jobs: int
    trust_tables: bool
    fast: bool
    on_image: Callable[[Image], None] | None
    progress: Progress | None
    timeout: float | None
    plain_http: bool
    docker_config: str | os.PathLike[str] | None
