"""Commands inside the tree that becomes the image, with the package sources of the host."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SUITE", "Chroot", "PackageSource", "host_source"]

SUITE = "bookworm"
_COMPONENTS = "main non-free-firmware"

# Runs in namespaces of its own: whatever happens, no mount is left behind.
_ENTER = r"""
set -eu
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mkdir "$root/run/lock" "$root/run/build"
mount --bind "$build" "$root/run/build"
mount --bind /etc/resolv.conf "$root/etc/resolv.conf"
exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C INITRD=No \
    DEBIAN_FRONTEND=noninteractive APT_CONFIG=/run/build/apt.conf sh -euc "$script"
"""

_APT = """
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Dir::Etc::sourcelist "/run/build/sources.list";
Dir::Cache::archives "/run/build/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
DPkg::Options { "--force-unsafe-io"; };
"""


@dataclass(frozen=True, slots=True)
class PackageSource:
    """Where packages come from: the mirror, and the lines of a sources.list."""

    mirror: str
    lines: tuple[str, ...]


def host_source(mirror: str | None) -> PackageSource:
    """The mirrors of the host's own sources that carry the suite, or only `mirror`.

    Raises:
        LookupError: The host's sources name no mirror of the suite.
    """
    if mirror is not None:
        return PackageSource(mirror, (f"deb {mirror} {SUITE} {_COMPONENTS}",))
    found: list[tuple[str, str]] = []
    for path in (Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))):
        if path.suffix == ".list" and path.is_file():
            found += re.findall(r"(?m)^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)", path.read_text())
        elif path.suffix == ".sources" and path.is_file():
            for paragraph in path.read_text().split("\n\n"):
                fields = dict(re.findall(r"(?m)^(URIs|Suites):[ \t]*(.+)$", paragraph))
                found += [
                    (uri, suite)
                    for uri in fields.get("URIs", "").split()
                    for suite in fields["Suites"].split()
                ]
    wanted = [
        (uri, suite) for uri, suite in found if suite in {SUITE, f"{SUITE}-updates", f"{SUITE}-security"}
    ]
    main = next((uri for uri, suite in wanted if suite == SUITE), None)
    if main is None:
        raise LookupError(
            f"the package sources of this host name no mirror of {SUITE}: give one with --mirror"
        )
    return PackageSource(main, tuple(f"deb {uri} {suite} {_COMPONENTS}" for uri, suite in wanted))


@dataclass(frozen=True, slots=True)
class Chroot:
    """A tree to run commands in. `build` is a directory outside it: package files, apt's configuration, the log."""

    root: Path
    build: Path
    source: PackageSource

    def debootstrap(self) -> None:
        """Makes the base system. The tree must not exist."""
        self._prepare()
        self._logged(
            [
                "debootstrap",
                "--variant=minbase",
                "--components=main,non-free-firmware",
                f"--cache-dir={self.build / 'archives'}",
                SUITE,
                str(self.root),
                self.source.mirror,
            ]
        )

    def run(self, script: str) -> None:
        """Runs a shell script in the tree, with an end at its first failure."""
        self._prepare()
        variables = {
            "root": str(self.root),
            "build": str(self.build),
            "script": script,
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        }
        self._logged(["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _ENTER], variables)

    def install(self, *packages: str) -> None:
        """Installs Debian packages, without those that are only recommended."""
        self.run(f"apt-get update -q\napt-get install -q -y {' '.join(packages)}")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Writes a file of the tree; directories above it are made."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def link(self, path: str, target: str) -> None:
        """Makes a symbolic link in the tree, in place of what was there."""
        link = self.root / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(target)

    def remove(self, path: str) -> None:
        """Removes a file or a whole directory of the tree; what is not there is no error."""
        target = self.root / path
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)

    def _prepare(self) -> None:
        (self.build / "archives" / "partial").mkdir(parents=True, exist_ok=True)
        host = subprocess.run(
            ["apt-config", "dump", "Acquire"], check=True, capture_output=True, text=True
        ).stdout
        proxies = [line for line in host.splitlines() if re.match(r"Acquire::(https?::|Check-)\S* ", line)]
        (self.build / "apt.conf").write_text("\n".join((*proxies, _APT)))
        (self.build / "sources.list").write_text("\n".join((*self.source.lines, "")))

    def _logged(self, command: list[str], environment: dict[str, str] | None = None) -> None:
        log = self.build / "log"
        with log.open("ab") as out:
            done = subprocess.run(
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        if done.returncode:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            raise RuntimeError(f"{command[0]} ended with {done.returncode}; the end of {log}:\n{tail}")
