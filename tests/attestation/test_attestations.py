"""Verdicts as statements beside an image: written, found again, believed for the right reasons only."""

import base64
import hashlib
import io
import json
from pathlib import Path

import oras.provider
import pytest
from attrs import evolve
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from hypothesis import given
from hypothesis import strategies as st

from cosinspect import inspect
from cosinspect.attestation.place import AttestationRepository, bundle_of, envelope_json
from cosinspect.attestation.statement import TEST_RESULT, read_test_result, statement_of
from cosinspect.cli import main
from cosinspect.errors import FormatError, InvalidSignaturePolicy
from cosinspect.formats.signing.dsse import Envelope
from cosinspect.inspection.rulebook import load_rulebook
from cosinspect.oci.reference import Reference
from cosinspect.signatures.signing import PrivateKey
from cosinspect.sources.registry.source import RegistrySource
from cosinspect.testing import ImageBuilder, Registry, image_index
from cosinspect.testing.derivative import derivative
from cosinspect.testing.registry.auth import TokenAuth
from real_registries import docker_registry, push

KINDS = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}
PKCS8 = serialization.PrivateFormat.PKCS8
PEM = serialization.Encoding.PEM


def key_files(directory, name="key", kind="p256"):
    """Make a pair of keys, and give the paths of the private and the public one."""
    private = KINDS[kind]()
    secret, public = directory / f"{name}.pem", directory / f"{name}.pub"
    secret.write_bytes(private.private_bytes(PEM, PKCS8, serialization.NoEncryption()))
    public.write_bytes(
        private.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return str(secret), str(public)


def run(*arguments):
    out, err = io.StringIO(), io.StringIO()
    status = main(
        [*arguments, "--no-cache"] if arguments[0] != "check" else list(arguments), stdout=out, stderr=err
    )
    return status, out.getvalue(), err.getvalue()


def check(name, public, *arguments):
    return run("check", name, "--no-cache", "--from-attestation", public, *arguments)


def blobs(registry):
    return [each for each in registry.requests if each.method == "GET" and "/blobs/" in each.path]


# -- the way there and back ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_verdict_is_attested_and_believed(tmp_path, kind):
    secret, public = key_files(tmp_path, kind=kind)
    with Registry() as registry:
        good = registry.push(derivative(), "org/os:v1")
        bad = registry.push(derivative("kernel-dangling"), "org/os:v2")

        assert run("attest", good, "--key", secret)[0] == 0
        assert run("attest", bad, "--key", secret)[0] == 1

        assert check(good, public)[:2] == (0, f"PASSED  {good}, as attested by {_shown(public)}\n")
        status, out, _ = check(bad, public)
        assert status == 1
        assert "failed  COS011 kernel-link-dangling" in out


def _shown(public):
    key = serialization.load_pem_public_key(Path(public).read_bytes())
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"{public} (sha256:{hashlib.sha256(der).hexdigest()})"


def test_nothing_of_the_image_is_read_for_it(tmp_path):
    secret, public = key_files(tmp_path)
    image = derivative()
    with Registry() as registry:
        name = registry.push(image, "org/os:v1")
        run("attest", name, "--key", secret)
        before = len(registry.requests)
        check(name, public)
        read = {each.path.rpartition("/")[2] for each in registry.requests[before:] if "/blobs/" in each.path}

    layers = {layer["digest"] for layer in json.loads(image.blobs[image.digest])["layers"]}
    assert not read & layers


def test_the_attested_report_is_given_whole(tmp_path):
    secret, public = key_files(tmp_path)
    with Registry() as registry:
        name = registry.push(derivative("kernel-dangling"), "org/os:v1")
        run("attest", name, "--key", secret)

        check(name, public, "-o", str(tmp_path / "r.json"), "-o", str(tmp_path / "r.html"))

    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["schema"], report["verdict"]) == ("cosinspect.report/1", "fail")
    assert "kernel-link-dangling" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize("referrers", [True, False])
def test_it_is_found_with_and_without_the_referrers_api(tmp_path, referrers):
    secret, public = key_files(tmp_path)
    with Registry(referrers=referrers) as registry:
        name = registry.push(derivative(), "org/os:v1")
        for _ in range(2):
            assert run("attest", name, "--key", secret, "--no-tag")[0] == 0

        assert check(name, public)[1].startswith("PASSED")
        tags = registry_tags(registry)
    assert any(tag.startswith("sha256-") for tag in tags) is not referrers
    assert not any(tag.endswith(".att") for tag in tags)


def registry_tags(registry):
    source = RegistrySource(Reference.parse(f"{registry.address}/org/os"))
    try:
        return source.tags()
    finally:
        source.close()


def test_an_index_is_attested_as_such(tmp_path):
    secret, public = key_files(tmp_path)
    index = image_index(derivative(), ImageBuilder(platform="linux/arm64").layer({"a": "b"}).build())
    with Registry() as registry:
        name = registry.push(index, "org/os:v1")

        assert run("attest", name, "--key", secret, "--platform", "linux/amd64")[0] == 0

        assert check(name, public, "--platform", "linux/amd64")[1].startswith("PASSED")
        # Another platform is another question.
        assert check(name, public, "--platform", "linux/arm64")[0] != 0


def test_pushing_asks_for_the_right_to_push(tmp_path):
    secret, _ = key_files(tmp_path)
    with Registry(auth=TokenAuth("robot", "s3cret")) as registry:
        name = registry.push(derivative(), "org/os:v1")

        status, out, err = run("attest", name, "--key", secret, "--creds", "robot:s3cret")

    assert status == 0, err
    assert "attested PASSED" in out


@pytest.mark.compat
def test_a_real_registry_takes_it(tmp_path):
    secret, public = key_files(tmp_path)
    with docker_registry(tmp_path) as address:
        push(address, derivative(), "org/os", "v1")
        name = f"{address}/org/os:v1"

        assert run("attest", name, "--key", secret)[0] == 0
        assert run("attest", name, "--key", secret)[0] == 0

        assert check(name, public)[1].startswith("PASSED")


# -- what is not believed ---------------------------------------------------------------------------------------------------


def test_another_key_s_word_does_not_count(tmp_path):
    secret, _ = key_files(tmp_path)
    _, other = key_files(tmp_path, "other")
    with Registry() as registry:
        name = registry.push(derivative("kernel-dangling"), "org/os:v1")
        run("attest", name, "--key", secret)

        status, out, err = check(name, other)

    assert status == 1
    assert "What fails" in out
    assert "inspecting the image" in err


def test_other_rules_are_another_question(tmp_path):
    secret, public = key_files(tmp_path)
    policy = tmp_path / "fleet.toml"
    policy.write_text('name = "fleet"\nrequired = ["verify"]\n')
    with Registry() as registry:
        name = registry.push(derivative(), "org/os:v1")
        run("attest", name, "--key", secret)

        for arguments in (["--profile", "boot"], ["--policy", str(policy)], ["--verify-key", public]):
            assert "inspecting the image" in check(name, public, *arguments)[2]


def test_the_statement_of_another_image_does_not_count(tmp_path):
    """Somebody copies the attestation of a good image to a bad one."""
    secret, public = key_files(tmp_path)
    with Registry() as registry:
        good = registry.push(derivative(), "org/os:v1")
        bad = registry.push(derivative("kernel-dangling"), "org/os:v2")
        run("attest", good, "--key", secret)
        digests = [f"sha256-{_digest(registry, each)}" for each in ("org/os:v1", "org/os:v2")]
        store = registry._backend.store
        store.tags["org/os"][f"{digests[1]}.att"] = store.tags["org/os"][f"{digests[0]}.att"]

        status, _, err = check(bad, public)

    assert status == 1
    assert "inspecting the image" in err


def _digest(registry, name):
    return hashlib.sha256(registry.read(name)).hexdigest()


def test_of_several_the_worst_counts(tmp_path):
    """A pass must not hide a failure; here by two versions that see an image differently."""
    secret, public = key_files(tmp_path)
    key = PrivateKey.from_pem(Path(secret).read_bytes(), secret)
    with Registry() as registry:
        name = registry.push(derivative("kernel-dangling"), "org/os:v1")
        run("attest", name, "--key", secret, "--no-tag")
        _forge(name, key, result="PASSED", verdict="pass")

        status, out, _ = check(name, public)

    assert (status, out[:6]) == (1, "FAILED")


def test_a_result_that_its_report_contradicts_does_not_count(tmp_path):
    secret, public = key_files(tmp_path)
    key = PrivateKey.from_pem(Path(secret).read_bytes(), secret)
    with Registry() as registry:
        name = registry.push(derivative("kernel-dangling"), "org/os:v1")
        _forge(name, key, result="PASSED", verdict="fail")

        assert "inspecting the image" in check(name, public)[2]


def _forge(name, key, *, result, verdict):
    """Attest with the right key to something that is not so."""
    statement = json.loads(statement_of(inspect(name), load_rulebook().digest()))
    statement["predicate"]["result"] = result
    statement["predicate"]["cosinspect"]["verdict"] = verdict
    payload = json.dumps(statement).encode()
    signed = Envelope("application/vnd.in-toto+json", payload, (b"",)).signed_bytes
    source = RegistrySource(Reference.parse(name))
    try:
        AttestationRepository(source).put_bundle(
            source.resolve(), bundle_of(envelope_json(payload, key.sign(signed)), key.public), created="-"
        )
    finally:
        source.close()


# -- the statement ------------------------------------------------------------------------------------------------------------


def test_the_statement_is_that_of_the_specification(tmp_path):
    name = derivative("no-cosign").write_layout(tmp_path / "image")

    status, out, _ = run("attest", name, "--print")

    statement = json.loads(out)
    predicate = statement["predicate"]
    assert status == 0
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == TEST_RESULT
    assert [*statement["subject"][0]["digest"]] == ["sha256"]
    assert predicate["result"] == "WARNED"
    assert predicate["warnedTests"] == ["COS090 cosign-missing"]
    assert predicate["failedTests"] == []
    assert "COS011 kernel-link-dangling" in predicate["passedTests"]
    assert all({"name", "digest"} <= each.keys() for each in predicate["configuration"])


def test_what_is_undecided_fails_and_names_that_are_no_text_are_told(tmp_path):
    image = derivative("layer-damaged")
    report = inspect(image.write_layout(tmp_path / "image"))
    strange = evolve(report, name="\udcff")

    found = read_test_result(statement_of(strange, "rules"))

    assert found.result == "FAILED"
    assert found.rules == "rules"
    assert any(name.startswith("COS005") for name in found.failed)


@given(
    st.binary(max_size=300)
    | st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    ["_type", "predicateType", "predicate", "subject", "result", "configuration"]
                ),
                inner,
            )
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_whatever_a_statement_is_it_is_read_or_refused(raw):
    try:
        read_test_result(raw)
    except FormatError:
        return
    raise AssertionError("nothing of this is a test-result")


# -- keys -----------------------------------------------------------------------------------------------------------------------


def _cosign_key(password, label="ENCRYPTED SIGSTORE PRIVATE KEY", **changes):
    """A key as cosign writes it, sealed by the library that is opened with in turn."""
    nacl = pytest.importorskip("nacl.secret")
    private = KINDS["p256"]()
    der = private.private_bytes(serialization.Encoding.DER, PKCS8, serialization.NoEncryption())
    salt, nonce = b"s" * 32, b"n" * 24
    secret = Scrypt(salt=salt, length=32, n=65536, r=8, p=1).derive(password)
    sealed = nacl.SecretBox(secret).encrypt(der, nonce).ciphertext
    document = {
        "kdf": {"name": "scrypt", "params": {"N": 65536, "r": 8, "p": 1}, "salt": _base64(salt)},
        "cipher": {"name": "nacl/secretbox", "nonce": _base64(nonce)},
        "ciphertext": _base64(sealed),
    } | changes
    body = base64.encodebytes(json.dumps(document).encode()).decode()
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n".encode()


def _base64(data):
    return base64.b64encode(data).decode()


def test_a_key_of_cosign_is_opened_with_its_password():
    pem = _cosign_key(b"secret")

    key = PrivateKey.from_pem(pem, "cosign.key", b"secret")

    assert key.public.signed(key.sign(b"message"), b"message")
    with pytest.raises(InvalidSignaturePolicy, match="the password is another one"):
        PrivateKey.from_pem(pem, "cosign.key", b"other")


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n",
        b"x" * 1_000_000,
    ],
)
def test_what_is_no_key_is_refused(pem):
    with pytest.raises(InvalidSignaturePolicy):
        PrivateKey.from_pem(pem, "key")


@pytest.mark.parametrize("params", [{"N": 1 << 40, "r": 8, "p": 1}, {"N": -1, "r": 8, "p": 1}, {"N": 7}, {}])
def test_a_key_that_would_take_all_memory_is_refused(params):
    kdf = {"name": "scrypt", "params": params, "salt": ""}

    with pytest.raises(InvalidSignaturePolicy):
        PrivateKey.from_pem(_cosign_key(b"x", kdf=kdf), "key", b"x")


def test_a_key_with_a_password_needs_it():
    private = KINDS["p256"]()
    pem = private.private_bytes(PEM, PKCS8, serialization.BestAvailableEncryption(b"secret"))

    assert PrivateKey.from_pem(pem, "key", b"secret").public
    with pytest.raises(InvalidSignaturePolicy, match="COSIGN_PASSWORD"):
        PrivateKey.from_pem(pem, "key")


# -- wrong use ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["attest", "quay.io/org/os"], "expected exactly one of --key"),
        (["attest", "quay.io/org/os", "--key", "a", "--print"], "exactly one of"),
        (["attest", "oci:nowhere", "--key", "a"], "in a registry"),
        (["attest", "quay.io/org/os", "--key", "nowhere.pem"], "cannot be read"),
        (["check", "oci:nowhere", "--from-attestation", "a"], "in a registry"),
        (
            ["check", "quay.io/a/b", "--from-attestation", "a", "--format", "sarif"],
            "expected text, json, html",
        ),
    ],
)
def test_wrong_use_is_one_line(arguments, told):
    status, _, err = run(*arguments)

    assert status == 2
    assert told in err
    assert err.count("\n") == 1


def test_what_was_found_for_one_platform_is_not_believed_for_another(tmp_path):
    secret, public = key_files(tmp_path)
    index = image_index(derivative(architecture="amd64"), derivative("kernel-dangling", architecture="arm64"))
    with Registry() as registry:
        name = registry.push(index, "org/os:v1")

        assert run("attest", name, "--key", secret, "--platform", "linux/amd64")[0] == 0
        status, out, _ = check(name, public, "--platform", "linux/amd64")
        assert (status, "as attested by" in out) == (0, True)
        status, out, err = check(name, public, "--platform", "linux/arm64")
        assert (status, "as attested by" in out) == (1, False)
        assert "inspecting the image" in err


def test_the_machine_s_own_platform_is_not_taken_for_that_of_whoever_attested(tmp_path, monkeypatch):
    secret, public = key_files(tmp_path)
    index = image_index(derivative(architecture="amd64"), derivative("kernel-dangling", architecture="arm64"))
    with Registry() as registry:
        name = registry.push(index, "org/os:v1")
        monkeypatch.setattr("platform.machine", lambda: "x86_64")
        assert run("attest", name, "--key", secret)[0] == 0
        assert "as attested by" in check(name, public)[1]

        monkeypatch.setattr("platform.machine", lambda: "aarch64")
        status, out, _ = check(name, public)
        assert (status, "as attested by" in out) == (1, False)


def test_oras_pulls_the_statement_as_an_artefact(tmp_path):
    """A client of the field reads the manifest that refers to the image, its empty configuration and its layer."""
    secret, _ = key_files(tmp_path)
    image = derivative()
    with Registry() as registry:
        name = registry.push(image, "org/os:v1")
        repository = name.rpartition(":")[0]
        assert run("attest", name, "--key", secret)[0] == 0
        source = RegistrySource(Reference.parse(name))
        (referrer,) = source.referrers(source.resolve().digest)
        source.close()
        client = oras.provider.Registry(hostname=registry.address, insecure=True)
        manifest = client.get_manifest(f"{repository}@{referrer.digest}")
        layer = client.get_blob(repository, manifest["layers"][0]["digest"])
        config = client.get_blob(repository, manifest["config"]["digest"])

    assert image.digest == manifest["subject"]["digest"]
    assert config.content == b"{}"
    assert json.loads(layer.content)["dsseEnvelope"]["payloadType"] == "application/vnd.in-toto+json"
