"""Whom a registry's client tells what: credentials, redirects, TLS, proxies."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import socket
import socketserver
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest
from attrs import evolve

from cosinspect.blob import VerifiedStream
from cosinspect.errors import (
    AccessDenied,
    LimitExceeded,
    RegistryError,
    TransportError,
)
from cosinspect.image.opening import open_image
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.oci.reference import Reference
from cosinspect.sources.config.access import Access
from cosinspect.sources.registry.source import RegistrySource
from cosinspect.testing import BasicAuth, Fault, Registry, TokenAuth
from registry_client import (
    BLOB,
    DESCRIPTOR,
    IMAGE,
    MANIFEST_PATH,
    PASSWORD,
    client,
    gone,
    paths,
    read,
    reading,
    start,
    start_tls,
    write_config,
)

# ---- authorisation


@pytest.mark.parametrize("auth", [BasicAuth("alice", PASSWORD), TokenAuth("alice", PASSWORD)])
def test_the_docker_configuration_opens_a_registry(auth, tmp_path):
    with start(auth=auth) as registry:
        with client(registry, docker_config=write_config(tmp_path, registry.address)) as (source, slept):
            assert read(source, source.resolve()) == IMAGE.manifest
            assert read(source) == BLOB
            assert slept == []
        refused = [request for request in registry.requests if "Authorization" not in request.headers]

    assert len(refused) == 1  # the first one; afterwards the client knows


def test_an_identity_token_opens_a_registry(tmp_path):
    auth = TokenAuth("alice", PASSWORD, identity_token="refresh-me")
    with start(auth=auth) as registry:
        config = write_config(tmp_path, registry.address, identitytoken="refresh-me")
        with client(registry, docker_config=config) as (source, _):
            assert read(source) == BLOB


def test_anybody_gets_a_token_where_the_registry_allows_it():
    with reading(auth=TokenAuth(anonymous=True)) as (registry, source, _):
        source.resolve()
        read(source)
        token = next(request for request in registry.requests if request.path == "/token")

    assert token.query == {"service": ["cosinspect.testing"], "scope": ["repository:org/os:pull"]}
    assert "Authorization" not in token.headers


@pytest.mark.parametrize("auth", [BasicAuth("bob", "other"), TokenAuth("bob", "other")])
@pytest.mark.parametrize("known", [True, False])
def test_access_is_denied_at_once_and_without_a_secret(auth, known, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    with start(auth=auth) as registry:
        config = write_config(tmp_path, registry.address) if known else tmp_path / "absent"
        with client(registry, docker_config=config) as (source, slept):
            with pytest.raises(AccessDenied) as caught:
                source.resolve()
            assert slept == []
            shown = f"{source!r}{vars(source)!r}"
        assert len(registry.requests) <= 3
        assert f"docker login {registry.address}" in str(caught.value)
        assert str(caught.value).startswith(f"{registry.address}/org/os:v1: ")
    shown += "".join(traceback.format_exception(caught.value)) + repr(caught.value) + caplog.text
    for secret in (PASSWORD, "alice", base64.b64encode(f"alice:{PASSWORD}".encode()).decode()):
        assert secret not in shown


def test_a_registry_that_takes_no_token_of_its_own_is_asked_twice_only():
    with reading(auth=TokenAuth(anonymous=True, seconds=-1)) as (registry, source, _):
        with pytest.raises(AccessDenied):
            source.resolve()
        assert paths(registry) == [MANIFEST_PATH, "/token", MANIFEST_PATH]


def test_403_is_denied_with_the_codes_of_the_specification():
    body = json.dumps(
        {"errors": [{"code": "DENIED", "message": "no"}, {"code": "x\x1b[31m"}, 7, {"code": "UNAUTHORIZED"}]}
    )
    with (
        reading(Fault.status(403, body=body.encode())) as (_, source, _),
        pytest.raises(AccessDenied) as caught,
    ):
        source.resolve()

    assert (caught.value.status, caught.value.codes) == (403, ("DENIED", "UNAUTHORIZED"))
    assert "DENIED, UNAUTHORIZED" in str(caught.value)


def test_a_token_that_expires_in_the_middle_of_a_scan_is_renewed():
    now = [0.0]
    auth = TokenAuth(anonymous=True, seconds=100, clock=lambda: now[0])
    with reading(auth=auth) as (registry, source, slept):
        source.resolve()
        now[0] += 1000
        assert read(source) == BLOB
        assert read(source) == BLOB
        assert paths(registry).count("/token") == 2
        assert slept == []


def test_a_token_that_expires_before_a_blob_is_resumed_is_renewed():
    now = [0.0]
    auth = TokenAuth(anonymous=True, seconds=100, clock=lambda: now[0])
    with reading(Fault.truncate("*/blobs/*", 100_000), auth=auth) as (registry, source, _):
        stream = VerifiedStream(source.open(DESCRIPTOR), DESCRIPTOR)
        stream.read(10)
        now[0] += 1000
        stream.finish()
        assert paths(registry).count("/token") == 2


def test_threads_share_one_token_and_one_renewal():
    now = [0.0]
    auth = TokenAuth(anonymous=True, seconds=100, clock=lambda: now[0])
    together = threading.Barrier(8)
    with reading(auth=auth) as (registry, source, _):
        source.resolve()
        now[0] += 1000

        def fetch(_):
            together.wait()
            return read(source)

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(fetch, range(8))) == [BLOB] * 8
        assert paths(registry).count("/token") == 2


def test_a_token_server_is_asked_again_when_it_is_busy():
    faults = (Fault.status(503, "/token"), Fault.truncate("/token", 3), Fault.status(429, "/token"))
    with reading(*faults, auth=TokenAuth(anonymous=True)) as (registry, source, slept):
        source.resolve()
        assert paths(registry).count("/token") == 4
        assert slept == [0.5, 1.0, 2.0]


def test_a_token_servers_answer_is_bounded():
    limits = evolve(DEFAULT_LIMITS, token_bytes=20)
    with (
        reading(auth=TokenAuth(anonymous=True), limits=limits) as (_, source, _),
        pytest.raises(LimitExceeded) as caught,
    ):
        source.resolve()

    assert caught.value.limit == "token_bytes"


def test_the_netrc_file_is_not_used(tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text(f"default login alice password {PASSWORD}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with reading(auth=TokenAuth(anonymous=True)) as (registry, source, _):
        read(source)

        assert not any(
            request.headers.get("Authorization", "").startswith("Basic") for request in registry.requests
        )


# ---- redirects


def test_a_redirect_to_another_host_takes_no_authorisation_along(tmp_path):
    with start() as storage, start(auth=BasicAuth("alice", PASSWORD)) as registry:
        target = f"http://{storage.address}{{path}}?X-Signature=s3cret"
        registry.inject(Fault.redirect("*/blobs/*", target, times=None))
        with client(registry, docker_config=write_config(tmp_path, registry.address)) as (source, _):
            source.resolve()
            assert read(source) == BLOB
        (request,) = storage.requests

    assert request.query == {"X-Signature": ["s3cret"]}
    assert "Authorization" not in request.headers


def test_another_name_of_the_same_machine_is_another_host(tmp_path):
    with start(auth=BasicAuth("alice", PASSWORD)) as registry:
        port = registry.address.rpartition(":")[2]
        registry.inject(Fault.redirect("*/blobs/*", f"http://localhost:{port}{{path}}"))
        with (
            client(registry, docker_config=write_config(tmp_path, registry.address)) as (source, _),
            pytest.raises(RegistryError) as caught,
        ):
            read(source)
        asked = registry.requests[-1]

    assert (caught.value.status, asked.headers["Host"]) == (401, f"localhost:{port}")
    assert "Authorization" not in asked.headers


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_within_the_registry_keeps_the_authorisation(status, tmp_path):
    with start(auth=BasicAuth("alice", PASSWORD)) as registry:
        registry.inject(
            Fault.redirect("*/manifests/v1", f"/v2/org/os/manifests/{IMAGE.digest}", status=status)
        )
        with client(registry, docker_config=write_config(tmp_path, registry.address)) as (source, _):
            assert str(source.resolve().digest) == IMAGE.digest


def test_a_lost_connection_to_the_storage_is_resumed_through_the_registry():
    with start(Fault.truncate("*", 1000)) as storage, start() as registry:
        registry.inject(Fault.redirect("*/blobs/*", f"http://{storage.address}{{path}}", times=None))
        with client(registry) as (source, _):
            assert read(source) == BLOB
        assert len(registry.requests) == len(storage.requests) == 2


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("file:///etc/passwd", "no http or https URL"),
        ("ftp://example.org/x", "no http or https URL"),
        ("http://user:pass@example.org/", "no http or https URL"),
        ("http://[::1", "no http or https URL"),
        ("", "no http or https URL"),
        ("{path}", "more than 5 times"),
    ],
)
def test_a_redirect_that_leads_nowhere_is_an_error(location, says):
    with reading(Fault.redirect("*/manifests/*", location, times=None)) as (registry, source, _):
        with pytest.raises(TransportError, match=says) as caught:
            source.resolve()

        assert len(registry.requests) <= 6
    assert "pass" not in str(caught.value)


def test_the_storages_refusal_is_not_taken_for_the_registrys():
    signed = "X-Signature=s3cret"
    with start(Fault.status(403)) as storage, start() as registry:
        registry.inject(Fault.redirect("*/blobs/*", f"http://{storage.address}/?{signed}", times=None))
        with client(registry) as (source, _), pytest.raises(RegistryError) as caught:
            read(source)

    assert not isinstance(caught.value, AccessDenied)
    assert storage.address in str(caught.value)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_a_signed_url_is_in_no_error_when_the_storage_is_gone():
    address = gone()
    with (
        reading(Fault.redirect("*", f"http://{address}/x?X-Signature=s3cret", times=None)) as (
            _,
            source,
            _,
        ),
        pytest.raises(TransportError, match=address) as caught,
    ):
        source.resolve()

    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


# ---- names, TLS, proxies


@pytest.mark.usefixtures("resolving")
def test_https_is_spoken_to_everybody_else(certificate, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[1]))
    with start_tls(certificate) as (_, address), client(address) as (source, _):
        assert read(source, source.resolve()) == IMAGE.manifest
        assert read(source) == BLOB


@pytest.mark.usefixtures("resolving")
def test_a_certificate_of_nobody_is_refused_at_once(certificate):
    with start_tls(certificate) as (_, address), client(address) as (source, slept):
        with pytest.raises(TransportError, match=r"certificate.*REQUESTS_CA_BUNDLE"):
            source.resolve()
        assert slept == []


@pytest.mark.usefixtures("resolving")
def test_a_missing_bundle_of_certificates_is_named(monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/absent/bundle.pem")
    with client("registry.test") as (source, slept):
        with pytest.raises(TransportError, match="REQUESTS_CA_BUNDLE"):
            source.resolve()
        assert slept == []


@pytest.mark.usefixtures("resolving")
def test_a_registry_without_tls_leads_to_the_option():
    with start() as registry:
        address = "registry.test:" + registry.address.rpartition(":")[2]
        with client(address) as (source, slept):
            with pytest.raises(TransportError, match="--plain-http"):
                source.resolve()
            assert slept == []
        with client(address, plain_http=True) as (source, _):
            assert str(source.resolve().digest) == IMAGE.digest


@pytest.mark.usefixtures("resolving")
def test_https_is_never_left_for_http(certificate, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[1]))
    with start() as storage:
        redirect = Fault.redirect("*/blobs/*", f"http://{storage.address}{{path}}", times=None)
        with (
            start_tls(certificate, redirect) as (_, address),
            client(address) as (source, _),
            pytest.raises(TransportError, match="from HTTPS to plain HTTP"),
        ):
            read(source)
        assert storage.requests == ()


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("localhost/a:b", True),
        ("localhost:5000/a:b", True),
        ("127.0.0.1/a:b", True),
        ("127.8.9.10:80/a:b", True),
        ("[::1]:5000/a:b", True),
        ("[::1]/a:b", True),
        ("localhost.example.org/a:b", False),
        ("127.0.0.1.example.org/a:b", False),
        ("10.0.0.1:5000/a:b", False),
        ("quay.io/a:b", False),
    ],
)
def test_plain_http_is_for_localhost_only(name, plain):
    source = RegistrySource(Reference.parse(name))
    forced = RegistrySource(Reference.parse(name), access=Access(plain_http=True))

    assert source._client._registry.scheme == ("http" if plain else "https")
    assert forced._client._registry.scheme == "http"


@pytest.mark.usefixtures("resolving")
def test_docker_hub_is_asked_by_its_other_name(tmp_path, monkeypatch):
    """Through a proxy, which sees the whole URL."""
    config = tmp_path / "config.json"
    entry = {"auth": base64.b64encode(b"alice:hub").decode()}
    config.write_text(json.dumps({"auths": {"https://index.docker.io/v1/": entry}}))
    with Registry(auth=BasicAuth("alice", "hub")) as registry:
        registry.push(IMAGE, "library/os:latest")
        monkeypatch.setenv("HTTP_PROXY", f"http://{registry.address}")
        access = Access.of_docker_config(config, plain_http=True)
        source = RegistrySource(Reference.parse("os"), access=access)
        with contextlib.closing(source):
            assert str(source.resolve().digest) == IMAGE.digest
        hosts = {request.headers["Host"] for request in registry.requests}

    assert hosts == {"registry-1.docker.io"}


@pytest.mark.usefixtures("resolving")
def test_a_proxy_that_is_gone_is_named_by_its_variables(monkeypatch):
    address = gone()
    monkeypatch.setenv("HTTPS_PROXY", f"http://alice:{PASSWORD}@{address}")
    with (
        client("registry.test") as (source, _),
        pytest.raises(TransportError, match="HTTPS_PROXY") as caught,
    ):
        source.resolve()

    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


def test_a_name_that_does_not_resolve_is_said_so(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with (
        client("registry.test") as (source, _),
        pytest.raises(TransportError, match="cannot be resolved"),
    ):
        source.resolve()


class Front(socketserver.ThreadingTCPServer):
    """Answers plain HTTP as Go's TLS servers do, and passes TLS on to a port."""

    daemon_threads = True

    def __init__(self, port):
        super().__init__(("127.0.0.1", 0), self.handle_connection)
        self._port = port

    def handle_connection(self, connection, *_):
        if connection.recv(1, socket.MSG_PEEK) != b"\x16":
            connection.recv(65536)
            told = b"Client sent an HTTP request to an HTTPS server.\n"
            connection.sendall(
                b"HTTP/1.0 400 Bad Request\r\nContent-Length: %d\r\n\r\n%s" % (len(told), told)
            )
            return
        with socket.create_connection(("127.0.0.1", self._port)) as behind:
            back = threading.Thread(target=pump, args=(behind, connection), daemon=True)
            back.start()
            pump(connection, behind)
            back.join(10)


def pump(source, target):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def test_a_registry_on_this_machine_that_refuses_plain_http_is_asked_with_tls(certificate):
    """Its certificate is then verified as that of any other."""
    with start_tls(certificate) as (_, address), Front(int(address.rpartition(":")[2])) as front:
        threading.Thread(target=front.serve_forever, daemon=True).start()
        name = f"127.0.0.1:{front.server_address[1]}/org/os:v1"
        with pytest.raises(
            TransportError, match=r"the certificate of https://127\.0\.0\.1.*cannot be verified"
        ) as told:
            open_image(name, access=Access(auth_files=()))
        front.shutdown()
    assert "before that, " in str(told.value)
    assert "--cert-dir" in str(told.value)
