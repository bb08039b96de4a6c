"""Where Kubernetes objects name images: paths by group and kind, and what they find in an object.

OS images are named in workloads, and in objects that no tool for containers looks into: plans of the system-upgrade-controller and
the kinds of elemental-operator. Paths are JSONPaths (RFC 9535), so that any other kind is a line of configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jsonpath
from attrs import field, frozen
from jsonpath import JSONPath

from cosinspect.errors import InvalidObject

__all__ = ["BUILTIN", "ImageField", "ImageFields", "NamedImage", "path_of"]

MOST_IMAGES = 200
"""Images that one object may name; honest ones name a handful."""

_SHOWN = 200


def path_of(text: str) -> JSONPath:
    """Compile a JSONPath that selects values below the object, such as `$.spec.osImage`.

    Raises:
        ValueError: it is none.
    """
    try:
        found = jsonpath.compile(text)
    except Exception as fault:  # its errors share no root with ValueError, and patterns bring those of `re`
        raise ValueError(
            f"expected a JSONPath such as $.spec.osImage: {str(fault).splitlines()[0]}"
        ) from fault
    if not isinstance(found, JSONPath) or not text.startswith("$"):
        raise ValueError(f"expected one JSONPath that begins with $, found {text[:_SHOWN]!r}")
    return found


@frozen
class ImageField:
    """Where objects of one kind name images.

    Attributes:
        group: the API group, "" for the core one.
        kind: such as `Plan`.
        image: JSONPath of the names.
        tag: JSONPath of the tag, where the object keeps it apart from the name; None where it does not.
    """

    group: str
    kind: str
    image: str
    tag: str | None = None
    _image: JSONPath = field(init=False, repr=False, eq=False)
    _tag: JSONPath | None = field(init=False, repr=False, eq=False)

    @_image.default
    def _compiled(self) -> JSONPath:
        return path_of(self.image)

    @_tag.default
    def _compiled_tag(self) -> JSONPath | None:
        return path_of(self.tag) if self.tag else None

    def find(self, body: Mapping[str, Any]) -> Iterator[NamedImage]:
        """Give the images that an object names here; none where it names none.

        Raises:
            InvalidObject: what stands there is no text, or a tag is missing.
        """
        for match in self._image.finditer(body):
            pointer = str(match.pointer())
            if match.value is None or match.value == "":
                continue
            name = _text(match.value, f"{self.kind}{pointer}")
            if self._tag is None:
                yield NamedImage(name, pointer)
                continue
            tag = next((each.value for each in self._tag.finditer(body)), None)
            if not tag:
                raise InvalidObject(
                    f"expected the image's tag at {self.tag}, there is none",
                    where=f"{self.kind}{pointer}",
                    remedy="name a version: what a channel will say later cannot be inspected now",
                )
            # The controller replaces what stands behind the last colon, if any (system-upgrade-controller, withImageTag).
            bare = name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name
            yield NamedImage(f"{bare}:{_text(tag, self.kind + str(self.tag))}", pointer, pinnable=False)


@frozen
class NamedImage:
    """An image as an object names it.

    Attributes:
        name: as a registry is asked for it.
        pointer: where it stands (RFC 6901).
        pinnable: whether a digest can be written there.
    """

    name: str
    pointer: str
    pinnable: bool = True


def _workload(group: str, kind: str, spec: str) -> tuple[ImageField, ...]:
    lists = "['containers','initContainers','ephemeralContainers'][*].image"
    return (
        ImageField(group, kind, f"$.{spec}{lists}"),
        ImageField(group, kind, f"$.{spec}.volumes[*].image.reference"),
    )


BUILTIN: tuple[ImageField, ...] = (
    # A plan's version becomes a label of its jobs as well, and no label can hold a digest.
    ImageField("upgrade.cattle.io", "Plan", "$.spec.upgrade.image", "$.spec.version"),
    ImageField("elemental.cattle.io", "ManagedOSImage", "$.spec.osImage"),
    ImageField("elemental.cattle.io", "ManagedOSVersion", "$.spec.metadata.upgradeImage"),
    ImageField("elemental.cattle.io", "SeedImage", "$.spec.baseImage"),
    *_workload("", "Pod", "spec"),
    *_workload("", "PodTemplate", "template.spec"),
    *_workload("", "ReplicationController", "spec.template.spec"),
    *_workload("apps", "Deployment", "spec.template.spec"),
    *_workload("apps", "ReplicaSet", "spec.template.spec"),
    *_workload("apps", "StatefulSet", "spec.template.spec"),
    *_workload("apps", "DaemonSet", "spec.template.spec"),
    *_workload("batch", "Job", "spec.template.spec"),
    *_workload("batch", "CronJob", "spec.jobTemplate.spec.template.spec"),
)
"""The kinds that are known without being told."""


class ImageFields:
    """Where objects name images, by group and kind.

    Args:
        further: what is known beyond `BUILTIN`; for a kind that it has, in its place.
    """

    def __init__(self, further: Iterable[ImageField] = ()) -> None:
        self._fields: dict[tuple[str, str], list[ImageField]] = {}
        own = list(further)
        told = {(each.group, each.kind) for each in own}
        for each in (*(item for item in BUILTIN if (item.group, item.kind) not in told), *own):
            self._fields.setdefault((each.group, each.kind), []).append(each)

    def knows(self, group: str, kind: str) -> bool:
        """Say whether anything is known of a kind."""
        return (group, kind) in self._fields

    def find(self, group: str, kind: str, body: object) -> tuple[NamedImage, ...]:
        """Give the images that an object names, in the paths' order; none for kinds of which nothing is known.

        Raises:
            InvalidObject: it is no object, names something else than text, too many images, or is nested too deeply.
        """
        if not isinstance(body, dict):
            raise InvalidObject(f"expected an object, found {type(body).__name__}", where=kind or "object")
        found: list[NamedImage] = []
        try:
            for each in self._fields.get((group, kind), ()):
                for named in each.find(body):
                    found.append(named)
                    if len(found) > MOST_IMAGES:
                        raise InvalidObject(
                            f"expected at most {MOST_IMAGES} images in one object", where=kind
                        )
        except (RecursionError, jsonpath.JSONPathError) as fault:
            raise InvalidObject(f"the paths cannot be followed: {str(fault)[:_SHOWN]}", where=kind) from fault
        return tuple(found)


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise InvalidObject(f"expected the name of an image, found {type(value).__name__}", where=where)
    return value
