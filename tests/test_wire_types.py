"""Threads that decode into one type for the first time: msgspec alone ends the process in each such run."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys, threading
from cosinspect.oci.documents import ImageConfig
raw = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":{},"history":[]}'
together = threading.Barrier(8)
def read():
    together.wait()
    ImageConfig.from_json(raw)
threads = [threading.Thread(target=read) for _ in range(8)]
sys.setswitchinterval(1e-6)
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


@pytest.mark.parametrize("attempt", range(3))
def test_threads_may_be_the_first_to_decode_together(attempt):
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, ""), attempt
