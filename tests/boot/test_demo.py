"""One real boot: the demonstration, which takes some seconds of the emulator's work."""

import json
import shutil
from pathlib import Path

import pytest

from cosinspect.cli import main

READY = (
    shutil.which("qemu-system-x86_64")
    and any(Path("/boot").glob("vmlinuz-*"))
    and Path("/bin/busybox").exists()
)


@pytest.mark.skipif(not READY, reason="QEMU, busybox-static or a kernel is not installed")
def test_the_demonstration_boots_and_somebody_logs_in(capfd, tmp_path):
    status = main(
        ["boot", "--demo", "--accel", "tcg", "--format", "json", "--console", str(tmp_path / "console")]
    )
    told = json.loads(capfd.readouterr().out)
    assert (status, told["boot"]["result"], told["boot"]["login"]) == (0, "booted", "password"), told["boot"]
    assert told["capabilities"]["boot"]["status"] == "yes"
    assert b"Linux version" in (tmp_path / "console").read_bytes()
