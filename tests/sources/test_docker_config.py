"""Docker's configuration file and credential helpers, with the file and programs that a user would have."""

from __future__ import annotations

import base64
import json
import logging
import stat

import pytest

from cosinspect.sources.config.credential import Credential, FoundCredential
from cosinspect.sources.config.docker_config import find_credential

HUB = "https://index.docker.io/v1/"
NOTHING = FoundCredential()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home directory that is empty, and no helper on the PATH."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "home").mkdir()
    (tmp_path / "bin").mkdir()
    return tmp_path / "home"


@pytest.fixture
def write(tmp_path):
    def write(document):
        path = tmp_path / "config.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    return write


@pytest.fixture
def helper(tmp_path):
    """Put a credential helper on the PATH that notes what it is asked and answers with `output`."""

    def helper(name, output, *, status=0, complaint=""):
        path = tmp_path / "bin" / f"docker-credential-{name}"
        log = tmp_path / f"{name}.log"
        path.write_text(
            "#!/bin/sh\n"
            f'read server; echo "$1 $server" >> {log}\n'
            f"cat <<'END'\n{output}\nEND\n"
            f"echo '{complaint}' >&2; exit {status}\n".replace("cat", "/bin/cat")
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return lambda: log.read_text().split("\n")[:-1] if log.exists() else []

    return helper


def encoded(user, password):
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def given(user, password):
    return json.dumps({"ServerURL": "x", "Username": user, "Secret": password})


def test_nobody_has_a_credential_without_a_file():
    assert find_credential("quay.io") == NOTHING


def test_the_file_in_the_home_directory_is_found(home):
    (home / ".docker").mkdir()
    (home / ".docker" / "config.json").write_text(
        json.dumps({"auths": {"quay.io": {"auth": encoded("a", "b")}}})
    )

    assert find_credential("quay.io").credential == Credential("a", "b")


def test_a_file_that_is_named_replaces_the_one_in_the_home_directory(home, write):
    (home / ".docker").mkdir()
    (home / ".docker" / "config.json").write_text(
        json.dumps({"auths": {"quay.io": {"auth": encoded("a", "b")}}})
    )
    path = write({"auths": {}})

    assert find_credential("quay.io", path) == NOTHING
    assert find_credential("quay.io", path.parent) == NOTHING
    assert find_credential("quay.io", path.parent / "absent") == NOTHING


@pytest.mark.parametrize("key", ["quay.io", "https://quay.io", "http://quay.io/", "https://quay.io/v1/"])
def test_a_host_is_found_under_its_name_and_its_old_addresses(write, key):
    path = write({"auths": {key: {"auth": encoded("a", "b:c")}}})

    assert find_credential("quay.io", path).credential == Credential("a", "b:c")


@pytest.mark.parametrize(
    "key", ["io", "uay.io", "quay.io:443", "https://quay.io.evil.example/", "https://evil.example/quay.io"]
)
def test_a_credential_of_another_host_is_not_taken(write, key):
    path = write({"auths": {key: {"auth": encoded("a", "b")}}})

    assert find_credential("quay.io", path) == NOTHING


@pytest.mark.parametrize("key", [HUB, "docker.io", "index.docker.io", "registry-1.docker.io"])
def test_docker_hub_has_several_names(write, key):
    path = write({"auths": {key: {"auth": encoded("a", "b")}}})

    assert find_credential("docker.io", path).credential == Credential("a", "b")


@pytest.mark.parametrize(
    ("entry", "credential"),
    [
        ({"username": "a", "password": "b"}, Credential("a", "b")),
        ({"auth": encoded("a", "b\0\0")}, Credential("a", "b")),
        ({"auth": encoded("a", "b"), "identitytoken": "i"}, Credential(identity_token="i")),
        ({"auth": encoded("<token>", "i")}, Credential(identity_token="i")),
        ({"auth": ""}, None),
        ({"auth": "no base 64"}, None),
        ({"auth": base64.b64encode(b"no colon").decode()}, None),
        ({"auth": base64.b64encode(b"\xff:\xff").decode()}, None),
        ({"auth": 7}, None),
        ({}, None),
        ("text", None),
        (None, None),
    ],
)
def test_an_entry_is_read_as_docker_reads_it(write, entry, credential):
    path = write({"auths": {"quay.io": entry}})

    assert find_credential("quay.io", path).credential == credential


@pytest.mark.parametrize("text", ["", "{", "\x00", "[" * 100_000, '{"auths": {"a": ' + "9" * 5_000_000])
def test_a_broken_file_is_a_problem_and_no_error(write, text):
    path = write(text)
    found = find_credential("quay.io", path)

    assert found.credential is None
    assert str(path) in found.problem


@pytest.mark.parametrize("document", [[], 7, {"auths": []}, {"auths": None, "credHelpers": 7}])
def test_a_file_of_another_shape_holds_nothing(write, document):
    assert find_credential("quay.io", write(document)) == NOTHING


def test_a_helper_for_the_host_comes_before_everything_else(write, helper):
    asked = helper("mine", given("h", "s"))
    others = helper("all", given("x", "y"))
    path = write(
        {
            "auths": {"quay.io": {"auth": encoded("a", "b")}},
            "credHelpers": {"quay.io": "mine", "ghcr.io": "all"},
            "credsStore": "all",
        }
    )

    assert find_credential("quay.io", path) == FoundCredential(Credential("h", "s"))
    assert asked() == ["get quay.io"]
    assert others() == []


def test_the_helper_for_all_hosts_is_asked_for_docker_hub_by_its_old_address(write, helper):
    asked = helper("all", given("h", "s"))

    assert find_credential("docker.io", write({"credsStore": "all"})).credential == Credential("h", "s")
    assert asked() == [f"get {HUB}"]


def test_a_helper_may_give_an_identity_token(write, helper):
    helper("all", given("<token>", "i"))

    assert find_credential("a.io", write({"credsStore": "all"})).credential == Credential(identity_token="i")


@pytest.mark.parametrize(
    ("output", "status"),
    [
        ("credentials not found in native keychain", 1),
        ("not JSON", 0),
        ("{}", 0),
        ("[]", 0),
        ("7", 0),
        ("null", 0),
        (given("", ""), 0),
    ],
)
def test_a_helper_that_fails_is_a_problem_and_quiet(write, helper, output, status, capfd, caplog):
    caplog.set_level(logging.DEBUG)
    helper("all", output, status=status, complaint="s3cret complaint")
    found = find_credential("quay.io", write({"credsStore": "all"}))

    assert found.credential is None
    assert "docker-credential-all" in found.problem
    assert "s3cret" not in found.problem
    assert (capfd.readouterr(), caplog.text) == (("", ""), "")


def test_an_entry_of_the_file_serves_where_the_helper_is_missing(write):
    path = write({"auths": {"a.io": {"auth": encoded("a", "b")}}, "credHelpers": {"a.io": "absent"}})

    assert find_credential("a.io", path).credential == Credential("a", "b")


def test_a_missing_helper_is_a_problem(write):
    assert "docker-credential-absent" in find_credential("a.io", write({"credsStore": "absent"})).problem


@pytest.mark.parametrize("name", ["../../bin/sh", "a b", "-x", "a/b", "a;b", "a\n", 7, ["a"]])
def test_a_helpers_name_is_one_plain_word(write, name):
    found = find_credential("a.io", write({"credsStore": name}))

    assert found.credential is None
    assert "helper" in found.problem


def test_what_others_log_through_oras_stays_heard(write, helper, caplog):
    helper("all", "x", status=1)
    find_credential("a.io", write({"credsStore": "all"}))
    logging.getLogger("oras.logger").warning("still here")

    assert [record.message for record in caplog.records] == ["still here"]
