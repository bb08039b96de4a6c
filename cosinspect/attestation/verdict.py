"""Attests the result of an inspection, and verifies attested results."""

from __future__ import annotations

from typing import Protocol

import msgspec
from attrs import frozen

from cosinspect.attestation.place import AttestationRepository, bundle_of, envelope_json
from cosinspect.attestation.statement import TestResult, read_test_result, statement_of
from cosinspect.errors import CosinspectError
from cosinspect.formats.signing.dsse import Envelope
from cosinspect.formats.signing.in_toto import IN_TOTO
from cosinspect.oci.documents import Descriptor, Digest
from cosinspect.report.report import SCHEMA, Report
from cosinspect.signatures.keys import PublicKey
from cosinspect.signatures.signing import PrivateKey

__all__ = ["Attested", "Placed", "StatementSigner", "attest", "find_attested"]

_SIGNATURES = 16
"""The maximum number of signatures read per envelope."""


@frozen
class Placed:
    """The place of a pushed attestation.

    Attributes:
        referrer: digest of the referrer.
        tag: the tag for cosign 2, None if not requested.
        result: PASSED, WARNED or FAILED.
    """

    referrer: Digest
    tag: str | None
    result: str


@frozen
class Attested:
    """A verified attestation.

    Attributes:
        key: the key that signed it.
        result: the attested result.
    """

    key: PublicKey
    result: TestResult


class StatementSigner(Protocol):
    """Signs statements without a key."""

    def sign(self, statement: bytes) -> bytes:
        """Return the bundle of a statement.

        Raises:
            TransportError: it cannot be signed.
        """
        ...


def attest(
    report: Report,
    rules: str,
    key: PrivateKey | StatementSigner,
    repository: AttestationRepository,
    subject: Descriptor,
    *,
    created: str,
    tagged: bool = True,
) -> Placed:
    """Sign a report as a statement, and push it beside the image.

    Args:
        report: of the image.
        rules: digest of the rulebook.
        key: the key or signer; a signer by identity makes a bundle, which cosign 2's tag cannot have.
        repository: of the image.
        subject: the digest of the name: of the index, if any.
        created: the current time (RFC 3339).
        tagged: whether to push it under cosign 2's tag too.

    Raises:
        SourceError: the registry refuses it.
        InvalidManifest: its place has something else.
    """
    statement = statement_of(report, rules)
    result = read_test_result(statement).result
    if not isinstance(key, PrivateKey):
        return Placed(repository.put_bundle(subject, key.sign(statement), created=created), None, result)
    unsigned = Envelope(IN_TOTO, statement, (b"",))
    envelope = envelope_json(statement, key.sign(unsigned.signed_bytes))
    referrer = repository.put_bundle(subject, bundle_of(envelope, key.public), created=created)
    tag = repository.put_tagged(subject, msgspec.json.encode(envelope)) if tagged else None
    return Placed(referrer, tag, result)


def find_attested(
    subject: Digest,
    judged: Digest,
    rules: str,
    keys: tuple[PublicKey, ...],
    repository: AttestationRepository,
) -> Attested | None:
    """Find an attestation of an image by one of these keys with the same rules; return None without one.

    Args:
        subject: its digest: of the index, if any.
        judged: digest of the manifest for the platform; attestations of other platforms of the index do not
        count.
        rules: digest of the rulebook; attestations with other rules do not count.
        keys: the trusted keys.
        repository: of the image.

    Raises:
        SourceError: the registry does not answer.
        CosinspectError: the list of referrers is invalid.
    """
    found: Attested | None = None
    for envelope in repository.envelopes(subject):
        if envelope.payload_type != IN_TOTO:
            continue
        key = _signer(envelope, keys)
        if key is None:
            continue
        try:
            result = read_test_result(envelope.payload)
        except CosinspectError:
            continue
        if subject not in result.subjects or result.rules != rules or not _agrees(result, judged):
            continue
        # The worst of several counts: a pass must not hide a failure.
        if found is None or result.result == "FAILED":
            found = Attested(key, result)
    return found


def _agrees(result: TestResult, judged: Digest) -> bool:
    """Return whether a statement has a report of ours on that manifest, with a verdict that matches its result."""
    report = result.report or {}
    image = report.get("image")
    verdict = report.get("verdict")
    return (
        report.get("schema") == SCHEMA
        and isinstance(image, dict)
        and image.get("digest") == str(judged)
        and verdict in (("fail", "open") if result.result == "FAILED" else ("pass",))
    )


def _signer(envelope: Envelope, keys: tuple[PublicKey, ...]) -> PublicKey | None:
    message = envelope.signed_bytes
    for signature in envelope.signatures[:_SIGNATURES]:
        for key in keys:
            if key.signed(signature, message):
                return key
    return None
