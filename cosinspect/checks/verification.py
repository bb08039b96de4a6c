"""Checks on the programs and settings that verify signatures at the installation of packages and images."""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.checks import remedies
from cosinspect.checks.base import CheckContext, NotApplicable, check
from cosinspect.checks.luet import require_luet
from cosinspect.formats.text.os_release import read_env_file
from cosinspect.report.report import Capability, Finding, Level

__all__ = ["cosign_key_missing", "cosign_missing", "luet_cosign_missing"]

SETTINGS_PATHS = ("/etc/environment", "/etc/cos/config")
"""Environment files whose COSIGN_* settings count on a machine."""

# Settings of luet-cosign and cosign that are not secret; of others (COSIGN_PASSWORD) only the name is reported.
_TOLD = frozenset(
    {
        "COSIGN_DEBUG",
        "COSIGN_EXPERIMENTAL",
        "COSIGN_FULCIO_URL",
        "COSIGN_PUBLIC_KEY_LOCATION",
        "COSIGN_REPOSITORY",
        "COSIGN_SKIP",
    }
)
_KEY = "COSIGN_PUBLIC_KEY_LOCATION"


def _look_for(context: CheckContext, name: str) -> Iterator[Finding | str]:
    context.require_toolkit()
    found = context.command(name)
    if found is None:
        yield context.missing(f"/usr/bin/{name}", f"expected the command {name}, it is not in the image")
    else:
        yield f"{found} is there"


@check(
    id="COS090",
    name="cosign-missing",
    level=Level.NOTE,
    capabilities=(Capability.VERIFY,),
    summary="cosign is not in the image.",
    why="Signatures of upgrades cannot be verified on the machine.",
    remedy="Install cosign, if upgrades are to be verified.",
    cure=remedies.from_toolkit("signing", "install cosign"),
)
def cosign_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the command in PATH."""
    yield from _look_for(context, "cosign")


@check(
    id="COS091",
    name="luet-cosign-missing",
    level=Level.NOTE,
    capabilities=(Capability.VERIFY,),
    summary="luet's plugin for cosign is not in the image.",
    why="luet installs packages without verifying their signatures; a plugin must be in PATH.",
    remedy="Install luet's plugin for cosign, if packages are to be verified.",
    cure=remedies.from_toolkit("signing", "install the plugin"),
)
def luet_cosign_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the command in PATH."""
    require_luet(context)
    yield from _look_for(context, "luet-cosign")


@check(
    id="COS093",
    name="cosign-key-missing",
    level=Level.WARNING,
    capabilities=(Capability.VERIFY,),
    summary="The key that the image's cosign settings name is not in the image.",
    why="luet's plugin for cosign fails on every package and image without its key, so nothing can be upgraded.",
    remedy="Copy the public key to the path that COSIGN_PUBLIC_KEY_LOCATION names.",
    reads=tuple(path.removeprefix("/") for path in SETTINGS_PATHS),
    cure=remedies.runs(
        "copy the public key there",
        lambda _, finding: (f"COPY cosign.pub {remedies.quoted(finding.path or '')}",),
    ),
)
def cosign_key_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Report the image's settings of cosign, and look for the key that they name."""
    settings = tuple(_cosign_settings(context))
    if not settings:
        raise NotApplicable("no COSIGN_* settings in the image")
    for origin, name, value in settings:
        is_path = name == _KEY and value.startswith("/")
        trace = context.rootfs.trace(value) if is_path else None
        if trace is not None and (trace.entry is None or trace.entry.type != "file"):
            yield context.missing(
                value, f"expected the key that {origin} names in {_KEY}, it is not in the image"
            )
        else:
            yield f"{name}={value} ({origin})" if name in _TOLD else f"{name} is set ({origin})"


def _cosign_settings(context: CheckContext) -> Iterator[tuple[str, str, str]]:
    """Yield the origin, the name and the value of each setting."""
    for item in context.config.env:
        name, equals, value = item.partition("=")
        if equals and name.startswith("COSIGN_"):
            yield "the image's configuration", name, value
    for path in SETTINGS_PATHS:
        text = context.facts.text(path).text
        for name, value in read_env_file(text).values.items() if text is not None else ():
            if name.startswith("COSIGN_"):
                yield path, name, value
