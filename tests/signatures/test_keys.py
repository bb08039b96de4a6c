"""Keys, with openssl as the judge of what they are and what they signed."""

import hashlib
import subprocess

import pytest

from cosinspect import PublicKey
from cosinspect.errors import InvalidSignaturePolicy
from cosinspect.oci.documents import Digest

MESSAGE = b"what is signed\n" * 40
KINDS = {
    "P-256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "P-384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "P-521": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
    "RSA 2048": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "RSA 4096": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"],
    "Ed25519": ["-algorithm", "ED25519"],
}
HASHES = {
    "P-256": ["sha256"], "P-384": ["sha256", "sha384"], "P-521": ["sha256", "sha512"], "RSA 2048": ["sha256"],
    "RSA 4096": ["sha256"], "Ed25519": [None],
}  # fmt: skip
REFUSED = {
    "RSA 1024": (["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"], "expected an RSA key of 2048"),
    "P-224": (["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-224"], "found secp224r1"),
    "secp256k1": (["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"], "found secp256k1"),
    "X25519": (["-algorithm", "X25519"], "expected ECDSA on P-256"),
    "Ed448": (["-algorithm", "ED448"], "expected ECDSA on P-256"),
}


def openssl(*arguments, given=None):
    return subprocess.run(
        ["openssl", *map(str, arguments)], input=given, capture_output=True, check=True
    ).stdout


@pytest.fixture(scope="module")
def private(tmp_path_factory):
    """Give the file of a private key, made once for each kind."""
    work, made = tmp_path_factory.mktemp("keys"), {}

    def make(kind):
        if kind not in made:
            made[kind] = work / kind.replace(" ", "-")
            options = KINDS[kind] if kind in KINDS else REFUSED[kind][0]
            openssl("genpkey", *options, "-out", made[kind])
        return made[kind]

    return make


def signature(path, algorithm):
    source = path.parent / "message"
    source.write_bytes(MESSAGE)
    options = ["-digest", algorithm] if algorithm else []
    return openssl("pkeyutl", "-sign", "-inkey", path, "-rawin", *options, "-in", source)


@pytest.mark.parametrize(("kind", "algorithm"), [(kind, each) for kind in KINDS for each in HASHES[kind]])
def test_what_openssl_signed_is_believed_and_nothing_else(private, kind, algorithm):
    path = private(kind)
    key = PublicKey.from_pem(openssl("pkey", "-in", path, "-pubout"), "a key")
    made = signature(path, algorithm)

    assert key.signed(made, MESSAGE)
    assert not key.signed(made, MESSAGE[:-1])
    assert not key.signed(made[:-1], MESSAGE)
    assert not key.signed(made + b"\0", MESSAGE)


@pytest.mark.parametrize("kind", ["P-256", "P-384", "P-521", "RSA 2048"])
def test_of_a_digest_the_same_is_said_without_the_bytes(private, kind):
    path = private(kind)
    key = PublicKey.from_pem(openssl("pkey", "-in", path, "-pubout"), "a key")
    made = signature(path, "sha256")

    assert key.signed_digest(made, Digest.of(MESSAGE))
    assert not key.signed_digest(made, Digest.of(b"another"))


@pytest.mark.parametrize("kind", ["P-256", "RSA 2048"])
def test_weak_hashes_are_not_tried(private, kind):
    path = private(kind)
    key = PublicKey.from_pem(openssl("pkey", "-in", path, "-pubout"), "a key")

    assert not key.signed(signature(path, "sha1"), MESSAGE)


def test_rsa_padding_is_that_of_cosign(private, tmp_path):
    path = private("RSA 2048")
    key = PublicKey.from_pem(openssl("pkey", "-in", path, "-pubout"), "a key")
    source = tmp_path / "message"
    source.write_bytes(MESSAGE)
    options = ["-rawin", "-digest", "sha256", "-pkeyopt", "rsa_padding_mode:pss", "-in", source]

    assert not key.signed(openssl("pkeyutl", "-sign", "-inkey", path, *options), MESSAGE)


@pytest.mark.parametrize("kind", KINDS)
def test_the_fingerprint_is_that_of_the_der_and_does_not_depend_on_the_writing(private, kind):
    path = private(kind)
    pem = openssl("pkey", "-in", path, "-pubout")
    der = openssl("pkey", "-in", path, "-pubout", "-outform", "DER")

    key = PublicKey.from_pem(pem, "a.pub")
    written = PublicKey.from_pem(b"a comment\r\n" + pem.replace(b"\n", b"\r\n") + b"\r\n", "b.pub")

    assert hashlib.sha256(der).hexdigest() == key.fingerprint == written.fingerprint
    assert f"a.pub (sha256:{key.fingerprint})" == str(key)


def test_an_rsa_key_in_its_older_form_is_one(private):
    path = private("RSA 2048")
    pem = openssl("rsa", "-in", path, "-RSAPublicKey_out")

    assert pem.startswith(b"-----BEGIN RSA PUBLIC KEY-----")
    assert PublicKey.from_pem(pem, "a key").signed(signature(path, "sha256"), MESSAGE)


@pytest.mark.parametrize("kind", REFUSED)
def test_other_keys_are_refused(private, kind):
    pem = openssl("pkey", "-in", private(kind), "-pubout")

    with pytest.raises(InvalidSignaturePolicy, match=REFUSED[kind][1]):
        PublicKey.from_pem(pem, "a key")


def test_a_certificate_is_refused_with_the_command_that_takes_its_key(private):
    path = private("P-256")
    certificate = openssl("req", "-x509", "-new", "-key", path, "-subj", "/CN=a", "-days", "2")

    with pytest.raises(InvalidSignaturePolicy, match="openssl x509 -pubkey"):
        PublicKey.from_pem(certificate, "a key")


def test_a_file_that_is_too_large_for_a_key_is_none():
    with pytest.raises(InvalidSignaturePolicy, match="expected at most 65536 bytes"):
        PublicKey.from_pem(b"x" * 65537, "a key")
