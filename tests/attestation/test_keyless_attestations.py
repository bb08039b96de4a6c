"""Attestations by identity: a sigstore of our own gives certificates and takes entries; the bundle holds, and says whose it is."""

import datetime as dt
import http.server
import io
import json
import threading
from base64 import b64decode
from contextlib import contextmanager

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

import sigstore_instance
from cosinspect.attestation.statement import TEST_RESULT
from cosinspect.cli import main
from cosinspect.errors import FormatError
from cosinspect.signatures.keyless import KeylessVerifier
from cosinspect.signatures.policy import Identity
from cosinspect.testing import Registry
from cosinspect.testing.derivative import derivative

IDENTITY, ISSUER = "builder@example.org", "https://accounts.example.org"


@contextmanager
def serving(sigstore):
    """Fulcio and Rekor, as far as a client that signs asks them."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = _certified(sigstore, asked) if "signingCert" in self.path else _logged(sigstore, asked)
            body = json.dumps(answer).encode()
            self.send_response(201)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _certified(sigstore, asked):
    request = x509.load_pem_x509_csr(b64decode(asked["certificateSigningRequest"]))

    class Asked:
        def public_key(self):
            return request.public_key()

    chain = [sigstore.certificate(Asked(), IDENTITY, ISSUER), sigstore.root]
    pem = [each.public_bytes(serialization.Encoding.PEM).decode() for each in chain]
    return {"signedCertificateEmbeddedSct": {"chain": {"certificates": pem}}}


def _logged(sigstore, asked):
    proposed = asked["spec"]["proposedContent"]
    envelope = json.loads(proposed["envelope"])
    plain = proposed["envelope"].encode()

    def digest(data):
        return {"algorithm": "sha256", "value": sigstore_instance.hashlib.sha256(data).hexdigest()}

    body = {
        "apiVersion": "0.0.1",
        "kind": "dsse",
        "spec": {
            "envelopeHash": digest(plain),
            "payloadHash": digest(b64decode(envelope["payload"])),
            "signatures": [
                {"signature": envelope["signatures"][0]["sig"], "verifier": proposed["verifiers"][0]}
            ],
        },
    }
    entry = sigstore.entry("dsse", body)
    proof = entry["inclusionProof"]
    return {
        "uuid": {
            "body": entry["canonicalizedBody"],
            "integratedTime": int(entry["integratedTime"]),
            "logID": b64decode(entry["logId"]["keyId"]).hex(),
            "logIndex": 0,
            "verification": {
                "signedEntryTimestamp": entry["inclusionPromise"]["signedEntryTimestamp"],
                "inclusionProof": {
                    "logIndex": 0,
                    "rootHash": b64decode(proof["rootHash"]).hex(),
                    "treeSize": 1,
                    "hashes": [],
                    "checkpoint": proof["checkpoint"]["envelope"],
                },
            },
        }
    }


@pytest.fixture
def scene(tmp_path, monkeypatch):
    """An instance that lives now, the files that say where it is, and a token."""
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    monkeypatch.setattr(sigstore_instance, "NOW", now - dt.timedelta(minutes=1))
    sigstore = sigstore_instance.Sigstore()
    (tmp_path / "root.json").write_text(sigstore.trusted_root())
    with serving(sigstore) as url:
        service = {
            "url": url,
            "majorApiVersion": 1,
            "validFor": {"start": "2020-01-01T00:00:00Z"},
            "operator": "test",
        }
        config = {
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": json.loads(sigstore.trusted_root()),
            "signingConfig": {
                "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                "caUrls": [service],
                "oidcUrls": [],
                "rekorTlogUrls": [service],
                "rekorTlogConfig": {"selector": "ANY"},
                "tsaUrls": [],
            },
        }
        (tmp_path / "trust.json").write_text(json.dumps(config))
        claims = {
            "aud": "sigstore",
            "sub": IDENTITY,
            "iss": ISSUER,
            "iat": int(now.timestamp()),
            "exp": int(now.timestamp()) + 600,
        }
        yield tmp_path, jwt.encode(claims, "x" * 32, algorithm="HS256")


def attest(name, token, *arguments):
    out, err = io.StringIO(), io.StringIO()
    status = main(
        ["attest", name, "--identity-token", token, "--no-cache", *arguments], stdout=out, stderr=err
    )
    return status, out.getvalue(), err.getvalue()


def test_a_verdict_is_attested_by_identity(scene):
    directory, token = scene
    with Registry() as registry:
        name = registry.push(derivative(), "org/os:v1")

        status, out, err = attest(name, token, "--trust-config", str(directory / "trust.json"))

        assert status == 0, err
        assert f"attested PASSED by identity {IDENTITY}" in out
        bundle = _bundle(registry, out)
    trusted = KeylessVerifier((Identity(IDENTITY, ISSUER),), directory / "root.json")
    signer, kind, payload = trusted.verify_envelope(bundle)
    assert signer == f"identity {IDENTITY} by {ISSUER}"
    assert kind == "application/vnd.in-toto+json"
    assert json.loads(payload)["predicateType"] == TEST_RESULT
    other = KeylessVerifier((Identity("somebody@example.org", ISSUER),), directory / "root.json")
    with pytest.raises(FormatError):
        other.verify_envelope(bundle)


def _bundle(registry, out):
    digest = out.split("@")[-1].strip()
    manifest = json.loads(registry.read(f"org/os@{digest}"))
    (layer,) = manifest["layers"]
    return registry.read(f"org/os@{layer['digest']}")


@pytest.mark.parametrize("token", ["", "no token", "a.b.c"])
def test_what_is_no_token_signs_nothing(scene, token):
    directory, _ = scene

    status, _, err = attest("quay.io/org/os", token, "--trust-config", str(directory / "trust.json"))

    assert status == 2
    assert "expected an identity token" in err


def test_a_sigstore_that_does_not_answer_is_told(scene):
    directory, token = scene
    text = (directory / "trust.json").read_text()
    config = json.loads(text)
    for service in (*config["signingConfig"]["caUrls"], *config["signingConfig"]["rekorTlogUrls"]):
        service["url"] = "http://127.0.0.1:1"
    (directory / "trust.json").write_text(json.dumps(config))
    with Registry() as registry:
        name = registry.push(derivative(), "org/os:v1")

        status, _, err = attest(name, token, "--trust-config", str(directory / "trust.json"))

    assert status == 3
    assert "sigstore does not sign" in err
    assert err.count("\n") == 1
