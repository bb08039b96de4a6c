"""Gatekeeper's own driver, OPA in it, as the judge of what `deploy gatekeeper` prints (tests/server/gatekeeper)."""

import json
import subprocess
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path


@cache
def program():
    """Build the judge, once."""
    directory = Path(tempfile.mkdtemp(prefix="gatekeeper"))
    source = Path(__file__).parent / "server/gatekeeper"
    subprocess.run(["go", "build", "-o", directory / "gatekeeper", "."], cwd=source, check=True)
    return directory / "gatekeeper"


class Gatekeeper:
    """A driver that has the template and the constraint."""

    def __init__(self, process):
        self._process = process

    def violations(self, review):
        """Give the messages of a review, none where the object is admitted."""
        self._process.stdin.write(json.dumps(review) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def running(documents, url, *, seconds=180):
    """Have a driver that keeps answers for so many seconds, as Gatekeeper does for three minutes."""
    provider, template, constraint = documents
    provider = {**provider, "spec": {**provider["spec"], "url": url}}
    scene = {"provider": provider, "template": template, "constraint": constraint, "seconds": seconds}
    process = subprocess.Popen([program()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        process.stdin.write(json.dumps(scene) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        yield Gatekeeper(process)
    finally:
        process.kill()
        process.communicate()
