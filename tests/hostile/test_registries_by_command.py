"""Registries that lie, seen through the command: about lengths, places and who is asked; and never is a secret told."""

import base64
import contextlib
import io
import json
import re

import pytest
from attrs import evolve

from command_runs import SECRET
from cosinspect import cli
from cosinspect.sources.registry.source import RegistrySource
from cosinspect.testing import BasicAuth, Fault, ImageBuilder, Registry, TokenAuth, image_index
from cosinspect.testing.derivative import derivative
from registry_client import serving

GOOD = derivative()
INDEX = image_index(GOOD)
OTHER = derivative("kernel-removed")
LAYER = GOOD.layers[-1]
TAG = "/v2/org/os/manifests/v1"
MANIFEST = f"/v2/org/os/manifests/{GOOD.digest}"
CONFIG = f"/v2/org/os/blobs/{GOOD.config_digest}"
BLOB = f"/v2/org/os/blobs/{LAYER}"
PLACES = {"tag": TAG, "manifest": MANIFEST, "config": CONFIG, "layer": BLOB}
SIZES = {
    "tag": len(INDEX.blobs[INDEX.digest]),
    "manifest": len(GOOD.manifest),
    "config": len(GOOD.config),
    "layer": len(GOOD.blobs[LAYER]),
}
ALWAYS = {"times": None}


@pytest.fixture
def login(command):
    """A password for a registry, in the configuration of the user."""

    def write(address, **entry):
        directory = command.home / ".docker"
        directory.mkdir(exist_ok=True)
        known = entry or {"auth": base64.b64encode(f"alice:{SECRET}".encode()).decode()}
        (directory / "config.json").write_text(json.dumps({"auths": {address: known}}))

    return write


@contextlib.contextmanager
def serve(*faults, **options):
    with Registry(faults=faults, **options) as registry:
        registry.push(INDEX, "org/os:v1")
        yield registry


def name_of(registry):
    return f"{registry.address}/org/os:v1"


def undecided(run):
    """It could not be decided, and nothing was said of the image."""
    assert (3, b"") == (run.status, run.out), run
    return run.message


def test_the_registry_is_a_good_one(command):
    with serve() as registry:
        assert 0 == command("check", name_of(registry)).status
        assert 0 == command.process("check", name_of(registry)).status


# -- lengths -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("word", ["check", "ls", "packages"])
def test_a_body_that_is_not_of_its_length_is_never_taken(command, monkeypatch, place, word):
    path, size = PLACES[place], SIZES[place]
    usual = RegistrySource.__init__.__kwdefaults__["timeouts"]
    for fault in (
        Fault.truncate(path, 0, **ALWAYS),
        Fault.truncate(path, size // 2, **ALWAYS),
        Fault.truncate(path, size - 1, **ALWAYS),
        Fault.header(path, "Content-Length", str(size - 1), **ALWAYS),
        Fault.header(path, "Content-Length", str(size + 1), **ALWAYS),
        Fault.header(path, "Content-Length", "0", **ALWAYS),
        Fault.header(path, "Content-Length", "-1", **ALWAYS),
        Fault.header(path, "Content-Length", "9" * 30, **ALWAYS),
        Fault.header(path, "Content-Length", f"{size}, {size + 1}", **ALWAYS),
        Fault.oversend(path, b"x", **ALWAYS),
        Fault.oversend(path, bytes(5 << 20), **ALWAYS),
        Fault.swap(path, b"", **ALWAYS),
        Fault.swap(path, b"{}", **ALWAYS),
        Fault.swap(path, bytes(size), **ALWAYS),
        Fault.drop(path, **ALWAYS),
        Fault.stall(path, 60, **ALWAYS),
        Fault.stall(path, 60, after=size // 2, **ALWAYS),
        Fault.status(206, path, body=b"x" * size, **ALWAYS),
    ):
        # Without ranges, nothing that broke off is ever made whole.
        timeouts = evolve(usual, read=0.1) if fault.wait else usual  # it is silent for all attempts
        monkeypatch.setitem(RegistrySource.__init__.__kwdefaults__, "timeouts", timeouts)
        with serve(fault, ranges=False) as registry:
            run = command(word, name_of(registry))
            # Bodies without an end of their own are read as far as the descriptor tells.
            if run.status == 0:
                assert fault.fields.get("Content-Length") in ("-1", "9" * 30, f"{size}, {size + 1}"), (
                    fault,
                    run,
                )
            else:
                undecided(run)


@pytest.mark.parametrize("place", PLACES)
def test_what_a_registry_gets_right_in_the_end_is_taken(command, place):
    path, size = PLACES[place], SIZES[place]
    for fault in (
        Fault.truncate(path, size // 2),
        Fault.drop(path),
        Fault.stall(path, 60),
        Fault.stall(path, 60, after=size // 2),
        Fault.status(503, path, headers={"Retry-After": "0"}),
    ):
        with serve(fault) as registry:
            assert 0 == command("check", name_of(registry)).status, fault


@pytest.mark.parametrize("place", PLACES)
def test_a_corrupt_byte_is_found_wherever_it_is(command, place):
    for at in (0, SIZES[place] // 2, SIZES[place] - 1):
        with serve(Fault.corrupt(PLACES[place], at, **ALWAYS)) as registry:
            undecided(command("check", name_of(registry)))


def test_a_body_that_never_ends_is_left(command):
    def pour(connection, head):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while head:
            connection.sendall(b"x" * 65_536)

    with serving(pour) as address:
        assert "more" in undecided(command("check", f"{address}/org/os:v1"))


def test_what_is_no_http_is_an_error(command):
    for answer in (
        b"",
        b"\0" * 1000,
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/9.9 999 \x1b[31mX\r\n\r\n",
        b"\x15\x03\x01\0\x02\x02\x46",
    ):
        with serving(lambda connection, _, said=answer: connection.sendall(said)) as address:
            undecided(command("check", f"{address}/org/os:v1"))


# -- other images --------------------------------------------------------------------------------------------------


def test_a_tag_that_moves_while_it_is_read_gives_one_image_and_not_a_mixture(command):
    """The tag is asked for once; whatever it names then is what is judged, though it names another image later."""
    first = {"Docker-Content-Digest": INDEX.digest, "Content-Type": "application/vnd.oci.image.index.v1+json"}
    with serve() as registry:
        registry.push(OTHER, "org/os:v1")
        registry.inject(Fault(path=TAG, content=INDEX.blobs[INDEX.digest], fields=first))
        run = command("check", name_of(registry), "--format", "json")
        report = json.loads(run.text)
        assert (0, GOOD.digest, INDEX.digest) == (
            run.status,
            report["image"]["digest"],
            report["image"]["index"],
        )
        # From now on the tag is the other image; what is sent for it with the first one's digest is neither.
        registry.inject(Fault(path=TAG, fields={"Docker-Content-Digest": GOOD.digest}))
        undecided(command("check", name_of(registry)))
        run = command("check", name_of(registry), "--format", "json")
        assert (1, OTHER.digest) == (run.status, json.loads(run.text)["image"]["digest"])


def test_the_tag_is_asked_for_once_by_every_command(command):
    for word, *arguments in (
        ["check"],
        ["ls", "-R"],
        ["cat", "/etc/os-release"],
        ["history", "/boot/vmlinuz"],
    ):
        with serve() as registry:
            assert 0 == command(word, name_of(registry), *arguments).status
            assert 1 == [request.path for request in registry.requests].count(TAG)


def test_no_document_is_taken_in_the_place_of_another(command):
    for path, body in (
        (MANIFEST, OTHER.manifest),
        (CONFIG, OTHER.config),
        (BLOB, OTHER.blobs[OTHER.layers[-1]]),
        (BLOB, GOOD.blobs[GOOD.layers[0]]),
        (MANIFEST, INDEX.blobs[INDEX.digest]),
        (CONFIG, GOOD.manifest),
    ):
        for stated in (None, "sha256:" + "0" * 64):
            fault = Fault(path=path, content=body, times=None, fields={"Docker-Content-Digest": stated})
            with serve(fault) as registry:
                undecided(command("check", name_of(registry)))


def test_a_digest_in_the_name_holds_against_the_registry(command):
    with serve(Fault.swap("/v2/org/os/manifests/*", OTHER.manifest, **ALWAYS)) as registry:
        undecided(command("check", f"{registry.address}/org/os@{INDEX.digest}"))
        undecided(command("check", f"{registry.address}/org/os:v1@{GOOD.digest}"))


# -- places and secrets --------------------------------------------------------------------------------------------


def test_a_redirect_to_another_host_takes_no_secret_along(command, login):
    """The storage is another server: it sees neither password nor token, and its address is told without its query."""
    for auth in (BasicAuth("alice", SECRET), TokenAuth("alice", SECRET)):
        with serve() as storage, serve(auth=auth) as registry:
            login(registry.address)
            location = f"http://{storage.address}{{path}}?signature={SECRET}"
            for path in ("*/blobs/*", "*/manifests/*"):
                registry.inject(Fault.redirect(path, location, **ALWAYS))
                assert 0 == command("check", name_of(registry)).status
            for request in storage.requests:
                assert request.headers.get("Authorization") is None
            storage.inject(Fault.status(403, body=SECRET.encode(), **ALWAYS))
            message = undecided(command("check", name_of(registry)))
            assert storage.address in message


@pytest.mark.parametrize(
    "location",
    [
        f"http://alice:{SECRET}@127.0.0.1:1/x",
        f"http://{SECRET}@127.0.0.1:1/x",
        f"http://127.0.0.1:1/{SECRET}?token={SECRET}",
        f"https://127.0.0.1:1/{SECRET}",
        f"file:///etc/passwd?{SECRET}",
        f"ftp://127.0.0.1/{SECRET}",
        f"gopher://127.0.0.1:1/{SECRET}",
        f"//127.0.0.1:1/{SECRET}",
        f"http://127.0.0.1:99999/{SECRET}",
        f"http://[::1/{SECRET}",
        f"javascript:{SECRET}",
        f"\x1b[31m{SECRET}",
        f"http://127.0.0.1:1\\@x/{SECRET}",
        "",
        "/v2/org/os/manifests/v1",
        "{path}",
    ],
)
def test_no_redirect_leads_astray_or_is_told(command, login, location):
    for path in PLACES.values():
        with serve(Fault.redirect(path, location, **ALWAYS), auth=BasicAuth("alice", SECRET)) as registry:
            login(registry.address)
            run = command("check", name_of(registry))
            undecided(run)
            assert "signature" not in run.message


@pytest.mark.parametrize(
    "realm",
    [
        f"http://alice:{SECRET}@127.0.0.1:1/token",
        f"http://127.0.0.1:1/{SECRET}",
        f"http://127.0.0.1:1/token?key={SECRET}",
        f"https://127.0.0.1:1/{SECRET}",
        f"file:///{SECRET}",
        f"{SECRET}",
        f"http://\x1b[2J{SECRET}/",
        f"ldap://127.0.0.1:1/{SECRET}",
    ],
)
def test_no_realm_leads_astray_or_is_told(command, login, realm):
    with serve(auth=TokenAuth("alice", SECRET, realm=realm)) as registry:
        for entry in ({}, {"identitytoken": SECRET}, {"registrytoken": SECRET}):
            login(registry.address, **entry)
            undecided(command("check", name_of(registry)))
            undecided(command("ls", name_of(registry)))


@pytest.mark.parametrize("code", [400, 401, 403, 404, 418, 429, 500, 502, 503])
def test_no_secret_comes_back_in_an_error(command, login, code):
    """Servers echo what they were sent: whatever they answer, it is not repeated."""
    echo = {
        "errors": [{"code": "DENIED", "message": f"alice:{SECRET}", "detail": SECRET}, {"code": SECRET}],
        "details": SECRET,
    }
    for body in (json.dumps(echo).encode(), f"<html>{SECRET}</html>\x1b[2J".encode()):
        for path in ("*", "/token", TAG, MANIFEST, CONFIG, BLOB):
            headers = {
                "WWW-Authenticate": f'Bearer realm="x{SECRET}"',
                "X-Echo": SECRET,
                "Warning": f'299 - "{SECRET}"',
            }
            fault = Fault.status(code, path, body=body, headers=headers, **ALWAYS)
            with serve(fault, auth=TokenAuth("alice", SECRET)) as registry:
                login(registry.address)
                undecided(command("check", name_of(registry)))


def test_no_secret_of_a_token_server_is_told(command, login):
    for answer in (
        {"token": f"{SECRET}\n"},
        {"token": f"{SECRET}\r\nX: y"},
        {"token": [SECRET]},
        {"access_token": SECRET, "token": f"\x1b{SECRET}"},
        {"error": SECRET, "error_description": SECRET},
        {"token": SECRET * 10_000},
        {"token": SECRET, "expires_in": -1},
        [SECRET],
    ):
        fault = Fault.swap("/token", json.dumps(answer).encode(), **ALWAYS)
        with serve(fault, auth=TokenAuth("alice", SECRET)) as registry:
            login(registry.address)
            undecided(command("check", name_of(registry)))


def test_no_secret_of_the_configuration_is_told(command):
    secret = {"auth": base64.b64encode(f"alice:{SECRET}".encode()).decode()}
    with serve(auth=BasicAuth("bob", "another")) as registry:
        directory = command.home / ".docker"
        directory.mkdir()
        for content in (
            json.dumps({"auths": {registry.address: secret}}),
            json.dumps({"auths": {registry.address: {"auth": f"!!{SECRET}"}}}),
            json.dumps({"auths": {registry.address: {"auth": base64.b64encode(SECRET.encode()).decode()}}}),
            json.dumps({"auths": {registry.address: {"username": SECRET, "password": [SECRET]}}}),
            json.dumps({"auths": {registry.address: SECRET}}),
            json.dumps({"auths": SECRET}),
            json.dumps({"auths": {f"https://alice:{SECRET}@{registry.address}": secret}}),
            json.dumps({"credHelpers": {registry.address: "../../x"}, "auths": {registry.address: secret}}),
            json.dumps({"credsStore": "x; echo", "auths": {registry.address: secret}}),
            f'{{"auths": {{"{registry.address}": {{"auth": "{SECRET}',
            f"\x1b[2J{SECRET}",
            "",
        ):
            (directory / "config.json").write_text(content)
            undecided(command("check", name_of(registry)))


def test_no_secret_of_a_name_is_told(command):
    for name in (
        f"alice:{SECRET}@127.0.0.1:1/org/os:v1",
        f"docker://alice:{SECRET}@127.0.0.1:1/org/os:v1",
        f"https://alice:{SECRET}@127.0.0.1:1/org/os:v1",
        f"http://{SECRET}@127.0.0.1:1/v2/",
    ):
        assert command("check", name).status in (2, 3)


def test_a_secret_of_an_image_is_no_business_of_the_log(command, tmp_path):
    """Environment, labels and arguments of builds often hold some; none of it is evidence for anything."""
    steps = [f"ARG TOKEN={SECRET}", f"|1 PASSWORD={SECRET} /bin/sh -c true"]
    builder = ImageBuilder(env=[f"AWS_SECRET_ACCESS_KEY={SECRET}"], labels={"token": SECRET}, cmd=[SECRET])
    for step in steps:
        builder = builder.empty_layer(step)
    name = builder.layer({"etc/x": "y"}, created_by="COPY x /etc/x").build().write_layout(tmp_path)
    for word, *arguments in (
        ["check"],
        ["check", "--format", "json"],
        ["ls"],
        ["packages"],
        ["history", "/etc/x"],
    ):
        assert command(word, name, *arguments).status in (0, 1, 3)


def test_a_process_of_its_own_keeps_its_secrets_too(command, login):
    with serve(auth=TokenAuth("alice", SECRET)) as registry:
        login(registry.address)
        assert 0 == command.process("check", name_of(registry)).status
        registry.inject(Fault.redirect("*/blobs/*", f"http://alice:{SECRET}@127.0.0.1:1/{SECRET}", **ALWAYS))
        undecided(command.process("check", name_of(registry)))
        tokens = [request.headers["Authorization"] for request in registry.requests if request.path == TAG]
        assert any(re.fullmatch(r"Bearer \S+", token or "") for token in tokens)


# -- what -v tells -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", [BasicAuth("alice", SECRET), TokenAuth("alice", SECRET)])
def test_each_request_is_told_without_secrets(login, auth):
    with Registry() as storage, serve(auth=auth) as registry:
        storage.push(GOOD, "x/y:v1")
        login(registry.address)
        location = f"http://{storage.address}/v2/x/y/blobs/{LAYER}?signature={SECRET}"
        registry.inject(Fault.redirect(BLOB, location, times=1))
        out, err = io.StringIO(), io.StringIO()
        status = cli.main(["check", "--debug", name_of(registry)], stdout=out, stderr=err)

    told = err.getvalue().splitlines()
    assert 0 == status
    assert any(line.startswith(f"cosinspect: GET http://{registry.address}{TAG}") for line in told)
    assert any(line.endswith(": 401") for line in told)
    assert any("(Basic): 200" in line or "(Bearer): 200" in line for line in told)
    assert f"cosinspect: GET http://{storage.address}: 200" in told
    assert SECRET not in err.getvalue()
    assert base64.b64encode(f"alice:{SECRET}".encode()).decode() not in err.getvalue()
    assert all(line.startswith("cosinspect: ") and line.isprintable() for line in told)


def test_nothing_is_told_that_nobody_asked_for(command):
    with serve() as registry:
        quiet, usual = (command("check", *more, name_of(registry)) for more in (("-q",), ()))

    assert (b"", b"") == (quiet.err, usual.err)
    assert 2 == command("check", "-q", "--debug", "oci:/nowhere").status
