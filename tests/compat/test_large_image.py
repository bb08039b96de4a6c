"""The large derivative of `benchmarks/`: umoci, the kernel and cosinspect see the same tree, path by path, byte by byte.

Not part of the usual run: make the image first, then `COSINSPECT_BENCH_DIR=DIR pytest -m large`.
"""

import io
import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from cosinspect.cli import main
from cosinspect.image.opening import open_image
from cosinspect.inspection.inspection import inspect
from cosinspect.report.report import Verdict
from judges import Overlay, Seen, content_hashes, on_disk, umoci_unpack

pytestmark = [pytest.mark.compat, pytest.mark.large]

WORK = Path(os.environ.get("COSINSPECT_BENCH_DIR") or Path.home() / ".cache/cosinspect-bench")
LAYOUT = WORK / "layout"


@pytest.fixture(scope="module", params=["gzip", "zstd"])
def name(request):
    return f"oci:{LAYOUT}:{request.param}"


@pytest.fixture(scope="module")
def listed(name):
    """What `ls -R --format json` says, with the hash of every content."""
    out, err = io.StringIO(), io.StringIO()
    status = main(["ls", name, "-R", "--format", "json"], stdout=out, stderr=err)
    assert (0, "") == (status, err.getvalue())
    found = {}
    with open_image(name) as image:
        hashes = content_hashes(image, image.read_rootfs())
    for line in out.getvalue().splitlines():
        entry = json.loads(line)
        text = hashes.get(entry["path"], "") or entry.get("link", "")
        if "device" in entry:
            text = "{},{}".format(*entry["device"])
        mode = 0o777 if entry["type"] == "symlink" else entry["mode"]
        same = tuple(sorted(entry.get("hardlinks", ())))
        found[entry["path"]] = Seen(entry["type"], mode, entry["uid"], entry["gid"], text, same)
    return found


def differences(judged, found):
    return {
        path: (judged.get(path), found.get(path))
        for path in judged.keys() | found.keys()
        if judged.get(path) != found.get(path)
    }


def test_umoci_unpacks_the_same_tree(listed):
    with tempfile.TemporaryDirectory(dir=WORK) as work:
        # Debian's umoci reads no zstd; both images are of the same layers, told apart by compression only.
        assert "" == umoci_unpack(LAYOUT, "gzip", Path(work) / "rootfs")

        assert {} == differences(on_disk(Path(work) / "rootfs"), listed)


def test_the_kernel_shows_the_same_tree(listed, name):
    with tempfile.TemporaryDirectory(dir=WORK) as work, open_image(name) as image:
        archives = []
        for layer in image.layers:
            blob = LAYOUT / "blobs" / layer.descriptor.digest.algorithm / layer.descriptor.digest.encoded
            archives.append(Path(work) / f"{layer.position}.tar")
            program = "zstd" if name.endswith("zstd") else "gzip"
            with blob.open("rb") as packed, archives[-1].open("wb") as out:
                subprocess.run([program, "-dcq"], stdin=packed, stdout=out, check=True)

        with Overlay(archives, Path(work) / "overlay") as merged:
            judged = on_disk(merged)

        assert {} == differences(judged, listed)


def test_the_verdict_is_pass_with_evidence(name):
    report = inspect(name)

    assert Verdict.PASS == report.verdict
    assert "G2" == report.generation
    assert [] == [result.check for result in report.results if result.kind.value in ("fail", "open")]
    assert any("unpacks to" in line for result in report.results for line in result.evidence)
