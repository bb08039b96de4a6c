"""The published Go types of Kubernetes and Gatekeeper as the judge of documents (tests/server/gotypes)."""

import functools
import json
import subprocess
import tempfile
from pathlib import Path


@functools.cache
def program():
    """Build the judge, once."""
    directory = Path(tempfile.mkdtemp(prefix="gotypes"))
    source = Path(__file__).parent / "server/gotypes"
    subprocess.run(["go", "build", "-o", directory / "gotypes", "."], cwd=source, check=True)
    return directory / "gotypes"


def requests():
    """Give the requests that the types write."""
    return json.loads(subprocess.run([program(), "requests"], capture_output=True, check=True).stdout)


def verdicts(asked):
    """Say of each document, with what it is taken as, "ok" or what the type says against it."""
    lines = "".join(json.dumps({"as": kind, "body": body}) + "\n" for kind, body in asked)
    found = subprocess.run([program()], input=lines, text=True, capture_output=True, check=True).stdout
    return found.splitlines()
