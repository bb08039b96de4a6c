"""Requests on connections of their own: what goes that way, what goes the usual way, and that both say the same."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import threading
from functools import partial

import pytest
import requests
from attrs import evolve

from cosinspect.errors import CosinspectError
from cosinspect.oci.descriptor import Digest
from cosinspect.sources.config.access import Access
from cosinspect.sources.config.credential import Credential
from cosinspect.sources.registry import direct, transport
from cosinspect.sources.registry.auth import Url
from cosinspect.sources.registry.client import kept_connections
from cosinspect.sources.registry.direct import DirectTransport
from cosinspect.sources.registry.retries import Failure, Timeouts
from cosinspect.testing.registry.auth import BasicAuth, TokenAuth
from cosinspect.testing.registry.faults import Fault
from registry_client import (
    IMAGE,
    MANIFEST_PATH,
    PASSWORD,
    client,
    gone,
    paths,
    serving,
    start,
    start_tls,
    write_config,
)

DIGEST = Digest.of(IMAGE.manifest)


class Usual:
    """The usual transport, and how often it was asked for."""

    def __init__(self):
        self.made = 0

    def __call__(self, destination):
        self.made += 1
        return kept_connections(destination)


def resolve(address, environment=None, **options):
    """Give the digest that the image's name means, or the error, and how often the usual transport was needed."""
    usual = Usual()
    made = partial(DirectTransport, usual=usual, environment=environment or {})
    with client(address, transport=made, **options) as (source, _):
        try:
            return source.resolve().digest, usual.made
        except CosinspectError as fault:
            return f"{type(fault).__name__}: {fault}", usual.made


def usually(address, **options):
    """Give the same by the usual transport alone."""
    with client(address, **options) as (source, _):
        try:
            return source.resolve().digest
        except CosinspectError as fault:
            return f"{type(fault).__name__}: {fault}"


class Told:
    """Stands for the usual transport, and keeps what it is given."""

    def __init__(self):
        self.urls = []

    def __call__(self, _):
        return self

    def send(self, _method, url, *_):
        self.urls.append(url.text)
        return Failure(None, again=False)


def told_by(url, environment=None, *, timeouts=None):
    """Send one request; give what the usual transport was given."""
    told = Told()
    guard = transport.AddressGuard(allowed=True)
    destination = transport.Destination(url, guard, None, None, Timeouts())
    sender = DirectTransport(destination, usual=told, environment=environment or {})
    sender.send("GET", url, {}, None, timeouts or Timeouts())
    return told.urls


@pytest.mark.parametrize(
    "auth",
    [
        None,
        BasicAuth("alice", PASSWORD),
        TokenAuth("alice", PASSWORD),
        TokenAuth("alice", PASSWORD, identity_token="refresh-me"),
        TokenAuth(anonymous=True),
    ],
    ids=["none", "basic", "token", "identity token, by POST", "token for anybody"],
)
def test_credentials_are_sent_and_tokens_fetched_without_the_usual_transport(auth, tmp_path):
    with start(auth=auth) as registry:
        entry = {"identitytoken": "refresh-me"} if auth and getattr(auth, "identity_token", None) else {}
        config = write_config(tmp_path, registry.address, **entry)
        if getattr(auth, "anonymous", False):
            config.unlink()
        assert (DIGEST, 0) == resolve(registry, docker_config=config)
        direct = [(each.method, each.path, each.query) for each in registry.requests]
        heads = [each.headers for each in registry.requests]
        usually(registry, docker_config=config)
        usual = registry.requests[len(direct) :]
    assert direct == [(each.method, each.path, each.query) for each in usual]
    for head, other in zip(heads, [each.headers for each in usual], strict=True):
        left = {name.lower(): value for name, value in head.items() if name.lower() != "connection"}
        right = {name.lower(): value for name, value in other.items() if name.lower() != "connection"}
        for tokens in (left, right):
            tokens["authorization"] = tokens.get("authorization", "").partition(" ")[0]
        assert left == right


def test_challenges_in_several_headers_are_one_list():
    """As urllib3 joins them; `http.client` alone gives the first."""

    def answer(connection, head):
        if "Authorization" in head:
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(IMAGE.manifest), IMAGE.manifest)
            )
        else:
            connection.sendall(
                b"HTTP/1.1 401 No\r\nWWW-Authenticate: Negotiate\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n"
            )

    with serving(answer) as address:
        access = Access(plain_http=True, auth_files=(), credential=Credential("alice", PASSWORD))
        assert (DIGEST, 0) == resolve(address, access=access)


def test_a_redirect_is_followed_by_the_client_as_ever():
    with start() as registry:
        registry.inject(
            Fault.status(307, path=MANIFEST_PATH, headers={"Location": f"{MANIFEST_PATH}?again=1"})
        )
        assert (DIGEST, 0) == resolve(registry)
        assert [MANIFEST_PATH, MANIFEST_PATH] == paths(registry)


@pytest.mark.parametrize(
    "body",
    [b"%x\r\n%s\r\n0\r\n\r\n" % (len(IMAGE.manifest), IMAGE.manifest), None],
    ids=["chunked", "until the end"],
)
def test_a_body_may_come_in_any_form(body):
    coding = b"Transfer-Encoding: chunked" if body else b"Content-Length: %d" % len(IMAGE.manifest)

    def answer(connection, _):
        # The connection stays open behind the body: its end must not be waited for.
        connection.sendall(b"HTTP/1.1 200 OK\r\n%s\r\n\r\n%s" % (coding, body or IMAGE.manifest))
        connection.settimeout(5)
        connection.recv(1)

    with serving(answer) as address:
        assert (DIGEST, 0) == resolve(address, plain_http=True, timeouts=Timeouts(read=4.0))


FAULTS = {
    "not found": Fault.status(404, path=MANIFEST_PATH, times=None),
    "500": Fault.status(500, path=MANIFEST_PATH, times=None),
    "dropped": Fault.drop(MANIFEST_PATH, times=None),
    "cut": Fault.truncate(MANIFEST_PATH, 10, times=None),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_named_as_by_the_usual_transport(fault):
    with start(FAULTS[fault]) as registry:
        found, _ = resolve(registry)
        assert "Error: " in found or "NotFound: " in found
        assert found == usually(registry)


def test_a_registry_that_is_gone_is_named_as_by_the_usual_transport():
    address = gone()
    assert (usually(address), 1) == resolve(address)


def test_a_head_that_drips_in_is_given_up():
    stop = threading.Event()

    def answer(connection, _):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not stop.wait(0.05):
            connection.sendall(b"X: y\r\n")

    with serving(answer) as address:
        url = Url.parse(f"http://{address}/v2/")
        assert [url.text] == told_by(url, timeouts=Timeouts(connect=5, read=0.3))
        stop.set()


@pytest.mark.parametrize("name", ["https_proxy", "HTTP_PROXY", "all_proxy"])
def test_with_a_proxy_the_usual_transport_sends(name):
    """Unless the registry is this machine's own, which no proxy can reach."""
    url = Url.parse("http://registry.invalid/v2/")
    assert [url.text] == told_by(url, {name: "http://127.0.0.1:1"})
    with start() as own:
        assert (DIGEST, 0) == resolve(own, {name: "http://127.0.0.1:1"})


@pytest.mark.parametrize("target", ["/v2/a%7eb", "/v2/../x", "/v2/a|b", "/v2/ü", ""])
def test_a_target_that_urllib3_rewrites_goes_the_usual_way(target):
    url = evolve(Url.parse("http://127.0.0.1:1/"), text=f"http://127.0.0.1:1{target}")
    assert [url.text] == told_by(url)


@pytest.fixture
def internal_second(monkeypatch):
    """Take 127.0.0.1 for a public address and 127.0.0.2 for an internal one: both are this machine's own."""
    monkeypatch.setattr(transport, "is_internal", lambda address: address == "127.0.0.2")


@pytest.mark.usefixtures("internal_second")
def test_a_token_server_in_the_own_network_is_not_asked():
    asked = []

    def inside(connection, head):
        asked.append(head)
        connection.close()

    def registry(connection, _):
        connection.sendall(
            b'HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer realm="http://127.0.0.2:%d/token"\r\nContent-Length: 0\r\n\r\n'
            % port
        )

    with _listening("127.0.0.2", inside) as port, serving(registry) as address:
        found, usual = resolve(address, plain_http=True)
    assert "--allow-private-addresses" in found
    assert (1, []) == (usual, [head for head in asked if head])


@contextlib.contextmanager
def _listening(host, answer):
    with socket.create_server((host, 0)) as server:
        server.settimeout(0.2)
        stop = threading.Event()

        def accept():
            while not stop.is_set():
                with contextlib.suppress(OSError):
                    connection, _ = server.accept()
                    with connection:
                        answer(connection, connection.recv(65_536).decode("latin-1"))

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            stop.set()
            thread.join()


# ---- TLS


@pytest.mark.usefixtures("resolving")
@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_bundle_of_the_environment_is_trusted(certificate, name):
    with start_tls(certificate) as (_, address):
        assert (DIGEST, 0) == resolve(address, {name: str(certificate[1])})


@pytest.mark.usefixtures("resolving")
def test_the_directory_of_a_registry_s_certificates_is_trusted(certificate, tmp_path):
    shutil.copy(certificate[1], tmp_path / "own.crt")
    with start_tls(certificate) as (_, address):
        access = Access(auth_files=(), certificate_directory=tmp_path)
        assert (DIGEST, 0) == resolve(address, access=access)
        assert (DIGEST, 0) == resolve(address, access=Access(auth_files=(), tls_verify=False))


@pytest.mark.usefixtures("resolving")
def test_a_certificate_that_is_not_trusted_is_refused_and_named_as_ever(certificate):
    with start_tls(certificate) as (registry, address):
        found, usual = resolve(address)
        assert registry.requests == ()
        assert (usually(address), 1) == (found, usual)
    assert "certificate" in found


def test_a_certificate_for_another_name_is_refused(certificate, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[1]))
    original = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest, **more: original("127.0.0.1", *rest, **more))
    with start_tls(certificate) as (registry, address):
        other = address.replace("registry.test", "other.test")
        found, usual = resolve(other, {"REQUESTS_CA_BUNDLE": str(certificate[1])})
        assert ((), 1) == (registry.requests, usual)
    assert "certificate" in found


def test_old_versions_of_tls_are_not_spoken():
    """As in urllib3."""
    assert ssl.TLSVersion.TLSv1_2 == direct._trusting(None, {}).minimum_version


def test_the_authorities_are_those_of_requests():
    bundle = ssl.create_default_context(cafile=requests.certs.where())
    assert bundle.get_ca_certs() == direct._trusting(None, {}).get_ca_certs()
