"""Registries as others run them: Debian's docker-registry plain, with passwords, tokens and TLS, and behind nginx."""

from __future__ import annotations

import json
import os
import signal
import socket
import time

import pytest
from requests.auth import AuthBase

from cosinspect.errors import AccessDenied, NotFound, RegistryError, TooManyRequests, TransportError
from cosinspect.oci.documents import parse_document
from cosinspect.sources.registry.source import Retries, Timeouts
from real_registries import TokenServer, certificate, docker_registry, nginx, program, push, running, written
from registry_client import (
    BLOB,
    DESCRIPTOR,
    IMAGE,
    PASSWORD,
    client,
    gone,
    read,
    read_broken_off,
    write_config,
)

pytestmark = pytest.mark.compat

QUICK = Timeouts(connect=5, read=0.3, total=60)
ONCE = Retries(attempts=1)


def test_dockers_registry_gives_back_what_was_pushed(tmp_path):
    with docker_registry(tmp_path) as address:
        push(address, IMAGE, "org/os", "v1")
        with client(address) as (source, _):
            found = source.resolve()
            assert (str(found.digest), found.media_type) == (IMAGE.digest, IMAGE.media_type)
            manifest = parse_document(read(source, found), found.media_type)
            for layer in (manifest.config, *manifest.layers):
                assert read(source, layer) == IMAGE.blobs[str(layer.digest)]

            assert read_broken_off(source) == BLOB
        with client(address, "org/os:absent") as (source, _), pytest.raises(NotFound) as caught:
            source.resolve()
        assert caught.value.codes == ("MANIFEST_UNKNOWN",)


def test_dockers_registry_with_passwords_opens_to_the_docker_configuration(tmp_path):
    # bcrypt of "correct horse", of nothing
    users = "alice:$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n"
    with docker_registry(tmp_path, users=users) as address:
        push(address, IMAGE, "org/os", "v1", auth=("alice", "correct horse"))
        config = tmp_path / "config.json"
        config.write_text(
            json.dumps({"auths": {address: {"username": "alice", "password": "correct horse"}}})
        )
        with client(address, docker_config=config) as (source, _):
            assert str(source.resolve().digest) == IMAGE.digest
            assert read(source) == BLOB
        with client(address) as (source, _), pytest.raises(AccessDenied) as caught:
            source.resolve()
        assert caught.value.codes == ("UNAUTHORIZED",)


def test_dockers_registry_lists_tags(tmp_path):
    with docker_registry(tmp_path) as address:
        for tag in ("v2", "v1"):
            push(address, IMAGE, "org/os", tag)
        with client(address) as (source, _):
            assert source.tags() == ("v1", "v2")
            assert (
                source.referrers(source.resolve().digest) == ()
            )  # it has no such API, and no tag in its place


# ---- tokens


class Bearer(AuthBase):
    """What pushes with a token of the server's own making."""

    def __init__(self, token):
        self.token = token

    def __call__(self, request):
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


def push_with_token(address, tokens):
    access = [{"type": "repository", "name": "org/os", "actions": ["pull", "push"]}]
    push(address, IMAGE, "org/os", "v1", auth=Bearer(tokens.token("pusher", access)))


def test_a_token_server_opens_dockers_registry_and_is_asked_once(tmp_path):
    with (
        TokenServer({"alice": PASSWORD}).serving() as tokens,
        docker_registry(tmp_path, auth=tokens.section(tmp_path)) as address,
    ):
        push_with_token(address, tokens)
        with client(address, docker_config=write_config(tmp_path, address)) as (source, _):
            assert read(source, source.resolve()) == IMAGE.manifest
            assert read(source) == BLOB
        ((query, _),) = tokens.requests
        assert query == {"service": ["registry.test"], "scope": ["repository:org/os:pull"]}

        with client(address) as (source, _), pytest.raises(AccessDenied) as caught:
            source.resolve()
        assert caught.value.codes == ("UNAUTHORIZED",)


def test_a_token_that_is_over_is_renewed_before_it_is_used(tmp_path):
    now = [0.0]
    with (
        TokenServer({"alice": PASSWORD}, seconds=100).serving() as tokens,
        docker_registry(tmp_path, auth=tokens.section(tmp_path)) as address,
    ):
        push_with_token(address, tokens)
        config = write_config(tmp_path, address)
        with client(address, docker_config=config, clock=lambda: now[0]) as (source, _):
            source.resolve()
            now[0] += 1000
            assert read(source) == BLOB
            assert len(tokens.requests) == 2


def test_a_token_that_the_registry_takes_no_more_in_the_middle_of_a_scan_is_renewed(tmp_path):
    """The keys of the token server are exchanged, and the registry is started anew with the new ones."""
    address = gone()
    config = write_config(tmp_path, address)
    with (
        TokenServer({"alice": PASSWORD}).serving() as tokens,
        client(address, docker_config=config) as (source, _),
    ):
        with docker_registry(tmp_path, auth=tokens.section(tmp_path), address=address):
            push_with_token(address, tokens)
            source.resolve()
            stream = source.open(DESCRIPTOR)
            first = stream.read(1000)
        tokens.signer = certificate("tokens.test", authority=True)
        with docker_registry(tmp_path, auth=tokens.section(tmp_path), address=address):
            stream._response.close()  # as the end of the registry closed it, but for what is still buffered
            rest = b"".join(iter(lambda: stream.read(65_536), b""))
            assert first + rest == BLOB
            assert read(source) == BLOB
            assert len(tokens.requests) == 2


# ---- TLS


@pytest.fixture
def resolving(monkeypatch):
    """Let every name be this machine, as a network of one's own would."""
    original = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest, **more: original("127.0.0.1", *rest, **more))


@pytest.mark.usefixtures("resolving")
def test_dockers_registry_with_tls_is_trusted_by_its_own_authority_alone(tmp_path, monkeypatch):
    authority = certificate("our authority", authority=True)
    key, chain = written(tmp_path, "registry", certificate("registry.test", issuer=authority))
    _, bundle = written(tmp_path, "authority", authority)
    with docker_registry(tmp_path, tls={"certificate": str(chain), "key": str(key)}) as address:
        name = f"registry.test:{address.rpartition(':')[2]}"
        push(f"https://{name}", IMAGE, "org/os", "v1", verify=str(bundle))
        with (
            client(name) as (source, _),
            pytest.raises(TransportError, match=r"certificate .* cannot be verified"),
        ):
            source.resolve()
        with client(name, plain_http=True) as (source, _), pytest.raises(RegistryError, match="--plain-http"):
            source.resolve()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
        with client(name) as (source, _):
            assert read(source, source.resolve()) == IMAGE.manifest
            assert read(source) == BLOB
        with (
            client(f"other.test:{address.rpartition(':')[2]}") as (source, _),
            pytest.raises(TransportError, match="certificate"),
        ):
            source.resolve()


# ---- behind nginx


def test_behind_nginx_blobs_come_from_another_host_that_learns_no_password(tmp_path):
    """The storage refuses requests with an `Authorization`, as S3 does beside a signature in the query."""
    users = "alice:$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n"
    front, storage = gone(), gone()
    files = tmp_path / "registry/docker/registry/v2/blobs/sha256"
    with docker_registry(tmp_path, users=users) as behind:
        push(behind, IMAGE, "org/os", "v1", auth=("alice", "correct horse"))
        servers = f"""
            log_format storage '$status [$http_authorization] [$http_range] [$http_if_range]';
            server {{
                listen {front};
                location / {{ proxy_pass http://{behind}; proxy_set_header Host $http_host; }}
                location ~ ^/v2/.+/blobs/(sha256:[0-9a-f]+)$ {{
                    return 307 http://localhost:{storage.rpartition(":")[2]}/$1?X-Signature=s3cret;
                }}
            }}
            server {{
                listen {storage};
                access_log {tmp_path}/storage.log storage;
                if ($http_authorization) {{ return 400; }}
                location ~ "^/sha256:(..)(.*)$" {{ alias {files}/$1/$1$2/data; }}
            }}
        """
        config = write_config(tmp_path, front, username="alice", password="correct horse")
        with nginx(tmp_path, servers, front), client(front, docker_config=config) as (source, _):
            manifest = parse_document(read(source, source.resolve()), IMAGE.media_type)
            for layer in (manifest.config, *manifest.layers):
                assert read(source, layer) == IMAGE.blobs[str(layer.digest)]
            assert read_broken_off(source) == BLOB
    *whole, cut, resumed = (tmp_path / "storage.log").read_text().splitlines()

    assert {*whole, cut} == {"200 [-] [-] [-]"}
    status, *sent = resumed.split(" ")
    assert (status, sent[:2]) == ("206", ["[-]", "[bytes=1000-]"])
    assert sent[2].startswith("[\\x22")  # nginx's own ETag, in quotes, as its log escapes them


BAD_DAYS = """
    location /v2/reset/ { return 444; }
    location /v2/busy/ { add_header Retry-After 3600 always; return 429; }
    location /v2/broken/ { return 502; }
    location /v2/gone/ { return 404; }
    location /v2/forbidden/ { return 403; }
"""


@pytest.mark.parametrize(
    ("repository", "error", "says"),
    [
        ("reset", TransportError, "closed the connection without an answer"),
        ("busy", TooManyRequests, "asks to wait for 3600 s"),
        ("broken", RegistryError, "answers 502; try again later"),
        ("gone", NotFound, "answers 404; check repository, tag and digest"),
        ("forbidden", AccessDenied, "docker login"),
    ],
)
def test_nginx_has_bad_days_too(repository, error, says, tmp_path):
    address = gone()
    with (
        nginx(tmp_path, f"server {{ listen {address}; {BAD_DAYS} }}", address),
        client(address, f"{repository}/os:v1") as (source, _),
        pytest.raises(error) as caught,
    ):
        source.resolve()

    assert says in str(caught.value)


def test_a_blob_that_nginx_lets_drip_is_given_up_in_time(tmp_path):
    address = gone()
    (tmp_path / "blob").write_bytes(BLOB)
    server = f"server {{ listen {address}; location ~ /blobs/ {{ limit_rate 500; alias {tmp_path}/blob; }} }}"
    started = time.monotonic()
    with (
        nginx(tmp_path, server, address),
        client(address, timeouts=Timeouts(read=5, total=1)) as (source, _),
        pytest.raises(TransportError, match="within 1 s"),
    ):
        read(source)

    assert time.monotonic() - started < 300


def test_dockers_registry_that_stops_and_goes_on_is_waited_for(tmp_path):
    with docker_registry(tmp_path) as address:
        push(address, IMAGE, "org/os", "v1")
    command = [
        program("docker-registry", "registry"),
        "serve",
        str(tmp_path / f"registry-{address.rpartition(':')[2]}.yml"),
    ]
    with running(command, address) as process:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        with (
            client(address, timeouts=QUICK, retries=ONCE) as (source, _),
            pytest.raises(TransportError, match=r"no answer within 0\.3 s"),
        ):
            source.resolve()
        process.send_signal(signal.SIGCONT)
        with client(address) as (source, _):
            assert read(source) == BLOB
    with client(address) as (source, _), pytest.raises(TransportError, match="refuses the connection"):
        source.resolve()
