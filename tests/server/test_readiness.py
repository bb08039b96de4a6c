"""`/readyz` says whether images can be decided, and the metrics are ones that Prometheus takes."""

import os
import platform
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

import jsonschema
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cosinspect.server.certificate import tls_context
from cosinspect.server.configuration import Listen
from cosinspect.server.metrics import HOSTS, OTHER_HOSTS, Metrics
from cosinspect.version import __version__
from real_registries import certificate, written
from serving import PATIENCE, serving


def test_ready_means_that_verdicts_can_be_written_and_workers_are_alive(tmp_path):
    with serving(tmp_path) as server:
        document = server.get("/openapi.json").json()
        described = document["paths"]["/readyz"]["get"]["responses"]

        def ready(status):
            answer = server.get("/readyz")
            if answer.status_code != status:
                return None
            schema = described[str(status)]["content"]["application/json"]["schema"]
            jsonschema.validate(answer.json(), schema)
            return answer.json()

        assert server.until(lambda: ready(200))["reasons"] == []
        lock = sqlite3.connect(tmp_path / "verdicts.sqlite", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")  # somebody else writes, and does not end

        told = server.until(lambda: ready(503))
        assert told["reasons"] == ["verdicts cannot be written: database is locked"]
        assert server.get("/healthz").ok, "restarting the process would mend nothing"

        lock.close()
        server.until(lambda: ready(200))

        before = _children(server)
        assert before
        for child in before:
            os.kill(child, signal.SIGKILL)
        server.until(lambda: (now := _children(server)) and not now & before)
        server.until(lambda: ready(200))


def _children(server):
    """Give the processes that any thread of the server began."""
    lists = Path(f"/proc/{server.process.pid}/task").glob("*/children")
    return {int(child) for each in lists for child in each.read_text().split()}


def test_systemd_is_told_when_the_server_is_ready_reloads_and_ends(tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(PATIENCE)
        with serving(tmp_path, variables={"NOTIFY_SOCKET": str(path)}) as server:
            assert manager.recv(1000).decode().splitlines() == ["READY=1", "STATUS=answering"]
            server.process.send_signal(signal.SIGHUP)
            first, second = manager.recv(1000).decode().splitlines()
            assert first == "RELOADING=1"
            assert abs(int(second.removeprefix("MONOTONIC_USEC=")) / 1e6 - time.monotonic()) < PATIENCE
            assert manager.recv(1000).decode().startswith("READY=1\n")
            assert server.end() == 0
            assert manager.recv(1000) == b"STOPPING=1"


def test_the_metrics_say_what_runs_and_until_when_its_certificate_holds(tmp_path):
    key, made = certificate("cosinspect.test")
    written(tmp_path, "tls", (key, made))
    metrics = Metrics()

    tls_context(Listen(certificate=str(tmp_path / "tls.pem"), key=str(tmp_path / "tls-key.pem")), metrics)

    families = {each.name: each for each in text_string_to_metric_families(metrics.text().decode())}
    (expiry,) = families["cosinspect_certificate_expiry_timestamp_seconds"].samples
    assert expiry.value == made.not_valid_after_utc.timestamp()
    (build,) = families["cosinspect_build_info"].samples
    assert build.labels == {"version": __version__, "python_version": platform.python_version()}
    assert not [name for name in families if name.endswith("_created")]


def test_names_of_hosts_do_not_make_endless_series():
    metrics = Metrics()
    for number in range(3 * HOSTS):
        metrics.registry_error(f"h{number}.example", "TransportError")

    found = re.findall(
        r'registry_errors_total{error="TransportError",host="([^"]+)"} (\S+)', metrics.text().decode()
    )

    assert len(found) == HOSTS + 1
    assert dict(found)[OTHER_HOSTS] == f"{2 * HOSTS}.0"


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_promtool_finds_nothing_in_the_metrics():
    metrics = Metrics()
    metrics.watch(lambda: 1, lambda: 2.0)
    metrics.decisions.labels("admission", "rules[0]", "enforce", "pass", "yes").inc()
    metrics.registry_error("quay.io", "NotFound")
    metrics.requests.labels("admission", "200").inc()

    done = subprocess.run(
        ["promtool", "check", "metrics"], input=metrics.text(), capture_output=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, b"")
