"""The places of an image in a registry: its own, its mirrors, and other locations that registries.conf gives it."""

from __future__ import annotations

from functools import partial

from attrs import evolve

from cosinspect.blob import Source
from cosinspect.deadline import Deadline
from cosinspect.limits import Limits
from cosinspect.oci.reference import Reference
from cosinspect.sources.config.access import Access
from cosinspect.sources.registry.mirrors import Candidate, MirroredSource
from cosinspect.sources.registry.source import RegistrySource, assumes_plain_http

__all__ = ["open_registry"]


def open_registry(reference: Reference, access: Access, limits: Limits, deadline: Deadline) -> Source:
    """Return the image's registry; with mirrors or other locations, all of them in order.

    Args:
        reference: of the image.
        access: access to registries.
        limits: bounds for everything that is read.
        deadline: by when it must be done.

    Raises:
        SourceError: the only place does not answer.
    """
    candidates: list[Candidate] = []
    for endpoint in access.registries.endpoints(reference):
        place, insecure = endpoint.reference, endpoint.insecure
        reach = access if place.registry == reference.registry else access.elsewhere()
        ways = [reach]
        if reach.tls_verify is not None:
            insecure = not reach.tls_verify
        if insecure and not reach.plain_http:
            ways = [evolve(reach, tls_verify=False), evolve(reach, plain_http=True)]
        candidates.extend(
            Candidate(
                str(place),
                partial(RegistrySource, place, access=way, limits=limits, deadline=deadline),
                after_silence=number > 0,
            )
            for number, way in enumerate(ways)
        )
        if assumes_plain_http(place, reach) and not insecure and not reach.plain_http:
            # Some registries on this machine speak TLS, as those that a certificate was made for.
            way = evolve(reach, tls_verify=True)
            opens = partial(RegistrySource, place, access=way, limits=limits, deadline=deadline)
            candidates.append(Candidate(str(place), opens, after_plain=True))
    if len(candidates) == 1:
        return candidates[0].open()
    return MirroredSource(candidates)
