"""Signatures that are wrong in one way each: none of them counts, none hides a good one, and each is told why."""

import base64
import io
import json

import pytest
from attrs import evolve
from cryptography.hazmat.primitives import hashes

from cosign_scenes import DIGEST, INDEX, REPOSITORY, push, push_image
from cosinspect import SignaturePolicy, Verdict, inspect
from cosinspect.errors import InvalidSignaturePolicy
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.profiles import load_profile
from cosinspect.render import RENDERERS
from cosinspect.report.report import Kind, Status
from cosinspect.testing import BasicAuth, Fault, Registry
from cosinspect.testing.derivative import derivative
from signing import (
    BUNDLE,
    IN_TOTO,
    MANIFEST,
    Signer,
    bundle_of,
    encoded,
    envelope_of,
    layer_of,
    log_bundle_of,
    payload_of,
    push_bundle,
    push_signatures,
    sha256,
    statement_of,
)

SIGNER, OTHER = Signer(name="signer.pub"), Signer()
ANOTHER_IMAGE = "sha256:" + "e" * 64
GOOD = payload_of()


def signed(registry, *signers, limits=DEFAULT_LIMITS, **options):
    policy = SignaturePolicy(keys=tuple(each.public for each in signers or (SIGNER,)), **options)
    name = f"{registry.address}/{REPOSITORY}:v1"
    return inspect(name, platform="linux/amd64", signatures=policy, limits=limits)


def by(payload, signer=SIGNER, **annotations):
    """A layer of the tag scheme and what it is over."""
    return layer_of(payload, encoded(signer.sign(payload)), **annotations), payload


WRONG_PAYLOADS = {
    "by another key": (*by(GOOD, OTHER), "nobody who is trusted"),
    "of another image": (*by(payload_of(ANOTHER_IMAGE)), f"another image, {ANOTHER_IMAGE}"),
    "a changed payload": (
        layer_of(payload_of(optional={"a": "b"}), encoded(SIGNER.sign(GOOD))),
        payload_of(optional={"a": "b"}),
        "nobody who is trusted",
    ),
    "truncated base64": (layer_of(GOOD, encoded(SIGNER.sign(GOOD))[:-3]), GOOD, "expected base64"),
    "a truncated signature": (layer_of(GOOD, encoded(SIGNER.sign(GOOD)[:-4])), GOOD, "nobody who is trusted"),
    "base64 with blanks": (layer_of(GOOD, " " + encoded(SIGNER.sign(GOOD))), GOOD, "expected base64"),
    "an empty signature": (layer_of(GOOD, ""), GOOD, "nobody who is trusted"),
    "signed by nobody": ({**layer_of(GOOD, ""), "annotations": {}}, GOOD, "expected a signature in the annotation"),
    "of another media type": ({**by(GOOD)[0], "mediaType": "application/json"}, GOOD, "expected the media type"),
    "of another type": (*by(payload_of(kind="atomic container signature")), "expected 'cosign container image"),
    "no JSON": (*by(b"{"), "expected a JSON document"),
    "a list": (*by(b"[]"), "expected a JSON object"),
    "a key twice": (*by(GOOD[:-1] + b', "critical": {}}'), "is repeated"),
    "without a digest": (*by(b'{"critical": {"image": {}, "type": "cosign container image signature"}}'), "found 0"),
    "with half a digest": (*by(payload_of(DIGEST[:-1])), "expected a digest"),
    "with a log entry for another signature": (
        *by(GOOD, bundle=log_bundle_of(OTHER.sign(GOOD), GOOD)),
        "the entry of the transparency log that lies with it is for another signature",
    ),
    "with a log entry for another payload": (
        layer_of(GOOD, encoded(SIGNATURE := SIGNER.sign(GOOD)), bundle=log_bundle_of(SIGNATURE, b"another")),
        GOOD,
        "the entry of the transparency log that lies with it is for another signature",
    ),
    "with a log entry that is none": (*by(GOOD, bundle="{}"), "log bundle"),
    "by a certificate only": (*by(GOOD, OTHER, certificate="-----BEGIN"), "nobody who is trusted"),
}  # fmt: skip


@pytest.mark.parametrize("way", WRONG_PAYLOADS)
def test_a_wrong_signature_of_the_tag_scheme_does_not_count_and_hides_no_good_one(registry, way):
    layer, payload, reason = WRONG_PAYLOADS[way]
    push_signatures(registry.address, [layer], [payload])

    alone = signed(registry)
    push_signatures(registry.address, [layer, by(GOOD)[0]], [payload, GOOD])
    beside = signed(registry)

    assert (Status.NO, Verdict.FAIL) == (alone.signed, alone.verdict)
    (rejected,) = alone.signatures.rejected
    assert reason in rejected.reason
    assert f"{DIGEST.replace(':', '-')}.sig, layer 0" == rejected.origin
    assert Status.YES == beside.signed
    assert alone.signatures.rejected == beside.signatures.rejected


def entry(body):
    return {
        "publicKey": {"hint": ""},
        "tlogEntries": [{"canonicalizedBody": encoded(json.dumps(body).encode())}],
    }


def dsse_entry(signature, payload):
    document = json.loads(log_bundle_of(signature, payload))
    hashed = json.loads(base64.b64decode(document["Payload"]["body"]))["spec"]["data"]["hash"]
    spec = {"payloadHash": hashed, "signatures": [{"signature": encoded(signature)}]}
    return {"apiVersion": "0.0.1", "kind": "dsse", "spec": spec}


STATEMENT = statement_of()
ENVELOPE = envelope_of(SIGNER.sign, STATEMENT)
DIGEST_BYTES = bytes.fromhex(INDEX["digest"].removeprefix("sha256:"))
OTHERS = bytes.fromhex("e" * 64)


def message(signature, digest=DIGEST_BYTES, algorithm="SHA2_256"):
    hint = {"algorithm": algorithm, "digest": encoded(digest)}
    return {"messageSignature": {"messageDigest": hint, "signature": encoded(signature)}}


WRONG_BUNDLES = {
    "by another key": (bundle_of(dsseEnvelope=envelope_of(OTHER.sign, STATEMENT)), "nobody who is trusted"),
    "of another image": (
        bundle_of(dsseEnvelope=envelope_of(SIGNER.sign, statement_of(ANOTHER_IMAGE))),
        f"another image, {ANOTHER_IMAGE}",
    ),
    "a changed payload": (
        bundle_of(dsseEnvelope={**ENVELOPE, "payload": encoded(statement_of(a="b"))}),
        "nobody who is trusted",
    ),
    "a changed type": (bundle_of(dsseEnvelope={**ENVELOPE, "payloadType": "text/plain"}), "nobody who is trusted"),
    "another payload": (
        bundle_of(dsseEnvelope=envelope_of(SIGNER.sign, STATEMENT, "application/json")),
        f"expected a payload of type {IN_TOTO}",
    ),
    "signed without its type": (
        bundle_of(dsseEnvelope={**ENVELOPE, "signatures": [{"sig": encoded(SIGNER.sign(STATEMENT))}]}),
        "nobody who is trusted",
    ),
    "provenance": (
        bundle_of(dsseEnvelope=envelope_of(SIGNER.sign, statement_of(predicate="https://slsa.dev/provenance/v1"))),
        "it is a statement about the image (https://slsa.dev/provenance/v1), and no signature of it",
    ),
    "no signature at all": (bundle_of(dsseEnvelope={**ENVELOPE, "signatures": []}), "expected a signature, found none"),
    "truncated base64": (bundle_of(dsseEnvelope={**ENVELOPE, "payload": "abc"}), "expected base64"),
    "nothing signed": (bundle_of(), "expected an envelope or a message signature"),
    "both contents": (
        bundle_of(dsseEnvelope=ENVELOPE, **message(SIGNER.sign(b""))),
        "expected an envelope or a message signature",
    ),
    "two signers": (
        bundle_of(dsseEnvelope=ENVELOPE, verificationMaterial={"publicKey": {}, "certificate": {}}),
        "expected one key or certificate, found 2",
    ),
    "of a version to come": (
        bundle_of(dsseEnvelope=ENVELOPE, mediaType="application/vnd.dev.sigstore.bundle.v1.0+json"),
        f"expected {BUNDLE}",
    ),
    "no JSON": (b"PK\x03\x04", "expected a JSON document"),
    "not UTF-8": (b'{"a": "\xff"}', "expected a JSON document"),
    "of wrong types": (bundle_of(dsseEnvelope=7), "Expected"),
    "with a log entry for another signature": (
        bundle_of(
            dsseEnvelope=ENVELOPE, verificationMaterial=entry(dsse_entry(OTHER.sign(STATEMENT), STATEMENT))
        ),
        "the entry of the transparency log in the bundle is for another signature",
    ),
    "a message of another digest": (bundle_of(**message(SIGNER.sign(b""), OTHERS)), "another image"),
    "a message by nobody": (bundle_of(**message(SIGNER.sign(b"not the index"))), "nobody who is trusted"),
    "a message in another algorithm": (
        bundle_of(**message(SIGNER.sign(b""), algorithm="SHA2_512")), "it is a signature over SHA2_512"
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", WRONG_BUNDLES)
def test_a_wrong_bundle_does_not_count_and_hides_no_good_one(registry, way):
    bundle, reason = WRONG_BUNDLES[way]
    push_bundle(registry.address, bundle)

    alone = signed(registry)
    push_bundle(registry.address, bundle_of(dsseEnvelope=ENVELOPE))
    beside = signed(registry)

    assert (Status.NO, Verdict.FAIL) == (alone.signed, alone.verdict)
    (rejected,) = alone.signatures.rejected
    assert reason in rejected.reason
    assert Status.YES == beside.signed
    assert alone.signatures.rejected == beside.signatures.rejected


def test_what_agrees_with_its_log_entry_counts(registry):
    signature = SIGNER.sign(GOOD)
    push_signatures(
        registry.address, [layer_of(GOOD, encoded(signature), bundle=log_bundle_of(signature, GOOD))], [GOOD]
    )
    logged = base64.b64decode(ENVELOPE["signatures"][0]["sig"])
    push_bundle(
        registry.address,
        bundle_of(dsseEnvelope=ENVELOPE, verificationMaterial=entry(dsse_entry(logged, STATEMENT))),
    )

    found = signed(registry).signatures

    assert ["simple-signing", "bundle"] == [item.format for item in found.verified]
    assert () == found.rejected


def test_a_signature_over_the_index_itself_counts(registry):
    raw = registry.read(f"{REPOSITORY}:v1")
    push_bundle(registry.address, bundle_of(**message(SIGNER.sign(raw))))

    assert Status.YES == signed(registry).signed
    # Such a signature says nothing but that.
    assert Status.NO == signed(registry, annotations={"stage": "release"}).signed


@pytest.mark.parametrize(
    ("kind", "algorithm", "counts"),
    [
        ("p256", hashes.SHA256, True),
        ("p256", hashes.SHA1, False),
        ("p384", hashes.SHA256, True),
        ("p384", hashes.SHA384, True),
        ("p384", hashes.SHA1, False),
        ("p521", hashes.SHA512, True),
        ("rsa", hashes.SHA256, True),
        ("rsa", hashes.SHA1, False),
        ("ed25519", hashes.SHA256, True),
    ],
)
def test_every_kind_of_key_signs_in_both_schemes(kind, algorithm, counts):
    signer = Signer(kind)

    def sign(data):
        return signer.sign(data, algorithm())

    for scheme in ("tag", "bundle"):
        with Registry() as registry:
            push_image(registry.address)
            if scheme == "tag":
                push_signatures(registry.address, [layer_of(GOOD, encoded(sign(GOOD)))], [GOOD])
            else:
                push_bundle(registry.address, bundle_of(dsseEnvelope=envelope_of(sign, STATEMENT)))
            assert (Status.YES if counts else Status.NO) == signed(registry, signer).signed


# -- bounds and trouble ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["tag", "bundle"])
def test_of_a_thousand_signatures_no_more_than_the_limit_are_looked_at(registry, scheme):
    limits = evolve(DEFAULT_LIMITS, signatures=10)
    if scheme == "tag":
        push_signatures(registry.address, [by(GOOD, OTHER)[0]] * 1000 + [by(GOOD)[0]], [GOOD])
    else:
        for number in range(30):
            push_bundle(registry.address, bundle_of(dsseEnvelope=envelope_of(OTHER.sign, b"%d" % number)))
    before = len(registry.requests)

    found = signed(registry, limits=limits)

    assert Status.UNKNOWN == found.signed
    assert 10 == len(found.signatures.rejected)
    assert "expected at most 10 signatures" in found.signatures.trouble
    assert len(registry.requests) - before < 40
    (result,) = [result for result in found.results if result.check == "COS092"]
    assert Kind.OPEN == result.kind


def test_one_that_counts_among_the_first_is_enough(registry):
    push_signatures(registry.address, [by(GOOD)[0]] * 1000, [GOOD])

    found = signed(registry)

    assert Status.YES == found.signed
    assert DEFAULT_LIMITS.signatures == len(found.signatures.verified)
    fetched = [request.path for request in registry.requests if request.path.endswith(sha256(GOOD))]
    assert 1 == sum("/blobs/sha256" in path for path in fetched)


def test_a_payload_beyond_the_limit_is_not_fetched(registry):
    large = payload_of(optional={"much": "x" * 2000})
    push_signatures(registry.address, [by(large)[0]], [large])

    found = signed(registry, limits=evolve(DEFAULT_LIMITS, signature_bytes=1000))

    assert Status.NO == found.signed
    assert "expected at most 1000 bytes" in found.signatures.rejected[0].reason


def test_other_artifacts_that_refer_to_the_image_cost_nothing(registry):
    for number in range(20):
        content = b"a bill of materials, %d" % number
        push_bundle(registry.address, content, artifactType="application/spdx+json")
    before = len(registry.requests)

    found = signed(registry, limits=evolve(DEFAULT_LIMITS, signatures=10))

    assert (Status.NO, ()) == (found.signed, found.signatures.rejected)
    assert len(registry.requests) - before < 10


def test_an_annotation_that_is_no_text_is_none(registry):
    payload = payload_of(optional={"build": 42, "stage": "release"})
    push_signatures(registry.address, [by(payload)[0]], [payload])

    assert {"stage": "release"} == signed(registry).signatures.verified[0].annotations
    assert Status.NO == signed(registry, annotations={"build": "42"}).signed


def test_a_saved_image_has_no_digest_that_could_be_signed(registry, tmp_path):
    image = derivative()
    name = image.write_docker_archive(tmp_path / "saved.tar", "cos/os:v1")
    policy = SignaturePolicy(keys=(SIGNER.public,), repository=f"{registry.address}/{REPOSITORY}")

    found = inspect(name, signatures=policy)

    assert (Status.UNKNOWN, Verdict.OPEN) == (found.signed, found.verdict)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"subject": {**{name: INDEX[name] for name in ("mediaType", "size")}, "digest": ANOTHER_IMAGE}},
            None,
        ),
        ({"layers": []}, "expected one layer"),
        ({"layers": [{"mediaType": "text/plain", "digest": ANOTHER_IMAGE, "size": 1}]}, "expected one layer"),
        ({"layers": [{"mediaType": BUNDLE, "digest": ANOTHER_IMAGE, "size": 1}]}, "BLOB_UNKNOWN"),
        ({"layers": 7}, "Expected"),
    ],
)
def test_a_malformed_artifact_does_not_count(registry, changes, reason):
    push_bundle(registry.address, bundle_of(dsseEnvelope=ENVELOPE), **changes)

    found = signed(registry)

    assert Status.NO == found.signed
    reasons = [item.reason for item in found.signatures.rejected]
    assert [] == reasons if reason is None else reason in "".join(reasons), reasons


def test_an_artifact_that_a_registry_lists_and_that_refers_to_another_image_does_not_count():
    """Without the API the list is a tag that anybody who can push can write."""
    with Registry(referrers=False) as registry:
        push_image(registry.address)
        push_bundle(
            registry.address, bundle_of(dsseEnvelope=ENVELOPE), subject={**INDEX, "digest": ANOTHER_IMAGE}
        )
        store = registry._backend.store
        artifact = next(
            digest for digest, (_, raw) in store.manifests[REPOSITORY].items() if BUNDLE.encode() in raw
        )
        size = len(registry.read(f"{REPOSITORY}@{artifact}"))
        listed = {"mediaType": MANIFEST, "digest": artifact, "size": size, "artifactType": BUNDLE}
        kind = "application/vnd.oci.image.index.v1+json"
        index = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": [listed]}).encode()
        push(registry.address, REPOSITORY, DIGEST.replace(":", "-"), kind, index)

        found = signed(registry)

    assert Status.NO == found.signed
    assert "this one refers to" in found.signatures.rejected[0].reason


@pytest.mark.parametrize(
    "path", [f"/v2/{REPOSITORY}/referrers/", f"/v2/{REPOSITORY}/manifests/{DIGEST.replace(':', '-')}.sig"]
)
def test_where_not_everything_could_be_seen_nothing_is_said_unless_one_counts(registry, path):
    registry.inject(Fault.status(403, f"{path}*", times=None))

    blind = signed(registry)

    assert (Status.UNKNOWN, Verdict.FAIL) == (
        blind.signed,
        blind.verdict,
    )  # it is no derivative, which is known
    assert "denies access" in blind.signatures.trouble
    (result,) = [result for result in blind.results if result.check == "COS092"]
    assert (Kind.OPEN, True) == (result.kind, "cannot be read" in result.reason)
    if "referrers" in path:
        push_signatures(registry.address, [by(GOOD)[0]], [GOOD])
    else:
        push_bundle(registry.address, bundle_of(dsseEnvelope=ENVELOPE))
    assert Status.YES == signed(registry).signed


def test_a_signature_repository_that_wants_credentials_leaves_it_open(registry):
    with Registry(auth=BasicAuth("u", "p")) as closed:
        found = signed(registry, repository=f"{closed.address}/org/signatures")

    assert Status.UNKNOWN == found.signed
    assert f"{closed.address}/org/signatures" == found.signatures.repository


# -- what is required ------------------------------------------------------------------------------------------------


def profile(tmp_path, text):
    path = tmp_path / "fleet.toml"
    path.write_text(text)
    return load_profile(str(path))


def test_a_derivative_passes_with_its_signature_and_fails_without_it(tmp_path):
    rules = profile(tmp_path, 'name = "fleet"\nrequired = ["boot", "install"]\nsignature_required = true\n')
    image = derivative()
    policy = SignaturePolicy(keys=(SIGNER.public,))
    with Registry() as registry:
        name = registry.push(image, "cos/os:v1")
        unsigned, forgotten = inspect(name, signatures=policy), inspect(name, profile=rules)
        payload = payload_of(image.digest)
        push_signatures(registry.address, [by(payload)[0]], [payload], "cos/os", image.digest)
        good, still_forgotten = inspect(name, profile=rules, signatures=policy), inspect(name, profile=rules)
        plain = inspect(name)

    assert [Verdict.FAIL, Verdict.OPEN, Verdict.PASS, Verdict.OPEN, Verdict.PASS] == [
        each.verdict for each in (unsigned, forgotten, good, still_forgotten, plain)
    ]
    (result,) = [result for result in forgotten.results if result.check == "COS092"]
    assert "the profile fleet requires a signature, and nobody is named" in result.reason
    assert "COS092" in good.to_dict()["capabilities"]["verify"]["because"]


def rendered(report, style):
    stream = io.StringIO()
    RENDERERS[style].render(report, stream)
    return " ".join(stream.getvalue().split())


@pytest.mark.parametrize(
    ("style", "unsigned", "open_"),
    [
        ("text", "profile cos, requires boot, install and signature", "unknown whether it is signed"),
        ("junit", '<failure message="expected a signature of', '<error message="the profile fleet requires'),
        ("github", "::error title=COS092", "::error title=COS092"),
        ("markdown", "What fails (1)", "requires a signature"),
    ],
)
def test_every_format_tells_that_the_verdict_hangs_on_the_signature(tmp_path, style, unsigned, open_):
    rules = profile(tmp_path, 'name = "fleet"\nrequired = ["boot"]\nsignature_required = true\n')
    with Registry() as registry:
        name = registry.push(derivative(), "cos/os:v1")
        failing = inspect(name, signatures=SignaturePolicy(keys=(SIGNER.public,)))
        undecided = inspect(name, profile=rules)

    assert unsigned in rendered(failing, style)
    assert open_ in rendered(undecided, style)


def test_a_policy_that_trusts_nobody_is_none():
    with pytest.raises(InvalidSignaturePolicy, match="neither"):
        SignaturePolicy()
