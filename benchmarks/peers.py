"""Other programs that read images: where they are, how they are called, and how they are built.

`python -m benchmarks.peers` builds crane, syft and dive with Go, and installs container-inspector, below the benchmarks' directory. skopeo,
umoci and docker-registry are packages of Debian. A peer that is not found has no rows.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import venv
from pathlib import Path

from benchmarks.processes import Contender

__all__ = ["CRANE", "DEFAULT_WORK", "SYFT", "UMOCI", "archive_peers", "listing_peers", "scanning_peers"]

DEFAULT_WORK = Path(os.environ.get("COSINSPECT_BENCH_DIR") or Path.home() / ".cache/cosinspect-bench")
CRANE, UMOCI, SYFT = "crane export | tar -t", "skopeo copy + umoci unpack", "syft"
MODULES = (
    "github.com/google/go-containerregistry/cmd/crane@v0.21.9",
    "github.com/wagoodman/dive@v0.13.1",
    "github.com/anchore/syft/cmd/syft@v1.38.0",
)
SQUASH = "container_inspector_squash"


def _program(name: str, work: Path) -> str | None:
    places = (work / "bin", work / "container-inspector/bin")
    return shutil.which(name, path=os.pathsep.join([*map(str, places), os.environ.get("PATH", os.defpath)]))


def listing_peers(reference: str, work: Path) -> list[Contender]:
    """Return the programs that do no more than read an image of a plain registry, as scripts use them."""
    found = []
    if shutil.which("skopeo") and shutil.which("umoci"):
        copy = ("skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false")
        unpack = ("umoci", "raw", "unpack", "--image", "{work}/layout:x", "{work}/rootfs")
        found.append(
            Contender(UMOCI, ((*copy, f"docker://{reference}", "oci:{work}/layout:x"), unpack), peer=True)
        )
    crane = _program("crane", work)
    if crane:
        piped = f"set -o pipefail; {crane} export --insecure {reference} - | tar -t > /dev/null"
        found.append(Contender(CRANE, (("bash", "-c", piped),), peer=True))
    return found


def scanning_peers(reference: str, work: Path) -> list[Contender]:
    """Return the programs that look into an image of a plain registry."""
    syft = _program("syft", work)
    if not syft:
        return []
    settings = ("env", "SYFT_REGISTRY_INSECURE_USE_HTTP=true", "SYFT_CHECK_FOR_APP_UPDATE=false")
    return [Contender(SYFT, ((*settings, syft, "-q", f"registry:{reference}", "-o", "json"),), peer=True)]


def archive_peers(archive: Path, work: Path) -> list[Contender]:
    """Return the programs that read no registry without a daemon."""
    found = []
    dive, squash = _program("dive", work), _program(SQUASH, work)
    if dive:
        # Any image passes these rules: status 1 is left for errors.
        rules = ("--lowestEfficiency", "0", "--highestUserWastedPercent", "1")
        command = (dive, f"docker-archive://{archive}", "--ci", *rules)
        found.append(Contender("dive --ci", (command,), peer=True))
    if squash:
        commands = (("mkdir", "{work}/rootfs"), (squash, str(archive), "{work}/rootfs"))
        found.append(Contender("container-inspector, squash", commands, peer=True))
    return found


def main() -> None:
    """Build and install."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="below which directory")
    work = parser.parse_args().work
    for module in MODULES:
        if not (work / "bin" / module.partition("@")[0].rpartition("/")[2]).exists():
            print(module, flush=True)
            environment = {**os.environ, "GOBIN": str(work / "bin"), "GOFLAGS": "-buildvcs=false"}
            subprocess.run(["go", "install", module], env=environment, check=True)
    if not _program(SQUASH, work):
        print("container-inspector", flush=True)
        venv.create(work / "container-inspector", with_pip=True)
        pip = work / "container-inspector/bin/pip"
        subprocess.run([pip, "install", "-q", "container-inspector"], check=True)


if __name__ == "__main__":
    main()
