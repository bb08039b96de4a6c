"""The images of a scan: lists, a repository's tags, a registry's catalogue, and Kubernetes manifests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from attrs import evolve, frozen

from cosinspect.errors import CosinspectError, FormatError, InvalidReference, InvalidScan
from cosinspect.formats.text.yaml import load_yaml_stream
from cosinspect.globs import name_matches
from cosinspect.image.opening import open_image
from cosinspect.kubernetes_images import ImageFields
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci.reference import Reference
from cosinspect.sources.config.access import Access
from cosinspect.sources.registry.source import RegistrySource

__all__ = ["Registries", "Unusable", "listed_names", "manifest_names"]

SIDE_BY_SIDE = 8
"""The number of images of a repository whose creation times are read in parallel."""

_BESIDE = re.compile(r"sha256-[0-9a-f]{64}(?:\..*)?")
"""Tags of signatures and attestations."""
_NEVER = datetime.min.replace(tzinfo=UTC)
_FRACTION = re.compile(r"\.(\d{1,6})\d*")


def listed_names(file: TextIO) -> Iterator[str]:
    """Yield the names of a list, one per line; skip empty lines, and comments after a `#` at the start or after a blank."""
    for line in file:
        name = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip()
        if name:
            yield name


@frozen
class Unusable:
    """An image of an object that cannot be inspected.

    Attributes:
        name: the repository, or the object, if the name is incomplete.
        reason: why it cannot be inspected.
    """

    name: str
    reason: str


def manifest_names(
    path: Path, fields: ImageFields, *, limits: Limits = DEFAULT_LIMITS
) -> Iterator[str | Unusable]:
    """Yield the images that a file of Kubernetes objects names, in its order; objects of other kinds name none.

    A fault of one object, or an unknown tag, concerns that object only.

    Raises:
        InvalidScan: the file cannot be read, or is not YAML.
    """
    try:
        with path.open("rb") as file:
            documents = load_yaml_stream(file.read(limits.parsed_file_bytes + 1), limits=limits)
    except OSError as fault:
        raise InvalidScan(f"the file cannot be read: {fault.strerror or fault}", where=str(path)) from fault
    except FormatError as fault:
        raise InvalidScan(fault.message, where=f"{path}, {fault.where or 'the text'}") from fault
    for body in _objects(documents):
        group, _, _ = str(body.get("apiVersion", "")).rpartition("/")
        kind = str(body.get("kind", ""))
        try:
            found = fields.find(group, kind, body)
        except CosinspectError as fault:
            yield Unusable(_named(kind, body), f"{path}, {fault}")
            continue
        for image in found:
            if image.unresolved:
                yield Unusable(image.name, f"{_named(kind, body)}: {image.unresolved}, so it has no tag yet")
            elif not image.ignored:
                yield image.name


def _named(kind: str, body: dict[str, Any]) -> str:
    """Return an object's name as `kubectl` does: `Plan/upgrade`."""
    metadata = body.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return f"{kind[:100]}/{str(name)[:100]}" if name else kind[:100] or "object"


def _objects(documents: Iterable[Any]) -> Iterator[dict[str, Any]]:
    for document in documents:
        if not isinstance(document, dict):
            continue
        items = document.get("items")
        if str(document.get("kind", "")).endswith("List") and isinstance(items, list):
            yield from (item for item in items if isinstance(item, dict))
        else:
            yield document


@frozen
class Registries:
    """Lists images in registries.

    Attributes:
        access: returns the access for a name's registry.
        limits: bounds for all reads.
        tags: globs; a tag must match one of them.
        newest: the number of a repository's images, newest first; None for all.
    """

    access: Callable[[str], Access]
    limits: Limits = DEFAULT_LIMITS
    tags: tuple[str, ...] = ("*",)
    newest: int | None = None

    def repository(self, name: str) -> list[str]:
        """Return the images of a repository in the registry's order; newest first if `newest` is set.

        Raises:
            InvalidReference: the name is not a repository.
            SourceError: the registry does not list them.
        """
        reference = Reference.parse(name)
        if "@" in name or ":" in name.rpartition("/")[2]:
            raise InvalidReference(
                "expected a repository, found an image", where=name[:300], remedy="say which with --tag"
            )
        with _Opened(reference, self) as source:
            tags = [tag for tag in source.tags() if self._wanted(tag)]
        names = [str(evolve(reference, tag=tag)) for tag in tags]
        if self.newest is None or len(names) <= self.newest:
            return names
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            made = dict(zip(names, pool.map(self._made, names), strict=True))
        return sorted(names, key=lambda each: made[each], reverse=True)[: self.newest]

    def catalogue(self, host: str, match: Iterable[str] = ("*",)) -> list[str]:
        """Return the repositories of a registry that match one of the globs.

        Raises:
            InvalidReference: the text is not a host.
            SourceError: the registry does not list them.
        """
        globs = tuple(match)
        reference = Reference.parse(f"{host}/repositories")
        if reference.registry != host:
            raise InvalidReference("expected the host of a registry, such as quay.io", where=host[:300])
        with _Opened(reference, self) as source:
            found = source.repositories()
        return [f"{host}/{each}" for each in found if any(name_matches(each, glob) for glob in globs)]

    def _wanted(self, tag: str) -> bool:
        return not _BESIDE.fullmatch(tag) and any(name_matches(tag, glob) for glob in self.tags)

    def _made(self, name: str) -> datetime:
        """Return the creation time of an image; an unknown time is the oldest."""
        try:
            with open_image(name, access=self.access(name), limits=self.limits) as image:
                told = image.config.created
            # Go writes nine digits and a Z, and dates that Python 3.11 does not parse.
            found = datetime.fromisoformat(_FRACTION.sub(r".\1", told))
        except (CosinspectError, ValueError):
            return _NEVER
        return found if found.tzinfo else found.replace(tzinfo=UTC)


class _Opened:
    """A repository that is open during a block."""

    def __init__(self, reference: Reference, registries: Registries) -> None:
        self._source = RegistrySource(
            reference, access=registries.access(str(reference)), limits=registries.limits
        )

    def __enter__(self) -> RegistrySource:
        return self._source

    def __exit__(self, *_: object) -> None:
        self._source.close()
