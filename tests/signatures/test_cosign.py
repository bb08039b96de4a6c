"""Signatures that the real cosign made, judged as its own `verify` judges them; what differs is told by name."""

import io
import json
import os
import shutil
import socket
import subprocess
import time

import pytest
import requests

from cosign_scenes import DATA, DIGEST, REPOSITORY, key, push_image, push_scene
from cosinspect import SignaturePolicy, Verdict, inspect
from cosinspect.cli import main
from cosinspect.report.report import Status
from cosinspect.testing import Registry

VERDICTS = json.loads((DATA / "verdicts.json").read_text())
KEYS = sorted(path.stem for path in (DATA / "keys").iterdir())
PLATFORM = "linux/amd64"

# cosign takes every statement that a trusted key has made about the image for its signature.
STRICTER_THAN_COSIGN = {("attestation", "p256-1")}


def signed(name, *names, **options):
    """Inspect with these keys."""
    policy = SignaturePolicy(keys=tuple(key(each) for each in names), **options)
    return inspect(name, platform=PLATFORM, signatures=policy)


def serve(scene):
    return Registry(referrers="fallback" not in scene)


def place(scene, address):
    """The repository to push a scene to, and what has to be said of it."""
    if not scene.endswith("elsewhere"):
        return REPOSITORY, {}
    return "signatures/of-everything", {"repository": f"{address}/signatures/of-everything"}


def test_there_is_a_scene_for_each_verdict_and_each_key():
    assert {"p256-1", "p256-2", "p384", "rsa", "ed25519"} == set(KEYS)
    assert {"p256-1", "p256-2", "p384", "rsa", "ed25519"} == {
        name for found in VERDICTS.values() for name in found
    }
    for scene in VERDICTS:
        assert (DATA / scene / "index.json").is_file()


@pytest.mark.parametrize("scene", VERDICTS)
def test_each_key_is_believed_where_cosign_believes_it_and_nowhere_else(scene):
    with serve(scene) as registry:
        name = push_image(registry.address)
        repository, options = place(scene, registry.address)
        push_scene(registry.address, scene, repository)

        for each in KEYS:
            found = signed(name, each, **options)

            expected = each in VERDICTS[scene] and (scene, each) not in STRICTER_THAN_COSIGN
            assert (Status.YES if expected else Status.NO) == found.signed, each
            assert "" == found.signatures.trouble
            assert DIGEST == str(found.signatures.subject) == found.index
            if expected:
                assert f"key {key(each)}" == found.signatures.verified[0].signer


@pytest.mark.parametrize("scene", ["tag", "bundle", "bundle-fallback"])
def test_the_other_signature_is_told_of_and_does_no_harm(scene):
    with serve(scene) as registry:
        name = push_image(registry.address)
        push_scene(registry.address, scene)

        found = signed(name, "p256-1").signatures
        both = signed(name, "p256-1", "p256-2").signatures
        nobody = signed(name, "rsa")

    assert (1, 1) == (len(found.verified), len(found.rejected))
    assert "nobody who is trusted made it" == found.rejected[0].reason
    assert (2, 0) == (len(both.verified), len(both.rejected))
    assert (Status.NO, 2) == (nobody.signed, len(nobody.signatures.rejected))


@pytest.mark.parametrize("scene", ["tag", "bundle"])
@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({"stage": "release"}, Status.YES),
        ({"stage": "release", "build": "42"}, Status.YES),
        ({"stage": "test"}, Status.NO),
        ({"stage": "release", "approved": "yes"}, Status.NO),
    ],
)
def test_annotations_must_be_there_all_of_them(registry, scene, annotations, expected):
    push_scene(registry.address, scene)

    found = signed(f"{registry.address}/{REPOSITORY}:v1", "p256-1", "p256-2", annotations=annotations)

    assert expected == found.signed
    # The one of p256-1 has no annotations at all.
    assert all("annotation" in item.reason for item in found.signatures.rejected)
    assert len(found.signatures.rejected) == (1 if expected is Status.YES else 2)


@pytest.mark.parametrize("scene", ["tag-other-image", "bundle-other-image"])
def test_a_signature_of_another_image_put_in_the_place_of_this_ones_does_not_count(registry, scene):
    held = json.loads((DATA / scene / "index.json").read_text())
    push_scene(registry.address, scene)
    store = registry._backend.store
    if scene.startswith("tag"):
        (manifest,) = held["tags"].values()
        store.tags[REPOSITORY][f"{DIGEST.replace(':', '-')}.sig"] = manifest
    else:
        (manifest,) = held["manifests"]
        document = json.loads(store.manifests[REPOSITORY][manifest][1])
        document["subject"]["digest"] = DIGEST
        requests.put(
            f"http://{registry.address}/v2/{REPOSITORY}/manifests/replayed",
            json=document,
            headers={"Content-Type": held["manifests"][manifest]},
            timeout=600,
        ).raise_for_status()

    found = signed(f"{registry.address}/{REPOSITORY}:v1", "p256-1")

    assert Status.NO == found.signed
    assert ["it is the signature of another image"] == [
        item.reason.partition(",")[0] for item in found.signatures.rejected
    ]


def test_the_child_that_was_named_itself_is_not_what_the_index_signature_is_for(registry):
    """Whoever names the manifest gets an answer about the manifest: only the index is signed."""
    push_scene(registry.address, "tag")
    index = json.loads(registry.read(f"{REPOSITORY}:v1"))

    found = signed(f"{registry.address}/{REPOSITORY}@{index['manifests'][0]['digest']}", "p256-1")

    assert Status.NO == found.signed
    assert index["manifests"][0]["digest"] == str(found.signatures.subject)


def test_signatures_elsewhere_are_not_looked_for_where_they_would_be(registry):
    push_scene(registry.address, "tag")

    found = signed(
        f"{registry.address}/{REPOSITORY}:v1",
        "p256-1",
        repository=f"{registry.address}/signatures/of-everything",
    )

    assert Status.NO == found.signed
    assert () == found.signatures.rejected


def test_a_local_image_needs_the_repository_of_its_signatures(registry):
    push_scene(registry.address, "bundle")
    name = f"oci:{DATA / 'image'}"

    told = signed(name, "p256-1", repository=f"{registry.address}/{REPOSITORY}")
    untold = signed(name, "p256-1")

    assert Status.YES == told.signed
    assert Status.UNKNOWN == untold.signed
    assert Verdict.OPEN is not told.verdict
    assert "--signature-repository" in untold.signatures.trouble


# -- through the command ---------------------------------------------------------------------------------------------


def command(*arguments):
    out, err = io.StringIO(), io.StringIO()
    status = main(["check", "--platform", PLATFORM, *map(str, arguments)], stdout=out, stderr=err)
    return status, out.getvalue(), err.getvalue()


def test_the_command_tells_who_signed(registry):
    push_scene(registry.address, "bundle")

    status, out, _ = command(
        "--verify-key",
        DATA / "keys" / "p256-1.pub",
        "--format",
        "json",
        f"{registry.address}/{REPOSITORY}:v1",
    )

    report = json.loads(out)
    (result,) = [result for result in report["results"] if result["check"] == "COS092"]
    assert 1 == status  # it is signed, and no derivative
    assert "pass" == result["kind"]
    assert report["signature_required"] is True
    assert {"subject", "repository", "trusted", "verified", "rejected", "trouble"} == report[
        "signatures"
    ].keys()
    assert ["bundle"] == [item["format"] for item in report["signatures"]["verified"]]


@pytest.mark.parametrize("variable", [None, "COSIGN_REPOSITORY"])
def test_the_repository_and_the_key_come_from_options_or_from_the_environment(
    registry, monkeypatch, variable
):
    push_scene(registry.address, "tag-elsewhere", "signatures/of-everything")
    monkeypatch.setenv("A_KEY", (DATA / "keys" / "p256-1.pub").read_text())
    place = f"{registry.address}/signatures/of-everything"
    options = ["--signature-repository", place]
    if variable is not None:
        monkeypatch.setenv(variable, place)
        options = []

    _, out, err = command("--verify-key", "env://A_KEY", *options, f"{registry.address}/{REPOSITORY}:v1")

    assert "" == err
    assert "signed by key env://A_KEY" in " ".join(out.split())


def test_an_unsigned_image_fails_and_says_what_was_expected(registry):
    status, out, _ = command("--verify-key", DATA / "keys" / "rsa.pub", f"{registry.address}/{REPOSITORY}:v1")

    assert 1 == status
    assert "is not signed by a trusted signer" in " ".join(out.split())
    assert "COS092 signature-missing" in out
    assert "cosign sign" in " ".join(out.split())


PUBLIC = DATA / "keys" / "rsa.pub"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--verify-key", "/nowhere/cosign.pub"], "/nowhere/cosign.pub: the key cannot be read"),
        (["--verify-key", DATA], "the key cannot be read"),
        (["--verify-key", DATA / "README.md"], "expected a public key in PEM"),
        (["--verify-key", "env://NO_SUCH_KEY"], "the environment has no such variable"),
        (["--verify-key", "awskms://key"], "keys are read from files and from the environment only"),
        (["-a", "stage=release"], "--annotation: expected a signer too"),
        (["--trusted-root", "x.json"], "--trusted-root: expected a signer too"),
        (["--signature-repository", "x/y"], "--signature-repository: expected a signer too"),
        (["--verify-key", PUBLIC, "-a", "stage"], "expected NAME=VALUE"),
        (["--verify-key", PUBLIC, "--trusted-root", "x"], "expected --certificate-identity too"),
        (["--verify-key", PUBLIC, "--signature-repository", "quay.io/org/os:v1"], "expected a repository, found an image"),
        (["--verify-key", PUBLIC, "--signature-repository", "quay.io/ORG"], "upper case"),
        (["--certificate-identity", "a@b.c"], "expected --certificate-identity and --certificate-oidc-issuer"),
        (["--certificate-oidc-issuer", "https://x"], "expected --certificate-identity and --certificate-oidc-issuer"),
        (["--certificate-identity-regexp", "(", "--certificate-oidc-issuer", "x"], "expected a regular expression"),
        (["--certificate-identity", "", "--certificate-oidc-issuer", "x"], "expected the identity"),
        (["--certificate-identity", "a", "--certificate-identity-regexp", "a"], "exclude each other"),
        (
            ["--certificate-identity", "a", "--certificate-oidc-issuer", "b", "--trusted-root", "/nowhere.json"],
            "expected sigstore's certificates and keys",
        ),
    ],
)  # fmt: skip
def test_wrong_use_costs_no_connection_and_is_told_in_one_line(arguments, said):
    status, out, err = command(*arguments, "127.0.0.1:9/org/os:v1")

    assert (2, "") == (status, out)
    assert said in err
    assert 1 == err.count("\n")


def test_a_private_key_is_refused_and_not_shown(tmp_path):
    path = tmp_path / "cosign.key"
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path],
        check=True,
        capture_output=True,
    )

    status, _, err = command("--verify-key", path, "127.0.0.1:9/org/os:v1")

    assert 2 == status
    assert "this is a private key" in err
    assert path.read_text().splitlines()[1] not in err


# -- a real registry -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def docker_registry(tmp_path_factory):
    """Debian's docker-registry, which has no referrers API."""
    program = shutil.which("docker-registry") or shutil.which("registry")
    if program is None:
        pytest.skip("docker-registry is not installed")
    work = tmp_path_factory.mktemp("registry")
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        address = f"127.0.0.1:{reserved.getsockname()[1]}"
    (work / "config.yml").write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {work}}}}}\n"
        f"http: {{addr: '{address}'}}\n"
    )
    with (work / "log").open("wb") as log:
        serving = subprocess.Popen(
            [program, "serve", work / "config.yml"],
            stdout=log,
            stderr=log,
            env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
        )
    try:
        end = time.monotonic() + 600
        while time.monotonic() < end:
            try:
                requests.get(f"http://{address}/v2/", timeout=600)
                break
            except requests.ConnectionError:
                assert serving.poll() is None, (work / "log").read_text()
                time.sleep(0.05)  # another process: there is nothing else to wait on
        yield address
    finally:
        serving.terminate()
        serving.wait()


@pytest.mark.compat
@pytest.mark.parametrize("scene", ["tag", "bundle-fallback"])
def test_signatures_are_found_in_a_real_registry(docker_registry, scene):
    repository = f"org/{scene}"
    name = push_image(docker_registry, repository)
    push_scene(docker_registry, scene, repository)

    assert Status.YES == signed(name, "p256-1").signed
    assert Status.YES == signed(name, "p256-2", annotations={"build": "42"}).signed
    assert Status.NO == signed(name, "rsa").signed
    status, out, _ = command("--verify-key", DATA / "keys" / "p256-1.pub", name)
    assert 1 == status
    assert "signed by key" in " ".join(out.split())
