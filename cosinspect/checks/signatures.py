"""The check on the image's own signatures, for users who name a signer."""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check
from cosinspect.report.report import SIGNATURE_TAG, Capability, Finding, Level

__all__ = ["signature_missing"]

MAX_EVIDENCE = 20
"""The most invalid signatures in a finding; the report has them all."""


@check(
    id="COS092",
    tags=(SIGNATURE_TAG,),
    name="signature-missing",
    level=Level.ERROR,
    capabilities=(Capability.VERIFY,),
    summary="The image has no signature by a trusted signer.",
    why="Anyone who can push to the repository, or change data from it, decides what machines install.",
    remedy="Sign the digest that is deployed with `cosign sign`: that of the index, if there is one.",
    universal=True,
)
def signature_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Report the result for the signatures of the digest that was requested."""
    seen = context.signatures
    if seen is None:
        if context.profile.signature_required:
            raise Undecided(
                f"the profile {context.profile.name} requires a signature, and nobody is named who must have made it; "
                "give --verify-key, or --certificate-identity and --certificate-oidc-issuer"
            )
        raise NotApplicable("no signer is given")
    for signature in seen.verified:
        yield f"signed by {signature.signer}: {signature.origin} in {seen.repository}"
    if seen.verified:
        return
    if seen.trouble:
        raise Undecided(f"the signatures of {seen.subject} cannot be read: {seen.trouble}")
    count = len(seen.rejected)
    found = f"{count} signature{'' if count == 1 else 's'} that do{'es' if count == 1 else ''} not count"
    fates = [f"{item.origin}: {item.reason}" for item in seen.rejected[:MAX_EVIDENCE]]
    if count > MAX_EVIDENCE:
        fates.append(f"and {count - MAX_EVIDENCE} more")
    yield Finding(
        f"expected a signature of {seen.subject} by {' or '.join(seen.signers)}, "
        f"found {found if count else 'none'} in {seen.repository}",
        evidence=tuple(fates),
    )
