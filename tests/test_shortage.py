"""A machine that lacks memory, threads, files or space: no defect of an image comes of it, and no verdict that is kept."""

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from cosinspect.shortage import shortage_of


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (MemoryError(), "this machine has no memory left"),
        (RuntimeError("can't start new thread"), "no further thread"),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "f"),
            "f: No space left on device; free some space",
        ),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "allow the process more open files"),
    ],
)
def test_what_is_lacking_is_said_with_what_to_do(fault, said):
    assert said in shortage_of(fault)


@pytest.mark.parametrize(
    "fault", [RuntimeError("x"), FileNotFoundError(2, "no such file"), KeyError("x"), OSError("x")]
)
def test_other_errors_are_none_of_the_machine(fault):
    assert "" == shortage_of(fault)


PROGRAM = """
    import re, resource
    from pathlib import Path
    import zstandard
    from cosinspect.compression.codecs import Compression, inflate
    from cosinspect.compression.salvage import salvage_members

    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=26)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    blob = packer.compress(bytes(1 << 20)) + packer.flush()
    held = int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) << 10
    resource.setrlimit(resource.RLIMIT_AS, (held + (32 << 20),) * 2)
    for read in (inflate, salvage_members):
        try:
            print(sum(map(len, read(Compression.ZSTD, blob, lambda: b""))))
        except MemoryError:
            print("no memory")
"""


def test_a_codec_without_memory_says_nothing_of_its_input():
    """libzstd reports it as it reports damage."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=600, check=True,
    )  # fmt: skip
    assert "no memory\nno memory\n" == done.stdout
