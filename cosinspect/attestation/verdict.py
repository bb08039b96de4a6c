"""Attest to what an inspection found, and believe what somebody else attested."""

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
"""Of one envelope, that are looked at."""


@frozen
class Placed:
    """Where an attestation was put.

    Attributes:
        referrer: digest of the artifact that refers to the image.
        tag: under which cosign 2 finds it, None where it was not asked for.
        result: PASSED, WARNED or FAILED.
    """

    referrer: Digest
    tag: str | None
    result: str


@frozen
class Attested:
    """A verdict that somebody attested to.

    Attributes:
        key: whose word it is.
        result: what was said.
    """

    key: PublicKey
    result: TestResult


class StatementSigner(Protocol):
    """Signs statements by other means than a key."""

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
    """Sign a report as a statement, and put it beside the image.

    Args:
        report: of the image.
        rules: digest of the rulebook that it goes by.
        key: signs; what signs by identity gives a bundle, and cosign 2's tag holds none.
        repository: of the image.
        subject: the image, as it was asked for: its index, where it has one.
        created: now, as RFC 3339 has it.
        tagged: whether to put it under cosign 2's tag as well.

    Raises:
        SourceError: the registry does not take it.
        InvalidManifest: what stands in its place is something else.
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
    """Find what one of these keys attested of an image by the same rules; None where nobody attested.

    Args:
        subject: its digest: of the index, where it has one.
        judged: digest of the manifest that would be inspected here; what was found in an image for another platform of the
            same index says nothing.
        rules: digest of the rulebook; what other rules found says nothing.
        keys: whom to believe.
        repository: of the image.

    Raises:
        SourceError: the registry does not answer.
        CosinspectError: its list of referrers is none.
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
        # Of several the worst counts: a pass must not hide a failure.
        if found is None or result.result == "FAILED":
            found = Attested(key, result)
    return found


def _agrees(result: TestResult, judged: Digest) -> bool:
    """Return whether a statement has a report of ours on that manifest, with a verdict that is its result."""
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
