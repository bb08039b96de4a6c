"""What lies where signatures lie, made of anything: only our errors leave the readers, and nothing at all is believed."""

import contextlib
import json

from attrs import evolve, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from cosinspect import PublicKey, SignaturePolicy
from cosinspect.errors import FormatError, InvalidImage, InvalidSignaturePolicy, NotFound
from cosinspect.formats.signing.in_toto import read_statement
from cosinspect.formats.signing.log_entry import read_log_bundle, read_log_entry
from cosinspect.formats.signing.sigstore_bundle import read_bundle
from cosinspect.formats.signing.simple_signing import read_simple_signing
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.oci.artifact import ArtifactManifest
from cosinspect.oci.documents import Descriptor, Digest
from cosinspect.signatures.verification import verify_signatures
from signing import (
    BUNDLE,
    IN_TOTO,
    SIMPLE,
    Signer,
    bundle_of,
    encoded,
    envelope_of,
    payload_of,
    sha256,
    statement_of,
)
from stacks import SCALE

DIGEST = "sha256:" + "a" * 64
SIGNERS = {kind: Signer(kind) for kind in ("p256", "p384", "rsa", "ed25519")}
MESSAGE = b"what was signed"
SIGNATURES = {kind: signer.sign(MESSAGE) for kind, signer in SIGNERS.items()}
POLICY = SignaturePolicy(keys=tuple(signer.public for signer in SIGNERS.values()))
READERS = (
    read_simple_signing, read_bundle, read_statement, read_log_entry, read_log_bundle, ArtifactManifest.from_json,
)  # fmt: skip
KEYS = [
    "critical", "image", "docker-manifest-digest", "Docker-manifest-digest", "type", "identity", "optional",
    "docker-reference", "mediaType", "verificationMaterial", "publicKey", "hint", "certificate", "x509CertificateChain",
    "tlogEntries", "canonicalizedBody", "messageSignature", "messageDigest", "algorithm", "digest", "signature",
    "dsseEnvelope", "payload", "payloadType", "signatures", "sig", "_type", "subject", "predicateType", "name",
    "annotations", "apiVersion", "kind", "spec", "data", "hash", "value", "content", "payloadHash", "Payload", "body",
    "schemaVersion", "config", "layers", "size", "artifactType", "sha256",
]  # fmt: skip
TEXTS = [
    DIGEST, "a" * 64, BUNDLE, SIMPLE, IN_TOTO, "cosign container image signature", "https://in-toto.io/Statement/v1",
    "https://sigstore.dev/cosign/sign/v1", "hashedrekord", "dsse", "0.0.1", "sha256", "SHA2_256", "AAAA", "A", "\ud800",
]  # fmt: skip

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, 2, 7, -1, 2**63, 2**70, 1.5]),
    st.sampled_from(TEXTS),
    st.text(max_size=5),
    st.binary(max_size=80).map(encoded),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=6)
    ),
    max_leaves=15,
)
RIGHT = [
    json.loads(payload_of(DIGEST)),
    json.loads(statement_of(DIGEST)),
    json.loads(bundle_of(dsseEnvelope=envelope_of(Signer().sign, statement_of(DIGEST)))),
    {"schemaVersion": 2, "config": {"mediaType": "a", "digest": DIGEST, "size": 2}, "layers": []},
]


@st.composite
def documents(draw):
    """A right document in which up to three places are something else."""
    found = json.loads(json.dumps(draw(st.sampled_from(RIGHT))))
    for _ in range(draw(st.integers(0, 3))):
        inner = found
        while True:
            keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
            key = draw(st.sampled_from([*keys, *(KEYS if isinstance(inner, dict) else [])])) if keys else None
            below = inner[key] if key in keys else None
            if key is None or not isinstance(below, dict | list) or not below or draw(st.booleans()):
                break
            inner = below
        if key is not None:
            inner[key] = draw(values)
    return json.dumps(found).encode()


raw = st.one_of(st.binary(max_size=300), documents(), values.map(lambda value: json.dumps(value).encode()))


@settings(max_examples=100 * SCALE)
@given(data=raw)
def test_readers_raise_only_our_errors(data):
    for read in READERS:
        try:
            read(data)
        except (FormatError, InvalidImage):
            continue


@settings(max_examples=100 * SCALE)
@given(at=st.integers(0, 400), put=st.binary(max_size=8), data=st.none() | st.binary(max_size=300))
def test_a_key_is_one_or_is_refused(at, put, data):
    pem = SIGNERS["p384"].pem
    with contextlib.suppress(InvalidSignaturePolicy):
        PublicKey.from_pem(pem[:at] + put + pem[at + len(put) :] if data is None else data, "a key")


@settings(max_examples=100 * SCALE)
@given(
    kind=st.sampled_from(sorted(SIGNERS)),
    at=st.integers(0),
    flip=st.integers(1, 255),
    other=st.binary(max_size=150),
)
def test_no_signature_but_its_own_holds(kind, at, flip, other):
    key, right = SIGNERS[kind].public, SIGNATURES[kind]
    flipped = bytearray(right)
    flipped[at % len(right)] ^= flip

    assert key.signed(right, MESSAGE)
    assert not key.signed(right, MESSAGE + b"x")
    assert not key.signed(bytes(flipped), MESSAGE)
    assert not key.signed(other, MESSAGE)
    assert not key.signed_digest(bytes(flipped), Digest.of(MESSAGE))


@frozen
class Memory:
    """A store that gives what it is told to, whatever its digest."""

    manifest: bytes | None
    listed: tuple[Descriptor, ...]
    contents: dict[Digest, bytes]
    repository: str = "memory"

    def tagged(self, tag):
        return self.manifest

    def referrers(self, subject):
        return self.listed

    def read(self, descriptor, *, limit, limit_name):
        if descriptor.digest not in self.contents:
            raise NotFound("there is no such thing", status=404)
        return self.contents[descriptor.digest][:limit]

    def close(self):
        pass


texts = (
    st.text(max_size=20)
    | st.binary(max_size=80).map(encoded)
    | raw.map(lambda data: data.decode("utf-8", "replace"))
)


@settings(max_examples=100 * SCALE)
@given(
    payloads=st.lists(st.tuples(raw, texts, st.none() | texts), max_size=3),
    bundles=st.lists(raw, max_size=3),
    whole=st.none() | raw,
)
def test_nothing_that_nobody_signed_is_believed_and_nothing_is_raised(payloads, bundles, whole):
    contents, layers, listed = {}, [], []
    for data, signature, log in payloads:
        contents[Digest.parse(sha256(data))] = data
        annotations = {"dev.cosignproject.cosign/signature": signature}
        annotations |= {} if log is None else {"dev.sigstore.cosign/bundle": log}
        layers.append(
            {"mediaType": SIMPLE, "digest": sha256(data), "size": len(data), "annotations": annotations}
        )
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": DIGEST, "size": 2}
    manifest = json.dumps({"schemaVersion": 2, "config": config, "layers": layers}).encode()
    subject = {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": DIGEST, "size": 3}
    for data in bundles:
        layer = {"mediaType": BUNDLE, "digest": sha256(data), "size": len(data)}
        artifact = {
            "schemaVersion": 2,
            "artifactType": BUNDLE,
            "config": config,
            "layers": [layer],
            "subject": subject,
        }
        document = json.dumps(artifact).encode()
        contents |= {Digest.parse(sha256(data)): data, Digest.parse(sha256(document)): document}
        kind = "application/vnd.oci.image.manifest.v1+json"
        listed.append(Descriptor(kind, Digest.parse(sha256(document)), len(document)))

    store = Memory(manifest if whole is None else whole, tuple(listed), contents)
    found = verify_signatures(
        Digest.parse(DIGEST), store, POLICY, limits=evolve(DEFAULT_LIMITS, signatures=4)
    )

    assert () == found.verified
    # Another manifest may be a right one without layers.
    assert found.rejected or found.trouble or not (bundles or (payloads and whole is None))
    json.dumps(found.to_dict())
