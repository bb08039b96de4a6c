"""What is the server's own, held to its description by a tool that tries to find where the two part."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from cosinspect.testing import Registry
from cosinspect.testing.derivative import derivative
from serving import PATIENCE, review, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("described")) as running:
        yield running


def test_a_report_is_as_described(server):
    with Registry() as registry:
        server.review(review("Pod", registry.push(derivative("kernel-dangling"), "org/os:v1")))
        digest = hashlib.sha256(registry.read("org/os:v1")).hexdigest()
    document = server.get("/openapi.json").json()

    report = server.get(f"/reports/sha256:{digest}").json()

    jsonschema.validate(report, document["components"]["schemas"]["Report"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(report | {"verdict": "maybe"}, document["components"]["schemas"]["Report"])


def test_schemathesis_finds_nothing(server, tmp_path):
    program = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("schemathesis is not installed")
    done = subprocess.run(
        [program, "run", f"{server.url}/openapi.json", "--max-examples", "40", "--seed", "1", "--no-color"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE,
        check=False,
    )

    assert done.returncode == 0, done.stdout
