"""How an image is inspected, as one value; the keywords of `inspect` make it."""

from __future__ import annotations

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
from cosinspect.rootfs.semantics import Semantics
from cosinspect.signatures.policy import SignaturePolicy
from cosinspect.sources.config.access import Access

__all__ = ["Keywords", "Options"]

_PARTS = {"timeout", "plain_http", "docker_config"}
"""Keywords that stand for a part of an option."""


@frozen(kw_only=True)
class Options:
    """How an image is inspected and what is required of it. Every option has a default.

    Attributes:
        profile: what to require: a builtin profile's name (`auto` chooses by the image), the path of a TOML file, or a
            loaded one.
        semantics: whose readings of the layers count, in place of the profile's; the report is on the first.
        policies: what to require beyond the profile: paths of TOML files, or loaded ones.
        build_manifest: path of the manifest by which an ISO is made of the image, of luet-makeiso or `elemental build-iso`.
        today: the day for the expiry of waivers; by default today, in UTC.
        plan: what to go by, in place of `profile`, `semantics`, `policies`, `build_manifest` and `today`.
        only: ids of the checks to run; the report is on these alone, and confirms no capability.
        signatures: who must have signed the image; without such a signature it does not pass.
        platform: `os/architecture[/variant]`, chooses from an image index; by default what the host runs.
        access: how registries are reached and as whom.
        verify_diff_ids: whether layers must inflate to what the configuration names.
        limits: bounds for everything that is read, the time included.
        cache: stores layers and results, and supplies them again; None stores nothing.
        jobs: how many layers are read in parallel, at least one.
        trust_tables: believe the tables of contents that layers bring along (eStargz, zstd:chunked) and fetch little more; the
            report is provisional then, unless a table turns out to be wrong: then everything is read.
        fast: read layers from the top down, and no further once the verdict is a failure or every check is decided; the report is
            provisional then and names the layers that were not read.
        on_image: called with the image before its layers are read.
        progress: called with each layer and the compressed bytes that came of it, from several threads.
    """

    profile: str | Profile = "auto"
    semantics: tuple[Semantics, ...] | None = None
    policies: tuple[str | os.PathLike[str] | Policy, ...] = field(default=(), converter=tuple)
    build_manifest: str | os.PathLike[str] | None = None
    today: date | None = None
    plan: Plan | None = None
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
        """Return the same options with others in their place, as `inspect` takes them.

        Raises:
            TypeError: there is no such option.
        """
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
        """Put together what the inspection goes by.

        Raises:
            InvalidProfile: the profile, a policy or the build manifest cannot be used, or `only` names no check.
            InvalidPlugin: an installed plugin cannot.
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
        return plan.only(self.only)


class Keywords(TypedDict, total=False):
    """The options one by one, and three that stand for a part of one: `timeout`, `plain_http`, `docker_config`."""

    profile: str | Profile
    semantics: tuple[Semantics, ...] | None
    policies: Iterable[str | os.PathLike[str] | Policy]
    build_manifest: str | os.PathLike[str] | None
    today: date | None
    plan: Plan | None
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
