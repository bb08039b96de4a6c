"""How registries are reached and as whom: files in order, prefixes and mirrors, certificates, and nothing secret elsewhere."""

import base64
import contextlib
import io
import json
import logging
import os
import socket
import ssl
import threading
from pathlib import Path

import pytest
import requests
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from cosinspect.cli import main
from cosinspect.errors import CosinspectError, InvalidAccess, InvalidReference, NotFound
from cosinspect.image.opening import open_image
from cosinspect.oci.reference import Reference
from cosinspect.sources.config.access import Access, auth_files, registries_conf_files
from cosinspect.sources.config.certificates import tls_context
from cosinspect.sources.config.credential import Credential
from cosinspect.sources.config.docker_config import find_credential
from cosinspect.sources.config.pull_secrets import read_auth_document
from cosinspect.sources.config.registries_conf import RegistriesConf
from cosinspect.sources.config.registries_files import load_registries_conf
from cosinspect.testing import BasicAuth, Fault, Registry, TokenAuth
from real_registries import certificate, written
from registry_client import IMAGE
from stacks import SCALE

HOME = {"HOME": "/h"}


def auth(user, password="p"):
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def user_of(found):
    return found.credential.user if found.credential else None


# -- files of credentials ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"REGISTRY_AUTH_FILE": "/a.json", **HOME}, ["/a.json"]),
        (
            {"XDG_RUNTIME_DIR": "/r", **HOME},
            [
                "/r/containers/auth.json",
                "/h/.config/containers/auth.json",
                "/h/.docker/config.json",
                "/h/.dockercfg",
            ],
        ),
        (
            {"XDG_RUNTIME_DIR": "/r", "XDG_CONFIG_HOME": "/c", "DOCKER_CONFIG": "/d", **HOME},
            ["/r/containers/auth.json", "/c/containers/auth.json", "/d/config.json", "/h/.dockercfg"],
        ),
        (
            HOME,
            [
                f"/run/containers/{os.getuid()}/auth.json",
                "/h/.config/containers/auth.json",
                "/h/.docker/config.json",
                "/h/.dockercfg",
            ],
        ),
        ({}, [f"/run/containers/{os.getuid()}/auth.json"]),
    ],
)
def test_the_order_of_files(environment, expected):
    assert expected == [str(path) for path in auth_files(environment)]


def test_the_first_file_that_knows_the_registry_counts(tmp_path):
    files = [
        tmp_path / name for name in ("absent.json", "other.json", "broken.json", "first.json", "second.json")
    ]
    files[1].write_text(json.dumps({"auths": {"other.example": auth("other")}}))
    files[2].write_text("{")
    files[3].write_text(json.dumps({"auths": {"r.example": auth("first")}}))
    files[4].write_text(json.dumps({"auths": {"r.example": auth("second")}}))
    assert "first" == user_of(find_credential("r.example", files=files))
    missing = find_credential("no.example", files=files)
    assert "broken.json cannot be read" in missing.problem


@pytest.mark.parametrize(
    ("host", "repository", "expected"),
    [
        ("r.example", "a/b/c", "abc"),
        ("r.example", "a/b/d", "ab"),
        ("r.example", "a/x", "host"),
        ("r.example", "ab", "host"),
        ("r.example:5000", "a/b/c", "port"),
        ("docker.io", "library/os", "hub"),
        ("docker.io", "org/os", "hub-org"),
        ("other.example", "a", None),
    ],
)
def test_the_most_specific_entry_counts(tmp_path, host, repository, expected):
    names = {
        "r.example/a/b/c": "abc",
        "r.example/a/b": "ab",
        "r.example": "host",
        "r.example:5000": "port",
        "https://index.docker.io/v1/": "hub",
        "docker.io/org": "hub-org",
    }
    path = tmp_path / "auth.json"
    path.write_text(json.dumps({"auths": {name: auth(user) for name, user in names.items()}}))
    assert expected == user_of(find_credential(host, repository=repository, files=[path]))


INNER = json.dumps({"auths": {"r.example": auth("secret")}})
CODED = base64.b64encode(INNER.encode()).decode()
OLD = base64.b64encode(json.dumps({"r.example": auth("secret")}).encode()).decode()


@pytest.mark.parametrize(
    "text",
    [
        INNER,
        json.dumps({"r.example": auth("secret")}),
        json.dumps({"kind": "Secret", "data": {".dockerconfigjson": CODED}}),
        json.dumps({"kind": "Secret", "data": {".dockercfg": OLD}}),
        f"apiVersion: v1\nkind: Secret\ntype: kubernetes.io/dockerconfigjson\ndata:\n  .dockerconfigjson: {CODED}\n",
        f"kind: Secret\nstringData:\n  .dockerconfigjson: '{INNER}'\n",
    ],
)
def test_pull_secrets_are_read_as_they_are(tmp_path, text):
    path = tmp_path / "secret"
    path.write_text(text)
    assert "secret" == user_of(find_credential("r.example", files=[path]))


@given(
    st.binary(max_size=200)
    | st.recursive(st.text(max_size=8), lambda each: st.lists(each, max_size=3)).map(
        lambda value: json.dumps({"kind": "Secret", "data": {".dockerconfigjson": value}}).encode()
    )
)
@settings(max_examples=300 * SCALE, deadline=None)
def test_any_bytes_are_a_document_or_refused(data):
    with contextlib.suppress(ValueError, RecursionError):
        assert isinstance(read_auth_document(data), dict)


# -- registries.conf ---------------------------------------------------------------------------------------------------


def conf(tmp_path, text, name="registries.conf"):
    path = tmp_path / name
    path.write_text(text)
    return load_registries_conf([path])


PREFIXES = """
[[registry]]
location = "r.example"
[[registry.mirror]]
location = "m1.example/copy"
[[registry.mirror]]
location = "m2.example"
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "m3.example"
pull-from-mirror = "tag-only"
insecure = true

[[registry]]
prefix = "r.example/team"
location = "t.example/other"
insecure = true

[[registry]]
prefix = "*.wild.example"
insecure = true

[[registry]]
location = "bad.example/x"
blocked = true

[[registry]]
location = "digest.example"
mirror-by-digest-only = true
mirror = [{ location = "m4.example" }]
"""
DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("r.example/os:1", ["m1.example/copy/os:1", "!m3.example/os:1", "r.example/os:1"]),
        (
            f"r.example/os@{DIGEST}",
            [f"m1.example/copy/os@{DIGEST}", f"m2.example/os@{DIGEST}", f"r.example/os@{DIGEST}"],
        ),
        ("r.example/team/os:1", ["!t.example/other/os:1"]),
        (
            "r.example/teams/os:1",
            ["m1.example/copy/teams/os:1", "!m3.example/teams/os:1", "r.example/teams/os:1"],
        ),
        ("r.example:5000/os:1", ["r.example:5000/os:1"]),  # a port makes it another host
        ("a.wild.example/os:1", ["!a.wild.example/os:1"]),
        ("a.b.wild.example/os:1", ["!a.b.wild.example/os:1"]),
        ("wild.example/os:1", ["wild.example/os:1"]),
        ("bad.example/y:1", ["bad.example/y:1"]),
        ("digest.example/os:1", ["digest.example/os:1"]),
        (f"digest.example/os@{DIGEST}", [f"m4.example/os@{DIGEST}", f"digest.example/os@{DIGEST}"]),
    ],
)
def test_prefixes_and_mirrors(tmp_path, name, expected):
    found = conf(tmp_path, PREFIXES).endpoints(Reference.parse(name))
    assert expected == [("!" if each.insecure else "") + str(each.reference) for each in found]


def test_what_is_blocked(tmp_path):
    with pytest.raises(InvalidAccess, match=r"bad.example/x is blocked"):
        conf(tmp_path, PREFIXES).endpoints(Reference.parse("bad.example/x/os:1"))


def test_later_files_over_earlier_ones(tmp_path):
    first, second = tmp_path / "a.conf", tmp_path / "b.conf"
    first.write_text(
        'unqualified-search-registries = ["a.example"]\n[[registry]]\nlocation = "r.example"\nblocked = true\n'
    )
    second.write_text(
        '[[registry]]\nprefix = "r.example"\nlocation = "s.example"\n[aliases]\nos = "b.example/os"\n'
    )
    found = load_registries_conf([first, tmp_path / "absent.conf", second])
    assert ["s.example/os:1"] == [
        str(each.reference) for each in found.endpoints(Reference.parse("r.example/os:1"))
    ]
    assert (("a.example",), {"os": "b.example/os"}) == (found.search, found.aliases)


@pytest.mark.parametrize(
    ("search", "aliases", "name", "meant"),
    [
        ((), {}, "os:1", None),
        (("docker.io",), {}, "os:1", None),
        (("docker.io", "r.example"), {}, "os:1", None),
        (("r.example", "docker.io"), {}, "os:1", "r.example/os"),
        ((), {"os": "docker.io/library/os"}, "os:1", None),
        (("docker.io",), {"os": "q.example/org/os"}, f"os@{DIGEST}", "q.example/org/os"),
        (("r.example",), {}, "org/os", "r.example/org/os"),
        (("r.example",), {}, "docker.io/os", None),
        (("r.example",), {}, "docker://os", None),
        (("r.example",), {}, "localhost/os", None),
    ],
)
def test_short_names_are_refused_where_they_could_mean_another_image(search, aliases, name, meant):
    found = RegistriesConf(search=search, aliases=aliases)
    if meant is None:
        found.refuse_short(name)
        return
    with pytest.raises(InvalidReference) as told:
        found.refuse_short(name)
    assert f"write it in full: {meant}, or docker.io/" in str(told.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[registries.search]\nregistries = ['a']\n", "found version 1"),
        ("[[registry]]\nblocked = true\n", "expected a prefix or a location"),
        ("[[registry]]\nprefix = '*.a'\nlocation = 'b'\n", "expected no location"),
        ("[[registry]]\nprefix = 'a'\n", "expected a location"),
        ("[[registry]]\nprefix = 7\n", "expected a registries.conf"),
        (
            "[[registry]]\nprefix = 'a'\nmirror = [{location='m', pull-from-mirror='some'}]\n",
            "expected a registries.conf",
        ),
        ("[[", "expected a registries.conf"),
        ("#" * (1 << 20) + "#", "expected at most"),
    ],
)
def test_what_is_no_registries_conf(tmp_path, text, expected):
    with pytest.raises(InvalidAccess, match=expected):
        conf(tmp_path, text)


@given(
    st.binary(max_size=120)
    | st.text(alphabet="[]registy=mrlocanpfx'\"\n.*/tue ", max_size=80).map(str.encode)
)
@settings(max_examples=300 * SCALE, deadline=None)
def test_any_bytes_are_a_configuration_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.conf"
    path.write_bytes(data)
    with contextlib.suppress(InvalidAccess):
        load_registries_conf([path]).endpoints(Reference.parse("r.example/os:1"))


def test_where_the_configuration_is(tmp_path):
    home = tmp_path / "containers"
    (home / "registries.conf.d").mkdir(parents=True)
    for name in (
        "registries.conf",
        "registries.conf.d/b.conf",
        "registries.conf.d/a.conf",
        "registries.conf.d/x.txt",
    ):
        (home / name).write_text("")
    found = [
        path
        for path in registries_conf_files({"XDG_CONFIG_HOME": str(tmp_path)})
        if path.is_relative_to(tmp_path)
    ]
    assert ["registries.conf", "a.conf", "b.conf"] == [path.name for path in found]
    assert [Path("/x")] == list(registries_conf_files({"CONTAINERS_REGISTRIES_CONF": "/x"}))


# -- mirrors and secrets -----------------------------------------------------------------------------------------------


@pytest.fixture
def registries():
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(Registry()) for _ in range(3)]
        for each in made:
            each.push(IMAGE, "org/os:v1")
        yield made


def mirrored(tmp_path, main_registry, *mirrors):
    lines = f'[[registry]]\nlocation = "{main_registry.address}"\n'
    lines += "".join(f'[[registry.mirror]]\nlocation = "{each.address}"\n' for each in mirrors)
    return Access(registries=conf(tmp_path, lines), auth_files=())


def test_the_first_mirror_that_has_the_image_gives_all_of_it(tmp_path, registries):
    own, broken, good = registries
    broken.inject(Fault.status(404, times=None))
    access = mirrored(tmp_path, own, broken, good)
    with open_image(f"{own.address}/org/os:v1", access=access) as image:
        image.read_rootfs()
    assert [] == list(own.requests)
    assert {"manifests", "blobs"} == {request.path.split("/")[4] for request in good.requests}


def test_without_a_mirror_that_has_it_the_registry_itself_is_asked_last(tmp_path, registries):
    own, first, second = registries
    for each in (first, second):
        each.inject(Fault.status(404, times=None))
    with open_image(f"{own.address}/org/os:v1", access=mirrored(tmp_path, own, first, second)) as image:
        assert str(image.digest) == IMAGE.digest
    own.inject(Fault.status(404, times=None))
    with pytest.raises(NotFound) as told:
        open_image(f"{own.address}/org/os:v1", access=mirrored(tmp_path, own, first, second))
    for each in (first, second):
        assert each.address in str(told.value)


def test_credentials_that_were_given_go_to_no_mirror(tmp_path):
    with Registry(auth=BasicAuth("alice", "s3cret-given")) as own, Registry() as mirror:
        own.push(IMAGE, "org/os:v1")
        mirror.inject(Fault.status(401, headers={"WWW-Authenticate": 'Basic realm="x"'}, times=None))
        access = evolve(mirrored(tmp_path, own, mirror), credential=Credential("alice", "s3cret-given"))
        with open_image(f"{own.address}/org/os:v1", access=access):
            pass
        assert [None] * len(mirror.requests) == [
            request.headers.get("Authorization") for request in mirror.requests
        ]
        assert any(request.headers.get("Authorization") for request in own.requests)


def test_an_authorization_that_was_given_is_sent_from_the_first_request_on():
    with Registry(auth=BasicAuth("alice", "pw")) as registry:
        name = registry.push(IMAGE, "org/os:v1")
        header = Credential("alice", "pw").basic
        with open_image(name, access=Access(authorization=header, auth_files=())) as image:
            image.read_rootfs()
        assert {header} == {request.headers.get("Authorization") for request in registry.requests}
        with pytest.raises(CosinspectError, match="refuses the authorization that was given"):
            open_image(name, access=Access(authorization="Bearer other", auth_files=()))


# -- certificates ------------------------------------------------------------------------------------------------------


def test_certificates_that_cannot_be_used(tmp_path):
    with pytest.raises(InvalidAccess, match="a directory of certificates"):
        tls_context(tmp_path / "absent", verify=True)
    (tmp_path / "a.cert").write_text("x")
    with pytest.raises(InvalidAccess, match=r"expected the key a.key"):
        tls_context(tmp_path, verify=True)
    (tmp_path / "a.key").write_text("x")
    with pytest.raises(InvalidAccess, match=r"a.cert: expected a certificate in PEM"):
        tls_context(tmp_path, verify=True)
    (tmp_path / "a.cert").unlink()
    with pytest.raises(InvalidAccess, match=r"expected the certificate a.cert"):
        tls_context(tmp_path, verify=True)
    (tmp_path / "a.key").unlink()
    (tmp_path / "ca.crt").write_bytes(b"\0junk")
    with pytest.raises(InvalidAccess, match=r"ca.crt: expected a certificate in PEM"):
        tls_context(tmp_path, verify=True)


def test_a_directory_of_certificates_is_loaded(tmp_path):
    _, chain = written(tmp_path, "authority", certificate("our authority", authority=True))
    directory = tmp_path / "certs"
    directory.mkdir()
    (directory / "ca.crt").write_bytes(chain.read_bytes())
    (directory / "readme.txt").write_text("nothing")
    before = len(tls_context(None, verify=False).get_ca_certs())
    assert before + 1 == len(tls_context(directory, verify=True).get_ca_certs())


def test_other_hosts_are_trusted_by_the_registrys_authority_and_shown_no_certificate(tmp_path):
    """A token server has the same authority, as a rule; whom the user is, only the registry learns."""
    authority = certificate("our authority", authority=True)
    _, chain = written(tmp_path, "authority", authority)
    key, own = written(tmp_path, "me", certificate("me", issuer=authority))
    (tmp_path / "ca.crt").write_bytes(chain.read_bytes())
    (tmp_path / "me.cert").write_bytes(own.read_bytes())
    (tmp_path / "me.key").write_bytes(key.read_bytes())
    shown = []

    class Server(threading.Thread):
        def __init__(self, listener):
            super().__init__()
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server_key, server_chain = written(tmp_path, "server", certificate("localhost", issuer=authority))
            self.context.load_cert_chain(server_chain, server_key)
            self.context.load_verify_locations(chain)
            self.context.verify_mode = ssl.CERT_OPTIONAL
            self.listener = listener

        def run(self):
            for _ in range(2):
                with self.context.wrap_socket(self.listener.accept()[0], server_side=True) as connection:
                    connection.recv(1)
                    shown.append(bool(connection.getpeercert()))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(listener)
        server.start()
        for client in (True, False):
            context = tls_context(tmp_path, client=client)
            plain = socket.create_connection(listener.getsockname())
            with context.wrap_socket(plain, server_hostname="localhost") as connection:
                connection.sendall(b"x")
        server.join(9)
    assert [True, False] == shown


# -- the command -------------------------------------------------------------------------------------------------------


def run(*argv):
    out, err = io.StringIO(), io.StringIO()
    return main([str(each) for each in argv], stdout=out, stderr=err), out.getvalue(), err.getvalue()


CANARY = "s3cret-c4nary"


@pytest.mark.parametrize(
    "place",
    [
        "creds",
        "creds-env",
        "authfile",
        "REGISTRY_AUTH_FILE",
        "DOCKER_CONFIG",
        "runtime",
        "token",
        "token-env",
    ],
)
@pytest.mark.parametrize("good", [True, False])
def test_secrets_from_any_place_open_the_registry_and_are_never_told(
    tmp_path, monkeypatch, caplog, place, good
):
    caplog.set_level(logging.DEBUG)
    secret = CANARY if good else f"{CANARY}-wrong"
    bearer = place.startswith("token")
    needed = TokenAuth(anonymous=True) if bearer else BasicAuth("alice", CANARY)
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CREDS", f"alice:{secret}")
    monkeypatch.setenv("TOKEN", secret)
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "none.conf"))
    with Registry(auth=needed) as registry:
        image = registry.push(IMAGE, "org/os:v1")
        if bearer and good:
            url = f"http://{registry.address}/token?service=cosinspect&scope=repository:org/os:pull"
            secret = requests.get(url, timeout=600).json()["token"]
            monkeypatch.setenv("TOKEN", secret)
        document = json.dumps({"auths": {registry.address: auth("alice", secret)}})
        (tmp_path / "containers").mkdir()
        for name in ("config.json", "auth.json", "containers/auth.json"):
            (tmp_path / name).write_text(document)
        options = {
            "creds": ["--creds", f"alice:{secret}"],
            "creds-env": ["--creds", "env://CREDS"],
            "authfile": ["--authfile", tmp_path / "auth.json"],
            "token": ["--registry-token", secret],
            "token-env": ["--registry-token", "env://TOKEN"],
        }.get(place, [])
        if place in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG"):
            monkeypatch.setenv(
                place, str(tmp_path / "auth.json" if place == "REGISTRY_AUTH_FILE" else tmp_path)
            )
        if place == "runtime":
            monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        status, out, err = run("ls", image, "/etc", "--debug", *options)
    assert (0 if good else 3) == status, err
    told = out + err + caplog.text
    coded = base64.b64encode(f"alice:{secret}".encode()).decode()
    assert secret not in told
    assert coded not in told


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--creds", "alice"], "--creds: expected USER:PASSWORD"),
        (["--creds", "env://NOWHERE"], "--creds: expected the variable NOWHERE to be set"),
        (["--registry-token", "a b"], "--registry-token: expected a token"),
        (["--tls-verify", "perhaps"], "expected true or false"),
        (["--authfile", "/nowhere"], "found nothing; check the path"),
        (["--cert-dir", "/nowhere"], "found nothing; check the path"),
        (["--registries-conf", "/nowhere"], "found nothing; check the path"),
        (["--registries-conf", "/dev/null/x"], "expected"),
    ],
)
def test_wrong_use_is_told_in_a_line(options, expected):
    status, out, err = run("ls", "localhost:1/os:1", *options)
    assert (2, "", 1) == (status, out, err.count("\n"))
    assert expected in err


def test_a_broken_registries_conf_is_no_reason_not_to_look_into_a_file(tmp_path):
    (tmp_path / "old.conf").write_text("[registries.search]\nregistries = []\n")
    name = IMAGE.write_layout(tmp_path / "image")
    conf_option = ("--registries-conf", tmp_path / "old.conf")
    assert 0 == run("ls", name, "/etc", *conf_option)[0]
    status, _, err = run("ls", "localhost:1/os:1", *conf_option)
    assert (2, True) == (status, "found version 1" in err)


def test_a_representation_shows_no_secret():
    access = Access(credential=Credential("alice", CANARY), authorization=f"Bearer {CANARY}")
    assert CANARY not in repr(access)
