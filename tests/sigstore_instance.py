"""A sigstore of one's own: certificate authority, certificate log and transparency log, as small as verifiers take them.

Certificates as Fulcio makes them (docs/certificate-specification.md), with the word of a certificate log in them (RFC
6962, 3.2); an entry of Rekor 1 in a log of one entry, with its checkpoint and the log's promise. cosign 3.1.3 believes
its bundles: see tests/data/cosign/README.md.
"""

import base64
import datetime as dt
import hashlib
import json
import struct

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from signing import BUNDLE, encoded, envelope_of, log_bundle_of

NOW = dt.datetime(2026, 11, 1, 12, 0, tzinfo=dt.UTC)
YEAR = dt.timedelta(days=365)
LIFETIME = dt.timedelta(minutes=10)
ISSUER = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign",
    "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip
URL = "https://sigstore.example"


def der(private):
    return private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def usage(*given):
    return x509.KeyUsage(**{name: name in given for name in USAGES})


def utf8(text):
    raw = text.encode()
    return b"\x0c" + (bytes([len(raw)]) if len(raw) < 128 else b"\x81" + bytes([len(raw)])) + raw


class Sigstore:
    """One instance, whose keys are new."""

    def __init__(self):
        self.root_key, self.rekor, self.ctfe = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "sigstore.example")])
        public = self.root_key.public_key()
        self.root = (
            x509.CertificateBuilder(
                name, name, public, x509.random_serial_number(), NOW - YEAR, NOW + 10 * YEAR
            )
            .add_extension(usage("key_cert_sign", "crl_sign"), critical=True)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self.root_key, hashes.SHA256())
        )

    def trusted_root(self):
        """What verifiers have to know, as JSON."""
        valid = {"start": (NOW - YEAR).strftime("%Y-%m-%dT%H:%M:%SZ")}

        def log(key):
            public = {
                "rawBytes": encoded(der(key)),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": valid,
            }
            identity = {"keyId": encoded(hashlib.sha256(der(key)).digest())}
            return {"baseUrl": URL, "hashAlgorithm": "SHA2_256", "publicKey": public, "logId": identity}

        certificate = {"rawBytes": encoded(self.root.public_bytes(serialization.Encoding.DER))}
        authority = {
            "subject": {"organization": "sigstore.example", "commonName": "root"},
            "uri": URL,
            "certChain": {"certificates": [certificate]},
            "validFor": valid,
        }
        return json.dumps(
            {
                "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                "tlogs": [log(self.rekor)],
                "certificateAuthorities": [authority],
                "ctlogs": [log(self.ctfe)],
            }
        )

    def certificate(self, private, identity, issuer):
        """A certificate for one identity: an e-mail address, or a URI."""
        name = (
            x509.RFC822Name(identity) if "://" not in identity else x509.UniformResourceIdentifier(identity)
        )
        public, root = private.public_key(), self.root_key.public_key()
        builder = (
            x509.CertificateBuilder(
                self.root.subject, x509.Name([]), public, x509.random_serial_number(), NOW, NOW + LIFETIME
            )
            .add_extension(usage("digital_signature"), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root), critical=False)
            .add_extension(x509.SubjectAlternativeName([name]), critical=True)
            .add_extension(x509.UnrecognizedExtension(ISSUER, utf8(issuer)), critical=False)
        )
        before = builder.sign(self.root_key, hashes.SHA256()).tbs_certificate_bytes
        timestamp = int(NOW.timestamp() * 1000)
        signed = (
            struct.pack("!BBQH", 0, 0, timestamp, 1)
            + hashlib.sha256(der(self.root_key)).digest()
            + len(before).to_bytes(3, "big")
            + before
            + b"\0\0"
        )
        signature = self.ctfe.sign(signed, ec.ECDSA(hashes.SHA256()))
        log = hashlib.sha256(der(self.ctfe)).digest()
        sct = struct.pack("!B32sQHBBH", 0, log, timestamp, 0, 4, 3, len(signature)) + signature
        listed = struct.pack("!HH", len(sct) + 2, len(sct)) + sct
        string = (
            b"\x04\x81" + bytes([len(listed)]) + listed
            if len(listed) > 127
            else b"\x04" + bytes([len(listed)]) + listed
        )
        return builder.add_extension(x509.UnrecognizedExtension(SCT_LIST, string), critical=False).sign(
            self.root_key, hashes.SHA256()
        )

    def entry(self, kind, body):
        """The one entry of the log, as bundles have it."""
        raw = json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
        root = hashlib.sha256(b"\0" + raw).digest()
        log = hashlib.sha256(der(self.rekor)).digest()
        note = f"sigstore.example - 1\n1\n{encoded(root)}\n"
        signature = encoded(log[:4] + self.rekor.sign(note.encode(), ec.ECDSA(hashes.SHA256())))
        time = int(NOW.timestamp()) + 60
        promised = {"body": encoded(raw), "integratedTime": time, "logID": log.hex(), "logIndex": 0}
        canonical = json.dumps(promised, separators=(",", ":"), sort_keys=True).encode()
        promise = self.rekor.sign(canonical, ec.ECDSA(hashes.SHA256()))
        return {
            "logIndex": "0",
            "logId": {"keyId": encoded(log)},
            "kindVersion": {"kind": kind, "version": "0.0.1"},
            "integratedTime": str(time),
            "inclusionPromise": {"signedEntryTimestamp": encoded(promise)},
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": encoded(root),
                "treeSize": "1",
                "hashes": [],
                "checkpoint": {"envelope": f"{note}\n\u2014 sigstore.example {signature}\n"},
            },
            "canonicalizedBody": encoded(raw),
        }

    def _bundle(self, certificate, kind, body, **content):
        material = {
            "certificate": {"rawBytes": encoded(certificate.public_bytes(serialization.Encoding.DER))},
            "tlogEntries": [self.entry(kind, body)],
        }
        return {"mediaType": BUNDLE, "verificationMaterial": material, **content}

    def sign(self, payload, identity, issuer):
        """A bundle with an envelope, as values."""
        private = ec.generate_private_key(ec.SECP256R1())
        certificate = self.certificate(private, identity, issuer)
        envelope = envelope_of(lambda data: private.sign(data, ec.ECDSA(hashes.SHA256())), payload)
        pem = encoded(certificate.public_bytes(serialization.Encoding.PEM))
        plain = json.dumps(envelope).encode()
        spec = {
            "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(plain).hexdigest()},
            "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
            "signatures": [{"signature": envelope["signatures"][0]["sig"], "verifier": pem}],
        }
        body = {"apiVersion": "0.0.1", "kind": "dsse", "spec": spec}
        return self._bundle(certificate, "dsse", body, dsseEnvelope=envelope)

    def sign_message(self, message, identity, issuer):
        """A bundle with a signature over bytes elsewhere, as values."""
        private = ec.generate_private_key(ec.SECP256R1())
        certificate = self.certificate(private, identity, issuer)
        signature = private.sign(message, ec.ECDSA(hashes.SHA256()))
        body = json.loads(base64.b64decode(json.loads(log_bundle_of(signature, message))["Payload"]["body"]))
        pem = encoded(certificate.public_bytes(serialization.Encoding.PEM))
        body["spec"]["signature"]["publicKey"]["content"] = pem
        digest = {"algorithm": "SHA2_256", "digest": encoded(hashlib.sha256(message).digest())}
        content = {"messageSignature": {"messageDigest": digest, "signature": encoded(signature)}}
        return self._bundle(certificate, "hashedrekord", body, **content)
