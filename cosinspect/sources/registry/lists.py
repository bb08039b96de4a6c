"""What a registry lists: its repositories, a repository's tags and a manifest's referrers, page by page.

Follows distribution-spec 1.1 ("Listing tags", "Listing referrers", "Unavailable Referrers API"). Of a `Link` to the next
page only the query is taken: no registry can send its client, and the client's credentials, anywhere else that way,
so a registry behind a proxy that uses another name can still be read.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import TypeVar
from urllib.parse import quote, urljoin, urlsplit

import msgspec

from cosinspect.errors import LimitExceeded, NotFound, RegistryError, TransportError
from cosinspect.limits import Limits
from cosinspect.oci.documents import INDEX_TYPES, Descriptor, Digest, ImageIndex
from cosinspect.sources.registry.client import Client
from cosinspect.wire_types import ready

__all__ = ["list_referrers", "list_repositories", "list_tags"]

T = TypeVar("T")

PAGE = 1000
"""The number of tags per request; registries may return fewer."""

_ACCEPT_INDEX = {"Accept": ", ".join(INDEX_TYPES)}
# What registries from before the API say to its path.
_NO_API = (400, 404, 405, 406)
# RFC 8288: a target in angle brackets, and parameters; some registries write the target without brackets.
_LINK = re.compile(
    r"[ \t,]*(?:<([^<>]{0,4096})>|([^<>\s;,]{1,4096}))((?:[ \t]*;[ \t]*(?:[^\s;,\"=]+[ \t]*(?:=[ \t]*(?:\"[^\"]{0,1024}\"|[^\s;,\"]*))?)?)*)[ \t]*(?:,|\Z)"
)
_RELATION = re.compile(r";[ \t]*rel[ \t]*=[ \t]*(?:\"([^\"]{0,1024})\"|([^\s;,\"]*))", re.IGNORECASE)
_QUERY = re.compile(r"[!-~]{1,4096}")
# distribution's tag grammar; anything else cannot be asked for.
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


class _Tags(msgspec.Struct):
    tags: list[str] | None = None


class _Catalogue(msgspec.Struct):
    repositories: list[str] | None = None


def list_tags(client: Client, repository: str, where: str, limits: Limits) -> tuple[str, ...]:
    """List a repository's tags, in the registry's order, each once.

    Raises:
        SourceError: the registry does not answer, or not with a list.
        LimitExceeded: the list is longer than `limits` allows.
    """
    where = f"{where}: tags"
    found: dict[str, None] = {}
    path = f"/v2/{repository}/tags/list"
    for raw in _pages(client, path, f"n={PAGE}", {"Accept": "application/json"}, where, limits):
        page = _page(raw, _Tags, "tags", where)
        found.update((tag, None) for tag in page.tags or () if _TAG.fullmatch(tag))
        _bound(len(found), limits, where)
    return tuple(found)


def list_repositories(client: Client, where: str, limits: Limits) -> tuple[str, ...]:
    """List a registry's repositories, in its order, each once (distribution's catalogue, which no registry need have).

    Raises:
        SourceError: the registry does not answer, or not with a list.
        LimitExceeded: the list is longer than `limits` allows.
    """
    where = f"{where}: catalogue"
    found: dict[str, None] = {}
    for raw in _pages(client, "/v2/_catalog", f"n={PAGE}", {"Accept": "application/json"}, where, limits):
        page = _page(raw, _Catalogue, "repositories", where)
        found.update((name, None) for name in page.repositories or ())
        _bound(len(found), limits, where)
    return tuple(found)


def list_referrers(
    client: Client,
    repository: str,
    digest: Digest,
    artifact_type: str | None,
    *,
    where: str,
    limits: Limits,
) -> tuple[Descriptor, ...]:
    """List the manifests that have `digest` as their subject, from the API, or from the tag that replaces it.

    Raises:
        SourceError: the registry does not answer.
        InvalidManifest: it answers with something that is not an index.
        LimitExceeded: the list is longer than `limits` allows.
    """
    where = f"{where}: referrers of {digest}"
    query = f"artifactType={quote(artifact_type, safe='')}" if artifact_type else ""
    pages = _pages(client, f"/v2/{repository}/referrers/{digest}", query, _ACCEPT_INDEX, where, limits)
    try:
        first = next(pages)
    except RegistryError as fault:
        if fault.status not in _NO_API:
            raise
        # The algorithm is cut at 32 characters, the hash at 64.
        path = f"/v2/{repository}/manifests/{digest.algorithm[:32]}-{digest.encoded[:64]}"
        pages = _pages(client, path, "", _ACCEPT_INDEX, where, limits)
        try:
            first = next(pages)
        except NotFound:
            return ()
    found: dict[Digest, Descriptor] = {}
    for raw in itertools.chain((first,), pages):
        found.update((item.digest, item) for item in ImageIndex.from_json(raw).manifests)
        _bound(len(found), limits, where)
    # A registry may filter, and need not.
    return tuple(item for item in found.values() if artifact_type in (None, item.artifact_type))


def _page(raw: bytes, kind: type[T], what: str, where: str) -> T:
    try:
        return msgspec.json.decode(raw, type=ready(kind))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as fault:
        raise TransportError(
            f"expected a list of {what}, found something else: {fault}",
            where=where,
            remedy="check that this is a registry, and that no proxy answers in its place",
        ) from None


def _pages(
    client: Client, path: str, query: str, headers: Mapping[str, str], where: str, limits: Limits
) -> Iterator[bytes]:
    """Yield the pages of a list, one after the other."""
    for _ in range(limits.listing_pages):
        response, raw = client.document(
            f"{path}?{query}" if query else path,
            headers,
            where,
            limit=limits.listing_bytes,
            limit_name="listing_bytes",
        )
        yield raw
        following = _next_query(response.headers.get("Link", ""), path, where)
        if not following:
            return
        if following == query:
            raise TransportError(
                "the list's next page is the same page again",
                where=where,
                remedy="the registry pages wrongly; report it to its operator",
            )
        query = following
    raise LimitExceeded(
        f"expected a list on at most {limits.listing_pages} pages, the registry has more",
        limit="listing_pages",
        bound=limits.listing_pages,
        where=where,
    )


def _next_query(header: str, path: str, where: str) -> str | None:
    """Return the query of the page that a `Link` header calls the next; None if it has no other page.

    A link that says no relation is the next page, as go-containerregistry and containers/image take it.

    Raises:
        TransportError: the header cannot be read, or leads somewhere else: the list would end too early.
    """
    target = _next_target(header, where)
    if target is None:
        return None
    try:
        parts = urlsplit(urljoin(path, target))
    except ValueError:
        parts = urlsplit("")
    if parts.path != path or not _QUERY.fullmatch(parts.query):
        raise TransportError(
            "the list's next page is said to be somewhere else than the list",
            where=where,
            remedy="the registry, or a proxy before it, writes a wrong Link header",
        )
    found: str = parts.query
    return found


def _next_target(header: str, where: str) -> str | None:
    links: list[tuple[str, str | None]] = []
    position = 0
    while header[position:].strip(" \t,"):
        link = _LINK.match(header, position)
        if link is None:
            raise TransportError(
                "the Link header of the list cannot be read, so its next page is not known",
                where=where,
                remedy="the registry, or a proxy before it, writes a wrong Link header",
            )
        relation = _RELATION.search(link[3])
        links.append((link[1] or link[2] or "", (relation[1] or relation[2]) if relation else None))
        position = link.end()
    for target, relations in links:
        if relations is not None and "next" in relations.lower().split():
            return target
    return next((target for target, relations in links if relations is None), None)


def _bound(count: int, limits: Limits, where: str) -> None:
    if count > limits.listed:
        raise LimitExceeded(
            f"expected at most {limits.listed} entries, the registry lists more",
            limit="listed",
            bound=limits.listed,
            where=where,
        )
