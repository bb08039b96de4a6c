"""Platforms, and the choice of an image for a platform (image-spec, image-index.md, "platform")."""

from __future__ import annotations

import platform as host
import re
from collections.abc import Iterable
from typing import Self

from attrs import evolve, field, frozen

from cosinspect.errors import InvalidManifest, NoMatchingPlatform

__all__ = ["Platform", "no_matching_platform"]


@frozen
class Platform:
    """The platform of an image in Go's names for operating systems and architectures (image-spec, image-index.md).

    Attributes:
        written: the name in the document, if it differs.
    """

    os: str
    architecture: str
    variant: str = ""
    written: str = field(default="", eq=False)

    @classmethod
    def of_document(cls, os: str, architecture: str, variant: str = "") -> Self:
        """Return the platform that an index or a configuration names, normalised as containerd does.

        Follows containerd/platforms 0.2.1 (database.go, normalizeOS, normalizeArch). A missing operating
        system is Linux. uname's names for architectures and variants without a v are accepted.
        """
        system = os.lower() or "linux"
        system = "darwin" if system == "macos" else system
        words, kind = architecture.lower(), variant.lower()
        if words in _UNAME:
            words, kind = _UNAME[words][0], _UNAME[words][1] or kind
        if words == "386" and architecture.lower() == "i386":
            kind = ""
        if kind in _DIGITS.get(words, ()):
            kind = f"v{kind}"
        found = cls(system, words, kind)
        written = "/".join(part for part in (os, architecture, variant) if part)
        return found if str(found) == written else evolve(found, written=written)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `os/architecture[/variant]`; uname's names for architectures are accepted.

        Raises:
            InvalidManifest: the text has another form.
        """
        parts = text.lower().split("/")
        if not 2 <= len(parts) <= 3 or not all(re.fullmatch(r"[a-z0-9_.-]+", part) for part in parts):
            raise InvalidManifest(
                f"expected a platform such as linux/amd64 or linux/arm/v7, found {text[:150]!r}"
            )
        found = cls.of_document(
            parts[0], _MACHINES.get(parts[1], parts[1]), parts[2] if len(parts) == 3 else ""
        )
        # containerd adds no variant to a bare `arm` either (containerd/platforms, Parse).
        bare = len(parts) == 2 and (found.architecture, found.variant) == ("arm", "v7")
        return cls(found.os, found.architecture, "" if bare else found.variant)

    @classmethod
    def of_host(cls) -> Self:
        """Return the platform whose images this machine runs; a Mac runs images of Linux."""
        system = host.system().lower()
        machine = host.machine().lower()
        return cls("linux" if system == "darwin" else system, _HOSTS.get(machine, machine))

    def rank(self, wanted: Platform) -> int | None:
        """Return how well this platform serves `wanted`: None if it does not, else a number, lower is better.

        A machine also runs code for lower variants of its architecture, as in containerd's platform matcher.
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


# Other names of an architecture, with the variant that they imply.
_UNAME = {
    "i386": ("386", ""),
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
_DIGITS = {"arm": ("5", "6", "7", "8"), "arm64": ("8",)}
# Names of uname that no document uses.
_MACHINES = {"armv7l": "arm", "i686": "386"}
_HOSTS = {**_MACHINES, "x86_64": "amd64", "aarch64": "arm64", "armhf": "arm", "i386": "386"}
_DEFAULT_VARIANTS = {"arm64": "v8", "arm": "v7", "amd64": "v1"}
_VARIANTS = {"arm": ("v5", "v6", "v7", "v8"), "amd64": ("v1", "v2", "v3", "v4")}


def no_matching_platform(wanted: Platform, found: Iterable[Platform | None]) -> NoMatchingPlatform:
    """Return the error that names the available platforms."""
    # Attestations have the platform unknown/unknown (BuildKit, "attestation storage").
    names = sorted({str(item) for item in found if item is not None and item.os != "unknown"})
    return NoMatchingPlatform(
        f"expected a manifest for {wanted}, found {', '.join(names) or 'none with a platform'}",
        where="index",
        remedy=f"choose one with --platform {names[0]}" if names else None,
    )
