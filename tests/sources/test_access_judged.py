"""skopeo and cosinspect, given the same files and options: both get the image, or neither does."""

import base64
import json
import os
import subprocess

import pytest

from cosinspect.cli import main
from cosinspect.errors import NotFound, TransportError
from cosinspect.image.opening import open_image
from cosinspect.sources.config.access import Access
from real_registries import certificate, docker_registry, program, push, written
from registry_client import IMAGE

pytestmark = pytest.mark.compat

# bcrypt of "correct horse"
USERS = "alice:$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n"
GOOD, WRONG = "alice:correct horse", "alice:wrong"


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A registry with passwords, an open one, one that speaks TLS, and one that also wants a client's certificate."""
    authority = certificate("our authority", authority=True)
    base = tmp_path_factory.mktemp("registries")
    key, chain = written(base, "registry", certificate("localhost", issuer=authority))
    _, bundle = written(base, "authority", authority)
    client_key, client_chain = written(base, "client", certificate("client", issuer=authority))
    tls = {"certificate": str(chain), "key": str(key)}
    for name in ("closed", "open", "tls", "mutual"):
        (base / name).mkdir()
    certs = base / "certs"
    certs.mkdir()
    (certs / "ca.crt").write_bytes(bundle.read_bytes())
    mutual = base / "mutual-certs"
    mutual.mkdir()
    (mutual / "ca.crt").write_bytes(bundle.read_bytes())
    (mutual / "me.cert").write_bytes(client_chain.read_bytes())
    (mutual / "me.key").write_bytes(client_key.read_bytes())
    found = {"base": base, "certs": certs, "mutual-certs": mutual}
    with (
        docker_registry(base / "closed", users=USERS) as found["closed"],
        docker_registry(base / "open") as found["open"],
        docker_registry(base / "tls", tls=tls) as secured,
        docker_registry(base / "mutual", tls={**tls, "clientcas": [str(bundle)]}) as strict,
    ):
        found["tls"] = f"localhost:{secured.rpartition(':')[2]}"
        found["mutual"] = f"localhost:{strict.rpartition(':')[2]}"
        push(found["closed"], IMAGE, "org/os", "v1", auth=("alice", "correct horse"))
        push(found["open"], IMAGE, "org/os", "v1")
        push(found["open"], IMAGE, "copy/os", "v1")
        push(f"https://{found['tls']}", IMAGE, "org/os", "v1", verify=str(bundle))
        yield found


def auths(**entries):
    coded = {name: {"auth": base64.b64encode(pair.encode()).decode()} for name, pair in entries.items()}
    return json.dumps({"auths": coded})


def insecure(*addresses, more=""):
    return "".join(f'[[registry]]\nlocation = "{each}"\ninsecure = true\n' for each in addresses) + more


# (where the image is, files by name, options of both, environment, whether it is there)
# In files and options, {closed} and the like are addresses and directories; {d} is where the files are.
CONF = ["--registries-conf", "{d}/registries.conf"]
ROWS = {
    "open, not encrypted": ("{open}/org/os:v1", {}, [], {}, True),
    "no such tag": ("{open}/org/os:v2", {}, [], {}, False),
    "no credentials": ("{closed}/org/os:v1", {}, [], {}, False),
    "authfile": ("{closed}/org/os:v1", {"a.json": {"{closed}": GOOD}}, ["--authfile", "{d}/a.json"], {}, True),
    "authfile, wrong": ("{closed}/org/os:v1", {"a.json": {"{closed}": WRONG}}, ["--authfile", "{d}/a.json"], {}, False),
    "authfile, repository": ("{closed}/org/os:v1", {"a.json": {"{closed}/org/os": GOOD}}, ["--authfile", "{d}/a.json"], {}, True),
    "authfile, namespace": ("{closed}/org/os:v1", {"a.json": {"{closed}/org": GOOD}}, ["--authfile", "{d}/a.json"], {}, True),
    "authfile, other namespace": ("{closed}/org/os:v1", {"a.json": {"{closed}/other": GOOD}}, ["--authfile", "{d}/a.json"], {}, False),
    "most specific first": ("{closed}/org/os:v1", {"a.json": {"{closed}": WRONG, "{closed}/org": GOOD}}, ["--authfile", "{d}/a.json"], {}, True),
    "most specific is wrong": ("{closed}/org/os:v1", {"a.json": {"{closed}": GOOD, "{closed}/org": WRONG}}, ["--authfile", "{d}/a.json"], {}, False),
    "REGISTRY_AUTH_FILE": ("{closed}/org/os:v1", {"a.json": {"{closed}": GOOD}}, [], {"REGISTRY_AUTH_FILE": "{d}/a.json"}, True),
    "authfile over REGISTRY_AUTH_FILE": (
        "{closed}/org/os:v1", {"a.json": {"{closed}": WRONG}, "b.json": {"{closed}": GOOD}},
        ["--authfile", "{d}/b.json"], {"REGISTRY_AUTH_FILE": "{d}/a.json"}, True),
    "XDG_RUNTIME_DIR": ("{closed}/org/os:v1", {"containers/auth.json": {"{closed}": GOOD}}, [], {"XDG_RUNTIME_DIR": "{d}"}, True),
    "XDG_CONFIG_HOME": ("{closed}/org/os:v1", {"containers/auth.json": {"{closed}": GOOD}}, [], {"XDG_CONFIG_HOME": "{d}"}, True),
    "DOCKER_CONFIG": ("{closed}/org/os:v1", {"config.json": {"{closed}": GOOD}}, [], {"DOCKER_CONFIG": "{d}"}, True),
    "~/.docker": ("{closed}/org/os:v1", {".docker/config.json": {"{closed}": GOOD}}, [], {}, True),
    "podman's before docker's": (
        "{closed}/org/os:v1", {"containers/auth.json": {"{closed}": GOOD}, ".docker/config.json": {"{closed}": WRONG}},
        [], {"XDG_RUNTIME_DIR": "{d}"}, True),
    "docker's where podman's has none": (
        "{closed}/org/os:v1", {"containers/auth.json": {"other": WRONG}, ".docker/config.json": {"{closed}": GOOD}},
        [], {"XDG_RUNTIME_DIR": "{d}"}, True),
    "creds": ("{closed}/org/os:v1", {}, ["--creds", GOOD], {}, True),
    "creds, wrong": ("{closed}/org/os:v1", {}, ["--creds", WRONG], {}, False),
    "creds over authfile": ("{closed}/org/os:v1", {"a.json": {"{closed}": WRONG}}, ["--authfile", "{d}/a.json", "--creds", GOOD], {}, True),
    "mirror": ("mirrored.example/os:v1", {"registries.conf": '[[registry]]\nlocation="mirrored.example"\n[[registry.mirror]]\nlocation="{open}/copy"\ninsecure=true\n'}, CONF, {}, True),
    "mirror for digests only": ("localhost:1/os:v1", {"registries.conf": '[[registry]]\nlocation="localhost:1"\n[[registry.mirror]]\nlocation="{open}/copy"\ninsecure=true\npull-from-mirror="digest-only"\n'}, CONF, {}, False),
    "mirror for digests only, digest": ("localhost:1/os@" + IMAGE.digest, {"registries.conf": '[[registry]]\nlocation="localhost:1"\n[[registry.mirror]]\nlocation="{open}/copy"\ninsecure=true\npull-from-mirror="digest-only"\n'}, CONF, {}, True),
    "second mirror": ("localhost:1/os:v1", {"registries.conf": '[[registry]]\nlocation="localhost:1"\n[[registry.mirror]]\nlocation="{open}/absent"\ninsecure=true\n[[registry.mirror]]\nlocation="{open}/copy"\ninsecure=true\n'}, CONF, {}, True),
    "location": ("moved.example/old/os:v1", {"registries.conf": '[[registry]]\nprefix="moved.example/old"\nlocation="{open}/copy"\ninsecure=true\n'}, CONF, {}, True),
    "location, credentials by location": ("moved.example/os:v1", {"registries.conf": '[[registry]]\nprefix="moved.example"\nlocation="{closed}/org"\ninsecure=true\n', "a.json": {"{closed}": GOOD}}, [*CONF, "--authfile", "{d}/a.json"], {}, True),
    "longest prefix": ("moved.example/old/os:v1", {"registries.conf": '[[registry]]\nprefix="moved.example"\nlocation="{open}/absent"\ninsecure=true\n[[registry]]\nprefix="moved.example/old"\nlocation="{open}/copy"\ninsecure=true\n'}, CONF, {}, True),
    "blocked": ("{open}/org/os:v1", {"registries.conf": '[[registry]]\nlocation="{open}"\nblocked=true\n'}, CONF, {}, False),
    "own authority unknown": ("{tls}/org/os:v1", {}, ["--tls-verify", "true"], {}, False),
    "own authority": ("{tls}/org/os:v1", {}, ["--cert-dir", "{certs}"], {}, True),
    "not verified": ("{tls}/org/os:v1", {}, ["--tls-verify", "false"], {}, True),
    "insecure": ("{tls}/org/os:v1", {"registries.conf": '[[registry]]\nlocation="{tls}"\ninsecure=true\n'}, CONF, {}, True),
    "verified in spite of insecure": ("{tls}/org/os:v1", {"registries.conf": '[[registry]]\nlocation="{tls}"\ninsecure=true\n'}, [*CONF, "--tls-verify", "true"], {}, False),
    "plain HTTP, verified": ("{open}/org/os:v1", {}, ["--tls-verify", "true"], {}, False),
    "certs.d": ("{tls}/org/os:v1", {".config/containers/certs.d/{tls}/ca.crt": "{ca}"}, [], {}, True),
    "client's certificate missing": ("{mutual}/org/os:v1", {}, ["--cert-dir", "{certs}"], {}, False),
    "client's certificate": ("{mutual}/absent:v1", {}, ["--cert-dir", "{mutual-certs}"], {}, False),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_both_get_it_or_neither(tmp_path, places, monkeypatch, row):
    skopeo = program("skopeo")
    name, files, options, environment, expected = ROWS[row]
    ca = (places["certs"] / "ca.crt").read_text()
    values = {**{key: str(value) for key, value in places.items()}, "d": str(tmp_path), "ca": ca}

    def filled(text):
        for key, value in values.items():
            text = text.replace("{" + key + "}", value)
        return text

    for path, content in files.items():
        target = tmp_path / filled(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        named = {filled(key): value for key, value in content.items()} if isinstance(content, dict) else None
        target.write_text(auths(**named) if named is not None else filled(content))
    for variable in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable, value in environment.items():
        monkeypatch.setenv(variable, filled(value))
    name, options = filled(name), [filled(each) for each in options]

    status = main(["ls", name, "/etc", "-q", *options])

    asked = list(options)
    # To skopeo, 127.0.0.1 is a registry like others; here it is spoken to without TLS.
    if "--registries-conf" in asked:
        at = asked.index("--registries-conf")
        own = ["--registries-conf", asked[at + 1]]
        del asked[at : at + 2]
    else:
        plain = [places[key] for key in ("open", "closed")] if "--tls-verify" not in asked else []
        (tmp_path / "skopeo.conf").write_text(insecure(*plain))
        own = ["--registries-conf", str(tmp_path / "skopeo.conf")]
    if "--tls-verify" in asked:
        at = asked.index("--tls-verify")
        asked[at : at + 2] = [f"--tls-verify={asked[at + 1]}"]
    judge = subprocess.run(
        [skopeo, *own, "inspect", "--raw", *asked, f"docker://{name}"],
        capture_output=True,
        check=False,
        env=dict(os.environ),
    )
    assert expected == (judge.returncode == 0), judge.stderr.decode()
    assert expected == (status == 0)


def test_a_clients_certificate_opens_the_registry_that_wants_one(places):
    """A repository that is not there is told only to those who are let in."""
    with pytest.raises(NotFound):
        open_image(
            f"{places['mutual']}/absent:v1",
            access=Access(certificate_directory=places["mutual-certs"], auth_files=()),
        )
    with pytest.raises(TransportError):
        open_image(
            f"{places['mutual']}/absent:v1",
            access=Access(certificate_directory=places["certs"], auth_files=()),
        )
