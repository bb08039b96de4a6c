"""Signatures by identity: what sigstore's library believes of a sigstore of our own, and what it does not."""

import io
import json
import re
import sys

import pytest

from cosign_scenes import DATA, DIGEST, REPOSITORY, push_image, push_scene
from cosinspect import Identity, SignaturePolicy, inspect
from cosinspect.cli import main
from cosinspect.errors import InvalidSignaturePolicy, MissingPackage, TransportError
from cosinspect.report.report import Status
from cosinspect.signatures import keyless
from cosinspect.testing import Registry
from signing import (
    Signer,
    bundle_of,
    encoded,
    envelope_of,
    layer_of,
    payload_of,
    push_bundle,
    push_signatures,
    statement_of,
)
from sigstore_instance import Sigstore

SUBJECT = "https://github.com/org/os/.github/workflows/build.yml@refs/heads/main"
ISSUER = "https://token.actions.githubusercontent.com"
WHO = (SUBJECT, ISSUER)
SIGSTORE, ANOTHER = Sigstore(), Sigstore()
STATEMENT = statement_of(stage="release")
ANOTHER_IMAGE = "sha256:" + "e" * 64


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    path = tmp_path_factory.mktemp("root") / "trusted_root.json"
    path.write_text(SIGSTORE.trusted_root())
    return path


def signed(registry, root, *identities, **options):
    policy = SignaturePolicy(identities=identities or (Identity(*WHO),), trusted_root=root, **options)
    return inspect(f"{registry.address}/{REPOSITORY}:v1", platform="linux/amd64", signatures=policy)


def push(registry, bundle):
    push_bundle(registry.address, json.dumps(bundle).encode())


def test_a_bundle_that_cosign_believes_is_believed_with_its_root_and_not_without():
    """The scene was made with the trust root beside it, and `cosign verify` was content with it."""
    root = DATA / "keyless" / "trusted_root.json"
    with Registry() as registry:
        push_image(registry.address)
        push_scene(registry.address, "keyless")
        found = signed(registry, root)
        other = signed(registry, root, Identity("https://github.com/other", ISSUER))

    assert (Status.YES, Status.NO) == (found.signed, other.signed)
    assert [f"identity {SUBJECT} by {ISSUER}"] == [item.signer for item in found.signatures.verified]
    assert f"the certificate names {SUBJECT}" in other.signatures.rejected[0].reason


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        (Identity(*WHO), Status.YES),
        (Identity(SUBJECT, "https://accounts.example"), Status.NO),
        (Identity(SUBJECT[:-1], ISSUER), Status.NO),
        (Identity("^https://github\\.com/org/", ISSUER, subject_is_pattern=True), Status.YES),
        (Identity("github", "token", subject_is_pattern=True, issuer_is_pattern=True), Status.YES),
        (Identity("^https://github\\.com/other/", ISSUER, subject_is_pattern=True), Status.NO),
        (Identity(SUBJECT, "^https://accounts\\.", issuer_is_pattern=True), Status.NO),
        (Identity(".*", ".*"), Status.NO),
    ],
)
def test_subject_and_issuer_must_both_fit(registry, root, identity, expected):
    push(registry, SIGSTORE.sign(STATEMENT, *WHO))

    assert expected == signed(registry, root, identity).signed


def test_any_of_several_identities_will_do_and_an_address_is_one(registry, root):
    push(registry, SIGSTORE.sign(STATEMENT, "someone@example.com", "https://accounts.example"))
    someone = Identity("someone@example.com", "https://accounts.example")

    found = signed(registry, root, Identity(*WHO), someone)

    assert [f"identity {someone}"] == [item.signer for item in found.signatures.verified]
    assert Status.NO == signed(registry, root).signed


def test_annotations_hold_for_identities_too(registry, root):
    push(registry, SIGSTORE.sign(STATEMENT, *WHO))

    assert Status.YES == signed(registry, root, annotations={"stage": "release"}).signed
    assert Status.NO == signed(registry, root, annotations={"stage": "test"}).signed


def test_a_signature_over_the_index_itself_counts(registry, root):
    push(registry, SIGSTORE.sign_message(registry.read(f"{REPOSITORY}:v1"), *WHO))

    assert Status.YES == signed(registry, root).signed


def changed(bundle, *path, to):
    """A bundle in which one thing is another."""
    found = json.loads(json.dumps(bundle))
    inner = found
    for step in path[:-1]:
        inner = inner[step]
    if to is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = to
    return found


GOOD, SECOND = SIGSTORE.sign(STATEMENT, *WHO), SIGSTORE.sign(STATEMENT, *WHO)
STRANGER = SIGSTORE.sign(STATEMENT, "someone@example.com", "https://accounts.example")
ENTRIES = ("verificationMaterial", "tlogEntries")
WRONG = {
    "another instance": ANOTHER.sign(STATEMENT, *WHO),
    "another image": SIGSTORE.sign(statement_of(ANOTHER_IMAGE), *WHO),
    "provenance": SIGSTORE.sign(statement_of(predicate="https://slsa.dev/provenance/v1"), *WHO),
    "another payload": changed(GOOD, "dsseEnvelope", "payload", to=encoded(statement_of(stage="test"))),
    "another envelope": changed(GOOD, "dsseEnvelope", to=SECOND["dsseEnvelope"]),
    "the certificate of a stranger": changed(
        STRANGER, "verificationMaterial", "certificate", to=GOOD["verificationMaterial"]["certificate"]
    ),
    "a stranger's envelope": changed(GOOD, "dsseEnvelope", to=STRANGER["dsseEnvelope"]),
    "the log entry of another": changed(GOOD, *ENTRIES, to=SECOND["verificationMaterial"]["tlogEntries"]),
    "no log entry": changed(GOOD, *ENTRIES, to=[]),
    "no promise": changed(GOOD, *ENTRIES, 0, "inclusionPromise", to=None),
    "a promise by nobody": changed(GOOD, *ENTRIES, 0, "inclusionPromise", "signedEntryTimestamp", to="AAAA"),
    "no proof": changed(GOOD, *ENTRIES, 0, "inclusionProof", to=None),
    "another tree": changed(GOOD, *ENTRIES, 0, "inclusionProof", "rootHash", to=encoded(b"\0" * 32)),
    "a later time": changed(GOOD, *ENTRIES, 0, "integratedTime", to="2000000000"),
    "half a certificate": changed(
        GOOD, "verificationMaterial", "certificate", "rawBytes",
        to=GOOD["verificationMaterial"]["certificate"]["rawBytes"][:400],
    ),
    "a certificate that is none": changed(GOOD, "verificationMaterial", "certificate", to={}),
    "a message by another": SIGSTORE.sign_message(b"not the index", *WHO),
}  # fmt: skip


@pytest.mark.parametrize("way", WRONG)
def test_a_wrong_bundle_does_not_count_and_hides_no_good_one(registry, root, way):
    push(registry, WRONG[way])
    alone = signed(registry, root)
    push(registry, GOOD)
    beside = signed(registry, root)

    assert (Status.NO, 1) == (alone.signed, len(alone.signatures.rejected))
    assert alone.signatures.rejected[0].reason
    assert Status.YES == beside.signed


def test_keys_and_identities_stand_side_by_side(registry, root):
    signer = Signer()
    push_bundle(registry.address, bundle_of(dsseEnvelope=envelope_of(signer.sign, STATEMENT)))
    push(registry, GOOD)

    found = signed(registry, root, keys=(signer.public,)).signatures

    assert {"key", "identity"} == {item.signer.partition(" ")[0] for item in found.verified}


def test_a_bundle_by_identity_does_not_count_for_a_key(registry):
    push(registry, GOOD)

    policy = SignaturePolicy(keys=(Signer().public,))
    found = inspect(f"{registry.address}/{REPOSITORY}:v1", platform="linux/amd64", signatures=policy)

    assert (Status.NO, "nobody who is trusted made it") == (found.signed, found.signatures.rejected[0].reason)


def test_legacy_keyless_is_said_not_to_be_verified(registry, root):
    payload = payload_of()
    layer = layer_of(payload, encoded(Signer().sign(payload)), certificate="-----BEGIN CERTIFICATE-----")
    push_signatures(registry.address, [layer], [payload])

    found = signed(registry, root)

    assert Status.NO == found.signed
    assert (
        "it has a certificate in an annotation, which is not verified" in found.signatures.rejected[0].reason
    )
    assert DIGEST.removeprefix("sha256:") in found.signatures.rejected[0].origin


# -- what it takes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"mediaType": "text/plain"}', "\0"])
def test_a_trust_root_that_is_none_is_told_before_anything_is_asked_for(tmp_path, text):
    path = tmp_path / "root.json"
    path.write_text(text)

    with pytest.raises(InvalidSignaturePolicy, match="expected sigstore's certificates and keys"):
        inspect(
            "127.0.0.1:9/os:v1", signatures=SignaturePolicy(identities=(Identity(*WHO),), trusted_root=path)
        )


def test_where_the_root_cannot_be_fetched_it_cannot_be_decided(monkeypatch):
    def unreachable():
        raise OSError("no such host")

    monkeypatch.setattr(keyless.Verifier, "production", unreachable)

    with pytest.raises(TransportError, match="--trusted-root"):
        inspect("127.0.0.1:9/os:v1", signatures=SignaturePolicy(identities=(Identity(*WHO),)))


def test_without_the_extra_its_name_is_told(monkeypatch):
    monkeypatch.delitem(sys.modules, "cosinspect.signatures.keyless")
    monkeypatch.setitem(sys.modules, "sigstore.dsse", None)

    with pytest.raises(MissingPackage, match=re.escape("sigstore, it is not installed; in a checkout")):
        inspect("127.0.0.1:9/os:v1", signatures=SignaturePolicy(identities=(Identity(*WHO),)))


def test_the_command_takes_identities(registry, root):
    push(registry, GOOD)
    out, err = io.StringIO(), io.StringIO()

    main(
        [
            "--certificate-identity-regexp", "^https://github.com/org/", "--certificate-oidc-issuer", ISSUER,
            "--trusted-root", str(root), "--platform", "linux/amd64", f"{registry.address}/{REPOSITORY}:v1",
        ],
        stdout=out,
        stderr=err,
    )  # fmt: skip

    assert "" == err.getvalue()
    assert "signed by identity /^https://github.com/org/" in " ".join(out.getvalue().split())


def test_a_line_break_at_the_end_is_no_end(registry, root):
    push(registry, SIGSTORE.sign(STATEMENT, "a@example.com\n", ISSUER))
    identity = Identity(r"^a@example\.com$", ISSUER, subject_is_pattern=True)

    assert Status.NO == signed(registry, root, identity).signed
