"""The places of an image in a registry: its own, its mirrors, and other locations from registries.conf."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from attrs import evolve

from cosinspect.blob import Source
from cosinspect.deadline import Deadline
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci.reference import ImageName
from cosinspect.sources.config.access import Access
from cosinspect.sources.registry.client import kept_connections
from cosinspect.sources.registry.direct import DirectTransport
from cosinspect.sources.registry.mirrors import Candidate, MirroredSource
from cosinspect.sources.registry.source import RegistrySource, assumes_plain_http
from cosinspect.sources.registry.transport import TransportMaker

__all__ = ["current_digest", "open_registry"]


def open_registry(
    name: ImageName,
    access: Access,
    limits: Limits,
    deadline: Deadline,
    transport: TransportMaker = kept_connections,
) -> Source:
    """Return the image's registry; with mirrors or other locations, all of them in order.

    Args:
        name: of an image in a registry.
        access: access to registries.
        limits: bounds for everything that is read.
        deadline: by when it must be done.
        transport: makes what carries the requests.

    Raises:
        InvalidReference: registries.conf does not allow the short name.
        SourceError: the only place does not answer.
    """
    reference = name.reference
    assert reference is not None  # noqa: S101 - the parser gives one for a registry
    access.registries.refuse_short(name.text)
    opened = partial(RegistrySource, limits=limits, deadline=deadline, transport=transport)
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
                partial(opened, place, access=way),
                after_silence=number > 0,
            )
            for number, way in enumerate(ways)
        )
        if assumes_plain_http(place, reach) and not insecure and not reach.plain_http:
            # Some registries on this machine speak TLS, as those that a certificate was made for.
            way = evolve(reach, tls_verify=True)
            opens = partial(opened, place, access=way)
            candidates.append(Candidate(str(place), opens, after_plain=True))
    if len(candidates) == 1:
        return candidates[0].open()
    return MirroredSource(candidates)


def current_digest(name: str, environment: Mapping[str, str], *, plain_http: bool) -> str:
    """Return the digest that a name means in its registry now, as this user of this machine gets it.

    Args:
        name: of an image in a registry.
        environment: of the process; it locates credentials, certificates and registries.conf.
        plain_http: speak HTTP without TLS.

    Raises:
        CosinspectError: the name cannot be resolved.
    """
    access = evolve(Access.of_system(environment), plain_http=plain_http)
    deadline = Deadline(DEFAULT_LIMITS.seconds)
    with deadline.running(name):
        once = partial(DirectTransport, usual=kept_connections, environment=environment)
        source = open_registry(ImageName.parse(name), access, DEFAULT_LIMITS, deadline, once)
        try:
            return str(source.resolve().digest)
        finally:
            source.close()
