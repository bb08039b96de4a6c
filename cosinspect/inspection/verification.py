"""The verification of an image's signatures: selects the repository and the verifier."""

from __future__ import annotations

from cosinspect.extras import load_extra
from cosinspect.image.image import Image
from cosinspect.oci.reference import ImageName, Transport
from cosinspect.signatures.outcome import Verification
from cosinspect.signatures.policy import SignaturePolicy
from cosinspect.signatures.verification import Keyless, verify_signatures
from cosinspect.sources.config.access import Access
from cosinspect.sources.registry.source import RegistrySource
from cosinspect.sources.signature_repository import SignatureRepository

__all__ = ["load_keyless", "verify_image"]


def load_keyless(policy: SignaturePolicy | None) -> Keyless | None:
    """Return the verifier of certificates, None if the policy has keys only.

    Raises:
        MissingPackage: the extra `sigstore` is not installed.
    """
    if policy is None or not policy.identities:
        return None
    # Imported on demand: its import takes half a second.
    module = load_extra("cosinspect.signatures.keyless", "sigstore")
    verifier: Keyless = module.KeylessVerifier(policy.identities, policy.trusted_root)
    return verifier


def verify_image(
    image: Image, policy: SignaturePolicy, access: Access, keyless: Keyless | None
) -> Verification:
    """Verify the digest that the user named, perhaps of an index: the inspected manifest is its child by digest.

    Args:
        image: the open image; it is not closed.
        policy: the required signers, and the repository of signatures.
        access: access to the image's registry.
        keyless: verifies certificates; None if the policy has keys only.
    """
    subject = image.index_digest or image.digest
    parsed = ImageName.parse(image.name)
    place = policy.location or parsed.reference
    # A docker-archive has no manifest of its own: the synthetic one cannot have been signed.
    if place is None or parsed.transport is Transport.DOCKER_ARCHIVE:
        return Verification(
            subject,
            "",
            policy.signers,
            trouble="the image is in no registry, so where its signatures are must be said; give their repository "
            "(--signature-repository), which helps for every transport but docker-archive: that keeps no digest",
        )
    own = parsed.reference is not None and place.registry == parsed.reference.registry
    reach = access if own else access.elsewhere()
    source = RegistrySource(place, access=reach, limits=image.limits, deadline=image.deadline)
    store = SignatureRepository(source, image.limits)
    try:
        return verify_signatures(subject, store, policy, keyless=keyless, limits=image.limits)
    finally:
        store.close()
