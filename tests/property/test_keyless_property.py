"""Bundles by identity in which some places are something else: what is still believed says what was signed."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from cosinspect import Identity
from cosinspect.errors import FormatError
from cosinspect.formats.signing.in_toto import IN_TOTO
from cosinspect.oci.documents import Digest
from cosinspect.signatures.keyless import KeylessVerifier
from signing import statement_of
from sigstore_instance import Sigstore
from stacks import SCALE

WHO = Identity("someone@example.com", "https://accounts.example")
STATEMENT = statement_of()
SIGSTORE = Sigstore()
BUNDLES = [
    SIGSTORE.sign(STATEMENT, WHO.subject, WHO.issuer),
    SIGSTORE.sign_message(STATEMENT, WHO.subject, WHO.issuer),
]
with TemporaryDirectory() as directory:
    root = Path(directory) / "trusted_root.json"
    root.write_text(SIGSTORE.trusted_root())
    VERIFIER = KeylessVerifier((WHO,), root)

replacements = st.one_of(
    st.none(), st.booleans(), st.integers(-1, 2**64), st.text(max_size=8), st.just([]), st.just({}),
    st.sampled_from(["AAAA", "0.0.2", "intoto", "hashedrekord", "SHA2_512", "2030-01-01T00:00:00Z"]),
)  # fmt: skip


@st.composite
def changed(draw):
    """A right bundle in which a value is another, or a text has lost or changed a character."""
    found = json.loads(json.dumps(draw(st.sampled_from(BUNDLES))))
    inner = found
    while True:
        key = draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else list(range(len(inner)))))
        if not isinstance(inner[key], dict | list) or not inner[key] or draw(st.integers(0, 5)) == 0:
            break
        inner = inner[key]
    if isinstance(inner[key], str) and inner[key] and draw(st.booleans()):
        # Signatures are of other lengths in each run, so the place must not depend on them.
        at = draw(st.integers(0, 1000)) % len(inner[key])
        inner[key] = inner[key][:at] + draw(st.sampled_from(["", "A", "+", "\n"])) + inner[key][at + 1 :]
    else:
        inner[key] = draw(replacements)
    return json.dumps(found).encode()


def believed(verify, *arguments):
    """What the verifier gives, None if it refuses; whatever else it raises is a failure."""
    try:
        return verify(*arguments)
    except FormatError:
        return None


@settings(max_examples=100 * SCALE)
@given(raw=changed() | st.binary(max_size=200))
def test_what_is_believed_is_what_was_signed_and_only_our_error_leaves(raw):
    assert believed(VERIFIER.verify_envelope, raw) in (None, (f"identity {WHO}", IN_TOTO, STATEMENT))
    assert believed(VERIFIER.verify_digest, raw, Digest.of(STATEMENT)) in (None, f"identity {WHO}")


@settings(max_examples=100 * SCALE)
@given(raw=changed())
def test_another_digest_is_never_believed(raw):
    assert believed(VERIFIER.verify_digest, raw, Digest.of(b"another")) is None


def test_without_a_change_both_are_believed():
    envelope, message = (json.dumps(bundle).encode() for bundle in BUNDLES)

    assert believed(VERIFIER.verify_envelope, envelope) is not None
    assert believed(VERIFIER.verify_digest, message, Digest.of(STATEMENT)) is not None
