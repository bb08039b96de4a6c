"""Signatures made by hand, in the forms in which cosign leaves them: right ones, and ones that are wrong in one way."""

import base64
import hashlib
import json

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from cosign_scenes import DIGEST, INDEX, REPOSITORY, push, push_blob
from cosinspect import PublicKey

SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
IN_TOTO = "application/vnd.in-toto+json"


class Signer:
    """A private key that signs as cosign does."""

    def __init__(self, kind="p256", name="signer"):
        self.private = {
            "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
            "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
            "rsa": lambda: rsa.generate_private_key(65537, 2048),
            "ed25519": ed25519.Ed25519PrivateKey.generate,
        }[kind]()
        self.public = PublicKey.from_pem(self.pem, name)

    @property
    def pem(self):
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, data, algorithm=None):
        algorithm = algorithm or hashes.SHA256()
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(data)
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(data, padding.PKCS1v15(), algorithm)
        return self.private.sign(data, ec.ECDSA(algorithm))


def encoded(data):
    return base64.b64encode(data).decode()


def sha256(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def payload_of(digest=DIGEST, kind="cosign container image signature", optional=None):
    claim = {"image": {"docker-manifest-digest": digest}, "type": kind, "identity": {"docker-reference": ""}}
    return json.dumps({"critical": claim, "optional": optional}).encode()


def layer_of(payload, signature, **annotations):
    """A layer of the tag scheme; the names of annotations in Python's spelling."""
    found = {"dev.cosignproject.cosign/signature": signature}
    found |= {f"dev.sigstore.cosign/{name}": value for name, value in annotations.items()}
    return {"mediaType": SIMPLE, "digest": sha256(payload), "size": len(payload), "annotations": found}


def log_bundle_of(signature, payload):
    """What cosign 2 keeps of a log entry; nobody signed it here."""
    body = {
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()}},
            "signature": {"content": encoded(signature), "publicKey": {"content": ""}},
        },
    }
    entry = {"body": encoded(json.dumps(body).encode()), "integratedTime": 1, "logIndex": 1, "logID": "00"}
    return json.dumps({"SignedEntryTimestamp": "AAAA", "Payload": entry})


def envelope_of(sign, payload, kind=IN_TOTO):
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload)
    return {"payload": encoded(payload), "payloadType": kind, "signatures": [{"sig": encoded(sign(signed))}]}


def statement_of(digest=DIGEST, predicate="https://sigstore.dev/cosign/sign/v1", **annotations):
    algorithm, _, hexadecimals = digest.partition(":")
    subject = {"digest": {algorithm: hexadecimals}, "annotations": annotations}
    return json.dumps(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [subject],
            "predicateType": predicate,
            "predicate": {},
        }
    ).encode()


def bundle_of(**content):
    """A bundle by a key; whatever is given is put in, or instead."""
    found = {"mediaType": BUNDLE, "verificationMaterial": {"publicKey": {"hint": ""}}, **content}
    return json.dumps(found).encode()


def push_manifest(address, manifest, reference=None, repository=REPOSITORY):
    data = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, **manifest}).encode()
    push(address, repository, reference or sha256(data), MANIFEST, data)


def push_signatures(address, layers, payloads, repository=REPOSITORY, digest=DIGEST):
    """Put a manifest of the tag scheme into a registry."""
    for data in {b"{}", *payloads}:
        push_blob(address, repository, sha256(data), data)
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(b"{}"), "size": 2}
    tag = f"{digest.replace(':', '-')}.sig"
    push_manifest(address, {"config": config, "layers": layers}, tag, repository)


def push_bundle(address, bundle, subject=INDEX, repository=REPOSITORY, **changes):
    """Put an artifact that refers to the image into a registry."""
    for data in (b"{}", bundle):
        push_blob(address, repository, sha256(data), data)
    manifest = {
        "artifactType": BUNDLE,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": sha256(b"{}"), "size": 2},
        "layers": [{"mediaType": BUNDLE, "digest": sha256(bundle), "size": len(bundle)}],
        "subject": {name: subject[name] for name in ("mediaType", "digest", "size")},
        **changes,
    }
    push_manifest(address, manifest, repository=repository)
