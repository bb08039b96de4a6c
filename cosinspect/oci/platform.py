"""What images run on, and which image of several serves a machine (image-spec, image-index.md, "platform")."""

from __future__ import annotations

import platform as host
import re
from collections.abc import Iterable
from typing import Self

from attrs import frozen

from cosinspect.errors import InvalidManifest, NoMatchingPlatform

__all__ = ["Platform", "no_matching_platform"]


@frozen
class Platform:
    """What an image runs on, in Go's words for operating systems and architectures (image-spec, image-index.md)."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `os/architecture[/variant]`; uname's names for architectures are understood.

        Raises:
            InvalidManifest: it has another shape.
        """
        parts = text.lower().split("/")
        if not 2 <= len(parts) <= 3 or not all(re.fullmatch(r"[a-z0-9_.-]+", part) for part in parts):
            raise InvalidManifest(
                f"expected a platform such as linux/amd64 or linux/arm/v7, found {text[:150]!r}"
            )
        alias = _ARCHITECTURES.get(parts[1], parts[1])
        return cls(parts[0], alias, parts[2] if len(parts) == 3 else "")

    @classmethod
    def of_host(cls) -> Self:
        """Name the platform whose images this machine runs; a Mac runs those of Linux."""
        system = host.system().lower()
        machine = host.machine().lower()
        return cls("linux" if system == "darwin" else system, _ARCHITECTURES.get(machine, machine))

    def rank(self, wanted: Platform) -> int | None:
        """Say how well this platform serves `wanted`: None not at all, else lower is better.

        A machine runs code for lower variants of its architecture too, as containerd's platform matcher has it.
        """
        if (self.os, self.architecture) != (wanted.os, wanted.architecture):
            return None
        default = _DEFAULT_VARIANTS.get(self.architecture, "")
        own, asked = self.variant or default, wanted.variant or default
        if own == asked:
            return 0
        variants = _VARIANTS.get(self.architecture, ())
        if own in variants and asked in variants:
            distance = variants.index(asked) - variants.index(own)
            return distance if distance > 0 else None
        return None

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "armhf": "arm",
    "i386": "386",
    "i686": "386",
}
_DEFAULT_VARIANTS = {"arm64": "v8", "arm": "v7", "amd64": "v1"}
_VARIANTS = {"arm": ("v5", "v6", "v7", "v8"), "amd64": ("v1", "v2", "v3", "v4")}


def no_matching_platform(wanted: Platform, found: Iterable[Platform | None]) -> NoMatchingPlatform:
    """Make the error that names the platforms there are."""
    # Attestations hide behind the platform unknown/unknown (BuildKit, "attestation storage").
    names = sorted({str(item) for item in found if item is not None and item.os != "unknown"})
    return NoMatchingPlatform(
        f"expected a manifest for {wanted}, found {', '.join(names) or 'none with a platform'}",
        where="index",
        remedy=f"choose one with --platform {names[0]}" if names else None,
    )
