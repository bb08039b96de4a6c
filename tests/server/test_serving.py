"""The server as a process: slow registries, full queues, slow clients, certificates that change, and every way to end."""

import io
import json
import os
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cosinspect.cli import main
from cosinspect.testing import Registry
from cosinspect.testing.derivative import derivative
from cosinspect.testing.registry.faults import Fault
from real_registries import certificate, written
from serving import PATIENCE, RULES, review, serving
from signing import Signer


def test_an_image_that_takes_longer_is_not_admitted_yet_and_is_ready_later(tmp_path):
    with Registry(faults=[Fault.stall("/v2/*/blobs/*", 2.0)]) as registry, serving(tmp_path) as server:
        name = registry.push(derivative(), "org/os:v1")

        response = server.review(review("Pod", name), "/admission?timeout=1s")

        assert response["allowed"] is False
        assert response["status"]["code"] == 503
        assert "try again" in response["status"]["message"]
        server.until(lambda: server.counted("cosinspect_inspections_total", verdict="pass"))
        seen = len(registry.requests)
        assert server.review(review("Pod", name))["allowed"] is True
        assert len(registry.requests) - seen <= 1, "at most the tag was asked for"


def test_it_is_admitted_where_the_configuration_says_so_in_full_words(tmp_path):
    further = '[admission]\npending = "admit"\nundecided = "admit"\nunmatched = "admit"\nunlisted = "admit"'
    with (
        Registry(faults=[Fault.stall("/v2/*/blobs/*", 2.0)]) as registry,
        serving(tmp_path, further=further) as server,
    ):
        name = registry.push(derivative(), "org/os:v1")
        unlisted = review("Pod", name)
        unlisted["request"]["kind"]["kind"] = "Other"

        pending = server.review(review("Pod", name), "/admission?timeout=1s")
        undecided = server.review(review("Pod", "127.0.0.1:1/org/os:v1"))
        unmatched = server.review(review("Pod", "quay.io/org/os:v1"))

        assert (pending["allowed"], undecided["allowed"], unmatched["allowed"]) == (True, True, True)
        assert "try again" in pending["warnings"][0]
        assert undecided["warnings"]
        assert server.review(unlisted)["allowed"] is True


def test_requests_for_one_image_are_one_inspection(tmp_path):
    with Registry(faults=[Fault.stall("/v2/*/blobs/*", 0.5)]) as registry, serving(tmp_path) as server:
        name = registry.push(derivative(), "org/os:v1")
        answers = []
        threads = [
            threading.Thread(target=lambda: answers.append(server.review(review("Pod", name))["allowed"]))
            for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [True] * 20 == answers
        assert server.counted("cosinspect_inspections_total", verdict="pass") == 1
        heads = [each for each in registry.requests if "/manifests/v1" in each.path]
        assert len(heads) == 1, "the tag was asked for once"


def test_a_full_queue_refuses_and_says_so(tmp_path):
    stall = Fault.stall("/v2/*/blobs/*", 3.0, times=None)
    with (
        Registry(faults=[stall]) as registry,
        serving(tmp_path, inspections="workers = 1\nqueue = 1") as server,
    ):
        kinds = (None, "kernel-dangling", "kernel-removed")
        names = [registry.push(derivative(kind), f"org/{number}:v1") for number, kind in enumerate(kinds)]

        answers = [server.review(review("Pod", name), "/admission?timeout=1s") for name in names]

        assert [each["status"]["code"] for each in answers] == [503, 503, 503]
        assert "the queue is full" in answers[2]["status"]["message"]
        assert server.counted("cosinspect_refused_total") == 1


def test_what_cannot_be_reached_is_refused_and_tried_again(tmp_path):
    with (
        Registry(faults=[Fault.status(404, "/v2/*/blobs/*")]) as registry,
        serving(tmp_path, inspections="retry_seconds = 1.0") as server,
    ):
        name = registry.push(derivative(), "org/os:v1")

        response = server.review(review("Pod", name))

        assert response["allowed"] is False
        assert response["status"]["code"] == 403
        server.until(lambda: server.review(review("Pod", name))["allowed"])


def test_a_signature_that_comes_later_is_seen(tmp_path):
    (tmp_path / "cosign.pub").write_bytes(Signer().pem)
    rules = RULES + 'verify_keys = ["cosign.pub"]\n'
    with Registry() as registry, serving(tmp_path, rules, inspections="retry_seconds = 0.2") as server:
        name = registry.push(derivative(), "org/os:v1")

        response = server.review(review("Pod", name))

        assert response["allowed"] is False
        assert "COS092" in response["status"]["message"]
        assert len(list(_rows(tmp_path))) == 0, "it is not kept: it may be signed tomorrow"


def test_an_unsigned_image_fails_and_is_not_undecided(tmp_path):
    (tmp_path / "cosign.pub").write_bytes(Signer().pem)
    rules = RULES + 'verify_keys = ["cosign.pub"]\n'
    doubt = '[admission]\nundecided = "admit"'
    with Registry() as registry, serving(tmp_path, rules, further=doubt) as server:
        for broken, check in ((None, "COS092"), ("kernel-removed", "COS010")):
            name = registry.push(derivative(broken), f"org/{broken or 'good'}:v1")

            for _ in range(2):  # inspected, then remembered for a moment
                response = server.review(review("Pod", name))
                assert response["allowed"] is False, broken
                assert check in response["status"]["message"]
                assert f"{name}=fail" in response["auditAnnotations"]["images"]


def test_an_attested_verdict_is_believed_and_no_layer_read(tmp_path):
    pair = certificate("signer")
    key, _ = written(tmp_path, "signer", pair)
    (tmp_path / "attest.pub").write_bytes(
        pair[0].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    rules = RULES + 'attestation_keys = ["attest.pub"]\n'
    with Registry() as registry, serving(tmp_path, rules) as server:
        names = {
            kind: registry.push(derivative(kind), f"org/{kind or 'good'}:v1")
            for kind in (None, "kernel-dangling")
        }
        for name in names.values():
            main(["attest", name, "--key", str(key), "--profile", "cos", "--no-cache"], stdout=io.StringIO())
        other = registry.push(derivative("kernel-removed"), "org/other:v1")
        layers = {
            layer["digest"]
            for kind in names
            for layer in json.loads(registry.read(f"org/{kind or 'good'}:v1"))["layers"]
        }
        seen = len(registry.requests)

        answers = {kind: server.review(review("Pod", name)) for kind, name in names.items()}

        assert {kind: answer["allowed"] for kind, answer in answers.items()} == {
            None: True,
            "kernel-dangling": False,
        }
        assert "attested by" in answers["kernel-dangling"]["status"]["message"]
        read = {each.path.rpartition("/")[2] for each in registry.requests[seen:]}
        assert not read & layers
        assert "COS010" in server.review(review("Pod", other))["status"]["message"], "it was inspected"


def _rows(directory):
    with sqlite3.connect(directory / "verdicts.sqlite") as connection:
        yield from connection.execute("SELECT digest, verdict FROM verdicts")
    connection.close()


# -- the end, and what survives it ---------------------------------------------------------------------------------------


def test_sigterm_lets_requests_end(tmp_path):
    patient = "plain_http = true\ngrace_seconds = 240"
    with (
        Registry(faults=[Fault.stall("/v2/*/blobs/*", 1.0)]) as registry,
        serving(tmp_path, listen=patient) as server,
    ):
        name = registry.push(derivative(), "org/os:v1")
        answers = []
        asking = threading.Thread(target=lambda: answers.append(server.review(review("Pod", name))))
        asking.start()
        server.until(lambda: server.counted("cosinspect_waiting"))

        status = server.end(signal.SIGTERM)
        asking.join()

        assert status == 0
        assert answers[0]["allowed"] is True


def test_a_request_that_outlasts_the_grace_is_told_to_come_again(tmp_path):
    listen = "plain_http = true\ngrace_seconds = 2"
    with (
        Registry(faults=[Fault.stall("/v2/*/blobs/*", 30.0)]) as registry,
        serving(tmp_path, listen=listen) as server,
    ):
        name = registry.push(derivative(), "org/os:v1")
        answers = []
        asking = threading.Thread(
            target=lambda: answers.append(server.post("/admission", review("Pod", name)))
        )
        asking.start()
        server.until(lambda: server.counted("cosinspect_waiting"))

        assert server.end(signal.SIGTERM) == 0
        asking.join()

    (answer,) = answers
    assert answer.status_code in (200, 503), "answered in time that it is pending, or told to come again"
    assert "try again" in answer.text
    assert "Traceback" not in server.log.read_text()


def test_what_nobody_waits_for_does_not_delay_the_end(tmp_path):
    """A registry that never delivers, and a client that does not close its side of TLS: the grace is for neither."""
    _, root = written(tmp_path, "root", authority := certificate("authority", authority=True))
    listen = _written(tmp_path, certificate("cosinspect.test", issuer=authority))
    context = ssl.create_default_context(cafile=root)
    with (
        Registry(faults=[Fault.stall("*", 3600.0, method="*", times=None)]) as registry,
        serving(tmp_path, listen=f"{listen}\ngrace_seconds = 3000") as server,
        _connected(server) as plain,
        context.wrap_socket(plain, server_hostname="cosinspect.test") as client,
    ):
        digest = f"sha256:{'0' * 64}"
        for name in (f"{registry.address}/org/os:v1", f"{registry.address}/org/os@{digest}"):
            body = json.dumps(review("Pod", name)).encode()
            head = f"POST /admission?timeout=1s HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
            client.sendall(head.encode() + body)
            answer = b""
            while b"}}" not in answer:
                answer += (part := client.recv(100_000))
                assert part, answer

        assert server.end(signal.SIGTERM) == 0


def test_a_kill_loses_no_verdict_and_leaves_no_process(tmp_path):
    with Registry() as registry, serving(tmp_path) as server:
        name = registry.push(derivative("kernel-dangling"), "org/os:v1")
        good = registry.push(derivative(), "org/os:v2")
        pinned = server.review(review("Pod", good), "/mutate?timeout=600s")["auditAnnotations"]
        assert pinned
        assert server.review(review("Pod", name))["allowed"] is False
        children = _children(server.process.pid)
        assert children

        server.end(signal.SIGKILL)

        server.until(lambda: not any(_alive(child) for child in children))
    digests = {digest: verdict for digest, verdict in _rows(tmp_path)}  # noqa: C416 - rows are tuples
    assert sorted(digests.values()) == ["fail", "pass"]
    place = name.rpartition(":")[0]
    with serving(tmp_path) as server:  # and the registry is gone
        found = {
            verdict: server.review(review("Pod", f"{place}@{digest}"))["allowed"]
            for digest, verdict in digests.items()
        }
        assert found == {"pass": True, "fail": False}


def _children(process):
    threads = Path(f"/proc/{process}/task").glob("*/children")  # which one has made them makes no difference
    return [int(child) for thread in threads for child in thread.read_text().split()]


def _alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_process_that_dies_is_replaced_and_its_image_inspected_again(tmp_path):
    stall = Fault.stall("/v2/*/blobs/*", 3.0)
    with Registry(faults=[stall]) as registry, serving(tmp_path, inspections="workers = 1") as server:
        name = registry.push(derivative(), "org/os:v1")
        answers = []
        asking = threading.Thread(target=lambda: answers.append(server.review(review("Pod", name))))
        asking.start()
        server.until(lambda: any("/blobs/" in each.path for each in registry.requests))

        for child in _children(server.process.pid):
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            if b"inspection.processes" in command:
                os.kill(child, signal.SIGKILL)
        asking.join()

        assert answers[0]["allowed"] is True
        server.until(lambda: "died" in server.log.read_text())


def test_a_damaged_file_of_verdicts_is_put_aside(tmp_path):
    (tmp_path / "verdicts.sqlite").write_bytes(b"not a database, whatever its name says" * 100)

    with Registry() as registry, serving(tmp_path) as server:
        assert server.review(review("Pod", registry.push(derivative(), "org/os:v1")))["allowed"] is True

    assert (tmp_path / "verdicts.sqlite.damaged").is_file()
    assert [verdict for _, verdict in _rows(tmp_path)] == ["pass"]


# -- clients -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b"POST /admission HT", b"POST /admission HTTP/1.1\r\nHost: a\r\nX: "])
def test_a_client_that_sends_no_whole_head_is_let_go(tmp_path, sent):
    with serving(tmp_path, listen="plain_http = true\nclient_seconds = 0.5") as server:
        with _connected(server) as client:
            client.sendall(sent)
            client.settimeout(PATIENCE)
            started = time.monotonic()
            assert client.recv(1000) == b""
        assert time.monotonic() - started < PATIENCE / 2
        assert server.get("/healthz").ok


def test_a_body_that_does_not_come_is_given_up(tmp_path):
    with serving(tmp_path, listen="plain_http = true\nclient_seconds = 0.5") as server:
        with _connected(server) as client:
            client.sendall(b"POST /admission HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
            client.settimeout(PATIENCE)
            assert client.recv(1000).startswith(b"HTTP/1.1 408")
        with _connected(server) as client:
            client.sendall(b"POST /admission HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        assert server.get("/healthz").ok


def _connected(server):
    host, _, port = server.url.rpartition("/")[2].rpartition(":")
    return socket.create_connection((host, int(port)))


# -- TLS -----------------------------------------------------------------------------------------------------------------


def _written(directory, pair):
    key, chain = written(directory, "tls", pair)
    return f'certificate = "{chain.name}"\nkey = "{key.name}"'


def _peer(server, authority, versions=(ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3), client=None):
    """Connect, and give the serial number of the certificate that the server shows."""
    context = ssl.create_default_context(cafile=authority)
    context.minimum_version, context.maximum_version = versions
    if client:
        context.load_cert_chain(*client)
    with (
        _connected(server) as plain,
        context.wrap_socket(plain, server_hostname="cosinspect.test") as tls,
    ):
        tls.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        if not (answer := tls.recv(1000)):
            raise ConnectionError("the server let go")
        assert answer.startswith(b"HTTP/1.1 200")
        return tls.getpeercert()["serialNumber"]


def test_tls_is_1_3_and_a_new_certificate_is_taken_up(tmp_path):
    authority = certificate("authority", authority=True)
    _, root = written(tmp_path, "root", authority)
    listen = _written(tmp_path, certificate("cosinspect.test", issuer=authority))
    with serving(tmp_path, listen=listen) as server:
        first = _peer(server, root)
        with pytest.raises(ssl.SSLError):
            _peer(server, root, (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2))

        key, chain = tmp_path / "tls-key.pem", tmp_path / "tls.pem"
        good = key.read_bytes()
        key.write_bytes(b"half a file")
        server.until(lambda: "the old one stays" in server.log.read_text())
        assert _peer(server, root) == first
        key.write_bytes(good)
        _written(tmp_path, certificate("cosinspect.test", issuer=authority))
        assert chain.is_file()

        second = server.until(lambda: (found := _peer(server, root)) != first and found)
        assert second != first


def test_only_clients_of_an_authority_are_spoken_to(tmp_path):
    authority = certificate("authority", authority=True)
    _, root = written(tmp_path, "root", authority)
    listen = _written(tmp_path, certificate("cosinspect.test", issuer=authority)) + '\nclient_ca = "root.pem"'
    key, chain = written(tmp_path, "client", certificate("client.test", issuer=authority))
    with serving(tmp_path, listen=listen) as server:
        assert _peer(server, root, client=(chain, key))
        with pytest.raises((ssl.SSLError, ConnectionError)):
            _peer(server, root)


# -- wrong use -----------------------------------------------------------------------------------------------------------


def _serve(directory, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "cosinspect", "serve", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[listen]\nplain_http = true", "expected at least one rule"),
        ("[listen]\nplain_http = true\n[[rules]]\nprofile = 'nothing'", "rules[0]"),
        ("[listen]\nplain_http = true\n[[rules]]\npolicies = ['none.toml']", "line 4, rules[0].policies"),
        ("[[rules]]", "expected either certificate and key, or plain_http"),
        ("[listen]\ncertificate = 'a.toml'\nkey = 'a.toml'\n[[rules]]", "must be PEM"),
        (
            "[listen]\nplain_http = true\naddress = '192.0.2.1:1'\n[[rules]]",
            "this machine has no such address",
        ),
        ("[listen", "expected TOML"),
    ],
)
def test_a_configuration_with_mistakes_is_one_line(tmp_path, text, told):
    (tmp_path / "a.toml").write_text(text)

    done = _serve(tmp_path, "--config", "a.toml")

    assert done.returncode == (3 if "address" in told else 2), done.stderr
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_port_in_use_is_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        address = f"127.0.0.1:{busy.getsockname()[1]}"
        (tmp_path / "a.toml").write_text(f"[listen]\nplain_http = true\naddress = '{address}'\n{RULES}")
        done = _serve(tmp_path, "--config", "a.toml")

    assert done.returncode == 3
    assert f"{address}: expected an address to listen at, another program listens there" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_configuration_can_be_checked(tmp_path):
    (tmp_path / "a.toml").write_text(f"[listen]\nplain_http = true\n{RULES}")

    done = _serve(tmp_path, "--config", "a.toml", "--check")

    assert (done.returncode, done.stdout) == (0, "a.toml: 1 rule, no mistake\n")
    assert _serve(tmp_path, "--config", "none.toml").returncode == 2
    assert _serve(tmp_path).returncode == 2


def test_a_waiver_that_runs_out_is_another_rule(tmp_path):
    """Verdicts are kept by what decides them, and that includes the day."""
    policy = tmp_path / "fleet.toml"
    day = datetime.now(UTC).date()
    waiver = 'name = "fleet"\n[[waivers]]\ncheck = "COS011"\nreason = "known"\nexpires = {}\n'
    rules = RULES + 'policies = ["fleet.toml"]\n'
    with Registry() as registry:
        name = registry.push(derivative("kernel-dangling"), "org/os:v1")
        policy.write_text(waiver.format(day))
        with serving(tmp_path, rules) as server:
            assert server.review(review("Pod", name))["allowed"] is True
            policy.write_text(waiver.format("2020-01-01"))
            server.until(lambda: server.review(review("Pod", name))["allowed"] is False)
