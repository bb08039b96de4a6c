"""What to do about a check that cannot be decided."""

from __future__ import annotations

from cosinspect.report.results import CheckResult

__all__ = ["CRASHED", "SIGNATURE_TAG", "remedy_of"]

SIGNATURE_TAG = "signature"
"""Tag of the check of the image's signatures. If a signature is required, this check decides the verdict and cannot be waived."""

CRASHED = "the check crashed: "
"""How the reason begins if the check itself is defective."""


def remedy_of(result: CheckResult, *, provisional: bool) -> str:
    """Return what decides a check, or what to do if nothing does.

    Args:
        result: of a check that is undecided.
        provisional: whether some layers were not read completely.
    """
    if result.reason.startswith(CRASHED):
        return "This is a mistake of cosinspect. Please report it with this line and the name of the image."
    if SIGNATURE_TAG in result.tags:
        return "Name the trusted signers, such as --verify-key FILE, and make sure that the registry serves the signatures (docs/signatures.md)."
    if result.transient:
        return "Inspect the image again. If the time ran out, use a longer --timeout."
    if provisional:
        return "Inspect all layers completely: without --fast and --trust-toc."
    return (
        f"Look at what the check reads (cosinspect checks {result.check}). "
        "If it is right, accept it by a waiver in a policy (docs/policy.md)."
    )
