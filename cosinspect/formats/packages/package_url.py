"""Package URLs: names of packages that scanners of vulnerabilities and licences understand (ECMA-427).

Qualifiers are those of the types' definitions and those that syft writes: `arch`, `epoch`, `upstream` (the source package), `distro`.
"""

from __future__ import annotations

from packageurl import PackageURL

from cosinspect.formats.packages.package import Package

__all__ = ["package_url"]

_NAMESPACES = {"rhel": "redhat", "opensuse-leap": "opensuse", "opensuse-tumbleweed": "opensuse"}
"""Names of distributions in package URLs that differ from the ID of os-release."""


def package_url(package: Package, distribution: str = "", release: str = "") -> str:
    """Return the package URL of a package, "" if it has no name.

    Args:
        package: the package.
        distribution: `ID` of os-release.
        release: `VERSION_ID` of os-release.
    """
    if not package.name.strip("/ "):
        return ""
    epoch, version = "", package.version
    if package.type == "rpm" and ":" in version:
        epoch, _, version = version.partition(":")
    namespace = package.category or _NAMESPACES.get(distribution, distribution)
    qualifiers = {
        "arch": package.architecture,
        "epoch": epoch,
        "upstream": package.source if package.source != package.name else "",
        "distro": "-".join(filter(None, (distribution, release))) if package.type != "luet" else "",
    }
    return PackageURL(
        "generic" if package.type == "luet" else package.type,
        _text(namespace),
        _text(package.name),
        _text(version),
        {name: _text(value) for name, value in qualifiers.items() if value},
    ).to_string()


def _text(value: str) -> str:
    """Return a text that can be encoded: bytes that are not UTF-8 become the replacement character."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
