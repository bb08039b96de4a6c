"""Where a registry may send its client, and what of its answers may be shown."""

import ipaddress
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cosinspect.errors import AccessDenied, CosinspectError, TransportError
from cosinspect.sources.config.access import Access
from cosinspect.sources.config.credential import Credential
from cosinspect.sources.registry import transport
from cosinspect.sources.registry.auth import joined
from cosinspect.sources.registry.lists import _next_query
from cosinspect.testing.registry.faults import Fault
from registry_client import BLOB_PATH, DESCRIPTOR, MANIFEST_PATH, client, read, serving, start

TOKEN = "abcdefghijklmnopqrstuvwxyz0123456789"


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1"),
        *("::1", "fe80::1%eth0", "fd00::1", "::ffff:10.0.0.1", "224.0.0.1"),
    ],
)
def test_addresses_of_the_own_network_are_internal(address):
    assert transport.is_internal(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "151.101.1.1", "2606:4700::1111"])
def test_others_are_not(address):
    assert not transport.is_internal(address)


@pytest.fixture
def internal_second(monkeypatch):
    """Take 127.0.0.1 for a public address and 127.0.0.2 for an internal one: both are this machine's own."""
    monkeypatch.setattr(
        transport, "is_internal", lambda address: address == str(ipaddress.ip_address("127.0.0.2"))
    )


class _Recorder(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def inside():
    """A server at the second address; it keeps what it is asked for."""
    with ThreadingHTTPServer(("127.0.0.2", 0), _Recorder) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _redirecting(registry, inside):
    location = f"http://127.0.0.2:{inside.server_port}/secret"
    registry.inject(Fault.status(307, path=BLOB_PATH, headers={"Location": location}, times=None))


@pytest.mark.usefixtures("internal_second")
def test_a_redirect_into_the_own_network_is_not_followed(inside):
    with start() as registry:
        _redirecting(registry, inside)
        with client(registry) as (source, _), pytest.raises(TransportError, match="allow-private-addresses"):
            read(source, DESCRIPTOR)
    assert [] == inside.asked


@pytest.mark.usefixtures("internal_second")
def test_it_is_followed_where_that_is_allowed(inside):
    access = Access(plain_http=True, auth_files=(), private_addresses=True)
    with start() as registry:
        _redirecting(registry, inside)
        with client(registry, access=access) as (source, _), pytest.raises(CosinspectError):
            read(source, DESCRIPTOR)
    assert "/secret" in inside.asked


def test_it_is_followed_where_the_registry_is_internal_itself(inside):
    with start() as registry:
        _redirecting(registry, inside)
        with client(registry) as (source, _), pytest.raises(CosinspectError):
            read(source, DESCRIPTOR)
    assert "/secret" in inside.asked


@pytest.mark.usefixtures("internal_second")
def test_a_token_server_in_the_own_network_is_not_asked(inside):
    with start() as registry:
        challenge = f'Bearer realm="http://127.0.0.2:{inside.server_port}/latest/meta-data"'
        registry.inject(
            Fault.status(401, path=MANIFEST_PATH, headers={"WWW-Authenticate": challenge}, times=None)
        )
        with client(registry) as (source, _), pytest.raises(CosinspectError, match="allow-private-addresses"):
            source.resolve()
    assert [] == inside.asked


@pytest.mark.parametrize("token", ["two words", 'quoted"', "a\nb", "", "=", "x" * 70_000, "tökén", "[1]"])
def test_what_cannot_be_a_token_is_not_carried_to_the_registry(token):
    def answer(connection, _):
        body = json.dumps({"token": token}).encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with serving(answer) as server, start() as registry:
        challenge = f'Bearer realm="http://{server}/token"'
        registry.inject(
            Fault.status(401, path=MANIFEST_PATH, headers={"WWW-Authenticate": challenge}, times=None)
        )
        with client(registry) as (source, _), pytest.raises((AccessDenied, CosinspectError), match="token"):
            source.resolve()
        sent = [request.headers.get("Authorization") for request in registry.requests]
        assert sent == [None] * len(sent)


@pytest.mark.parametrize("digest", [f"sha256:{TOKEN}", f"x {TOKEN}", "sha256:\x1b[31m"])
def test_a_digest_that_repeats_a_secret_is_not_shown(digest):
    with start() as registry:
        registry.inject(
            Fault.header(MANIFEST_PATH, "Docker-Content-Digest", digest.replace("\x1b", ""), times=None)
        )
        access = Access(plain_http=True, authorization=f"Bearer {TOKEN}")
        with client(registry, access=access) as (source, _), pytest.raises(CosinspectError) as told:
            source.resolve()
        assert TOKEN not in str(told.value)


def test_a_manifest_that_repeats_a_secret_is_refused():
    body = json.dumps({"schemaVersion": 2, "mediaType": f"application/{TOKEN}"}).encode()
    with start() as registry:
        registry.inject(Fault(path=MANIFEST_PATH, content=body, times=None))
        access = Access(
            plain_http=True, credential=Credential("user", TOKEN), authorization=f"Bearer {TOKEN}"
        )
        with client(registry, access=access) as (source, _), pytest.raises(CosinspectError) as told:
            source.resolve()
        assert TOKEN not in str(told.value)
        assert "repeats" in str(told.value)


# What Go's client makes of each (net/http, Response.Location): blanks and other bytes are escaped, control characters refused.
@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/v2/a b", "https://r.example/v2/a%20b"),
        ("/v2/\xc3\xa9", "https://r.example/v2/%C3%A9"),
        ("https://s.example/x?sig=a+b%2F", "https://s.example/x?sig=a+b%2F"),
        ("/v2/\x01", ""),
        ("", ""),
    ],
)
def test_locations_are_read_as_go_reads_them(location, target):
    assert target == joined("https://r.example/", location)


# go-containerregistry takes the first link whatever it says, containers/image what stands before the first semicolon.
@pytest.mark.parametrize(
    ("header", "query"),
    [
        ('</v2/a/tags/list?last=b>; rel="next"', "last=b"),
        ('</v2/a/tags/list?last=b>; title="x"; rel=next', "last=b"),
        ('</v2/a/tags/list?last=b>;rel="prev next"', "last=b"),
        ("</v2/a/tags/list?last=b>", "last=b"),
        ("/v2/a/tags/list?last=b", "last=b"),
        ('/v2/a/tags/list?last=b; rel="next"', "last=b"),
        ('</v2/a/tags/list?n=0>; rel="prev", </v2/a/tags/list?last=b>; rel="next"', "last=b"),
        ('</v2/a/tags/list?n=0>; rel="prev"', None),
        ("", None),
    ],
)
def test_links_are_read_as_other_clients_read_them(header, query):
    assert query == _next_query(header, "/v2/a/tags/list", "a")


@pytest.mark.parametrize("header", ["<", "</v2/a/tags/list?last=b", "<a><b>", '; rel="next"'])
def test_a_link_that_cannot_be_read_does_not_shorten_the_list(header):
    with pytest.raises(TransportError):
        _next_query(header, "/v2/a/tags/list", "a")
