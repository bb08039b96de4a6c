"""The plan of an inspection: profile, checks, policies and the manifest of an ISO, before anything is fetched."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path

from attrs import evolve

from cosinspect.checks.plugins import installed_checks
from cosinspect.errors import FormatError, InvalidBuildManifest
from cosinspect.formats.text.build_manifest import BuildManifest, read_build_manifest
from cosinspect.policy import Plan, Policy, load_policy, make_plan
from cosinspect.profiles import Profile, load_profile
from cosinspect.rootfs.semantics import Semantics

__all__ = ["plan_inspection", "read_manifest_file"]

_MANIFEST_BYTES = 1024 * 1024


def plan_inspection(
    profile: str | Profile,
    policies: Iterable[str | os.PathLike[str] | Policy] = (),
    *,
    semantics: tuple[Semantics, ...] | None = None,
    build_manifest: str | os.PathLike[str] | tuple[str, bytes] | None = None,
    today: date | None = None,
) -> Plan:
    """Combine the profile, the checks of plugins and the policies to a plan.

    Args:
        profile: its name, the path of a TOML file, or a loaded one.
        policies: paths of TOML files, or loaded ones.
        semantics: the semantics to compare, instead of the profile's.
        build_manifest: path of the manifest of an ISO, or its name and bytes.
        today: the day for the expiry of waivers; by default today, in UTC.

    Raises:
        InvalidProfile: the profile, a policy or the build manifest cannot be used.
        InvalidPlugin: an installed plugin cannot be used.
    """
    rules = load_profile(profile) if isinstance(profile, str) else profile
    plan = make_plan(
        rules.read_as(semantics) if semantics else rules,
        installed_checks(),
        [each if isinstance(each, Policy) else load_policy(each) for each in policies],
        today=today or datetime.now(UTC).date(),
    )
    if build_manifest is None:
        return plan
    if not isinstance(build_manifest, tuple):
        build_manifest = str(build_manifest), read_manifest_file(Path(build_manifest))
    return evolve(plan, build=_build_manifest(*build_manifest))


def read_manifest_file(path: Path) -> bytes:
    """Read the file of a build manifest.

    Raises:
        InvalidBuildManifest: the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(_MANIFEST_BYTES + 1)
    except OSError as fault:
        raise _no_manifest(fault.strerror or str(fault), str(path)) from fault


def _build_manifest(where: str, raw: bytes) -> BuildManifest:
    try:
        return read_build_manifest(raw)
    except FormatError as fault:
        raise _no_manifest(fault.message, where) from fault


def _no_manifest(told: str, where: str) -> InvalidBuildManifest:
    return InvalidBuildManifest(
        f"the build manifest cannot be read: {told}",
        where=where,
        remedy="name the YAML file that luet-makeiso or elemental build-iso is given",
    )
