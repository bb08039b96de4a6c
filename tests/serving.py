"""`cosinspect serve` as a process, and the documents that clusters send to it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import requests
from attrs import define

RULES = """
[[rules]]
registries = ["127.0.0.1:*"]
profile = "cos"
"""
PATIENCE = 600
"""Seconds that a busy machine may take for anything here."""

DATA = Path(__file__).parent / "data/kubernetes"
REQUESTS = json.loads((DATA / "requests.json").read_text())
"""What Kubernetes and Gatekeeper send, written by their own types (tests/server/gotypes)."""


@define
class Server:
    """A server that runs."""

    process: subprocess.Popen
    url: str
    log: Path

    def post(self, path, document, **options):
        """Send a document, and give the whole response."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return requests.post(f"{self.url}{path}", data=body, timeout=2 * PATIENCE, **options)

    def review(self, document, path="/admission?timeout=600s"):
        """Have an object admitted, and give the response in the answer."""
        answer = self.post(path, document)
        assert answer.status_code == 200, answer.text
        response = answer.json()["response"]
        assert response["uid"] == document["request"]["uid"]
        return response

    def get(self, path, **options):
        return requests.get(f"{self.url}{path}", timeout=PATIENCE, **options)

    def counted(self, name, **labels):
        """Give a number of the metrics."""
        for line in self.get("/metrics").text.splitlines():
            found = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
            if found and all(f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()):
                return float(found[2])
        return 0.0

    def until(self, condition):
        """Wait until something holds."""
        end = time.monotonic() + PATIENCE
        while not (found := condition()):
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)
        return found

    def end(self, number=signal.SIGTERM):
        """End the server, and give its exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@contextmanager
def serving(
    directory,
    rules=RULES,
    *,
    listen="plain_http = true",
    inspections="",
    further="",
    options=(),
    variables=None,
    database="verdicts.sqlite",
    address="127.0.0.1:0",
):
    """Serve by a configuration in a directory, with further options and environment variables, while the block runs."""
    if "workers" not in inspections:
        inspections += "\nworkers = 1"  # each takes seconds of a processor to start
    config = directory / "server.toml"
    config.write_text(
        f'[listen]\naddress = "{address}"\n{listen}\n[inspections]\ndatabase = "{database}"\n{inspections}\n'
        f"{further}\n{rules}\n"
    )
    log = directory / "server.log"
    environment = {**os.environ, "HOME": str(directory), "DOCKER_CONFIG": str(directory), **(variables or {})}
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "cosinspect", "serve", "-v", *options, "--config", str(config)],
            stderr=stream,
            env=environment,
        )
    before = log.stat().st_size
    try:
        end = time.monotonic() + PATIENCE
        while not (found := re.findall(r'listening at ([^\s"]+)', log.read_text()[before:])):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.02)
        yield Server(process, found[0], log)
    finally:
        process.kill()
        process.wait()


def review(kind, image, *, operation="CREATE", namespace="fleet", before=None):
    """Give the request that the API server sends for an object of a kind that names an image."""
    objects = {
        "Pod": ("", {"containers": [{"name": "os", "image": image}]}),
        "ManagedOSImage": ("elemental.cattle.io", {"osImage": image}),
        "Plan": (
            "upgrade.cattle.io",
            {"upgrade": {"image": image.rpartition(":")[0]}, "version": image.rpartition(":")[2]},
        ),
    }
    group, spec = objects[kind]
    request = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": group, "version": "v1", "kind": kind},
        "operation": operation,
        "namespace": namespace,
        "object": {"metadata": {"name": "machines"}, "spec": spec},
        "oldObject": before,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
