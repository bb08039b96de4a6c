"""Requirements of images as a value that can be sent to another process: texts without code.

Files are read here once. A rulebook keeps their content, even if the files change.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
from attrs import field, frozen

from cosinspect.cache.code import code_digest
from cosinspect.checks import CATALOGUE
from cosinspect.checks.plugins import installed_checks
from cosinspect.errors import InvalidSignaturePolicy
from cosinspect.inspection.plan import plan_inspection, read_manifest_file
from cosinspect.policy import Plan, parse_policy, read_policy
from cosinspect.profiles import parse_profile, read_profile
from cosinspect.signatures.keys import KEY_BYTES, PublicKey
from cosinspect.signatures.policy import SignaturePolicy

__all__ = ["Rulebook", "load_keys", "load_rulebook"]

_PROCESS = secrets.token_hex(8)


@frozen
class Rulebook:
    """The requirements of images.

    Attributes:
        profile: a builtin one's name, or the path of a file.
        policies: paths and texts of files.
        profile_text: of the file, None for a builtin one.
        build_manifest: path and bytes of the manifest of an ISO, or None.
        signatures: the required signers, None if there is none.
        platform: selects from an index; None for this machine's platform.
    """

    profile: str = "auto"
    policies: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    profile_text: str | None = field(default=None, repr=False)
    build_manifest: tuple[str, bytes] | None = field(default=None, repr=False)
    signatures: SignaturePolicy | None = None
    platform: str | None = None

    def plan(self, today: date) -> Plan:
        """Return the plan of an inspection on a day.

        Raises:
            InvalidProfile: the profile, a policy or the build manifest cannot be used.
            InvalidPlugin: an installed plugin cannot.
        """
        text = self.profile_text
        return plan_inspection(
            self.profile if text is None else parse_profile(text, self.profile),
            [parse_policy(policy, where) for where, policy in self.policies],
            build_manifest=self.build_manifest,
            today=today,
        )

    def key(self, today: date | None = None) -> str:
        """Return the digest of everything but the image that decides a verdict, including the code.

        An expired waiver changes the key. The code of plugins is unknown, so with plugins a key is valid for
        one process.

        Raises:
            InvalidProfile: as `plan`.
        """
        plugins = _PROCESS if len(installed_checks()) > len(CATALOGUE) else ""
        told = f"{self.digest(today)} {plugins}"
        return hashlib.sha256(code_digest() + told.encode()).hexdigest()

    def digest(self, today: date | None = None) -> str:
        """Return the digest of the requirements, independent of the code.

        Raises:
            InvalidProfile: as `plan`.
        """
        plan = self.plan(today or datetime.now(UTC).date())
        decides = {
            "profile": self.profile if self.profile_text is None else self.profile_text,
            "policies": plan.digests,
            "expired": [waiver.expired for waiver in plan.waivers],
            "build": self.build_manifest[1] if self.build_manifest else None,
            "signatures": _told(self.signatures),
            "platform": self.platform,
        }
        return hashlib.sha256(msgspec.json.encode(decides, order="deterministic")).hexdigest()


def load_rulebook(
    profile: str = "auto",
    policies: Iterable[str] = (),
    *,
    build_manifest: str | None = None,
    signatures: SignaturePolicy | None = None,
    platform: str | None = None,
    texts: Iterable[tuple[str, str]] = (),
) -> Rulebook:
    """Read all requirements of images.

    Args:
        profile: a builtin one's name, or the path of a TOML file.
        policies: paths of TOML files.
        build_manifest: path of the manifest of an ISO.
        signatures: the required signers.
        platform: selects from an index.
        texts: further policies that are not files: the name and the text of each.

    Raises:
        InvalidProfile: a file cannot be read, or has mistakes.
    """
    made = Rulebook(
        profile,
        (*((path, read_policy(path)) for path in policies), *texts),
        read_profile(profile),
        (build_manifest, read_manifest_file(Path(build_manifest))) if build_manifest else None,
        signatures,
        platform,
    )
    made.plan(datetime.now(UTC).date())
    return made


def load_keys(paths: Iterable[str]) -> SignaturePolicy | None:
    """Return a policy that trusts the keys in files, None without files.

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


def _told(signatures: SignaturePolicy | None) -> object:
    if signatures is None:
        return None
    root = signatures.trusted_root
    return [
        signatures.signers,
        signatures.annotations,
        signatures.repository,
        root.read_bytes() if root is not None else None,
    ]
