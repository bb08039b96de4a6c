"""Where Kubernetes objects name images, and which image their controllers run.

OS images are named in workloads, and in objects that no tool for containers looks into. What a controller makes of a name
is read in its code: rancher/system-upgrade-controller (pkg/upgrade/job/job.go, pkg/upgrade/container/container.go),
rancher/elemental-operator (controllers/managedosimage_controller.go, api/v1beta1), kairos-io/kairos-operator
(api/v1alpha1, api/v1alpha2). `BUILTIN` is the table; docs/server.md prints it. Further kinds are JSONPaths (RFC 9535).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import NoneType
from typing import Any, TypeAlias

from attrs import define, field, frozen

from cosinspect.errors import InvalidObject
from cosinspect.extras import load_extra

__all__ = [
    "BUILTIN",
    "ImageField",
    "ImageFields",
    "KnownKind",
    "NamedImage",
    "PathNotFollowed",
    "ValuePath",
    "path_of",
]

MOST_IMAGES = 200
"""Images that one object may name; honest ones name a handful."""
MOST_ITEMS = 10_000
"""Items of lists that are visited in one object on the way to its images."""
MOST_VALUES = 200_000
"""Values in an object that a JSONPath of the configuration may search."""

_SHOWN = 200
_WORDS: Mapping[type, str] = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    NoneType: "null",
}
"""What a value is called in JSON and YAML."""
_OPERATOR_SPLITS = (
    "elemental-operator splits the name at its first colon, so a digest there makes a name that runs nothing"
)
_UNTRIED = "whether the controller takes a digest here is not known"


@frozen
class NamedImage:
    """An image as an object names it.

    Attributes:
        name: the name for the registry; only the repository if `unresolved` says something.
        pointer: where it is in the object (RFC 6901).
        written: the text that is there; a digest is appended to it.
        unpinnable: why no digest can be written there, "" if one can.
        unresolved: why the name has no tag yet, "" if it is complete.
        ignored: why it is not an OS image to inspect, "" if it is one.
    """

    name: str
    pointer: str
    written: str = field(default="")
    unpinnable: str = ""
    unresolved: str = ""
    ignored: str = ""


Body: TypeAlias = "Mapping[str, Any]"
_Finder: TypeAlias = "Callable[[_ObjectWalk], Iterator[NamedImage]]"


@frozen
class KnownKind:
    """A kind of object whose images are known without being told.

    Attributes:
        group: the API group, "" for the core one.
        kind: such as `Plan`.
        paths: where its images stand, for people.
        formed: how the controller forms the image's name.
        privileged: whether what runs may change the machine.
        find: gives the images of an object.
        further: what else `find` reads.
    """

    group: str
    kind: str
    paths: tuple[str, ...]
    formed: str
    privileged: bool
    find: _Finder = field(repr=False)
    further: tuple[str, ...] = ()


@define
class _ObjectWalk:
    """Follows plain paths in one object, a bounded number of steps."""

    body: Body
    kind: str
    left: int = MOST_ITEMS

    def at(self, path: str) -> Iterator[tuple[str, object]]:
        """Return pointer and value of what is at a path such as `spec.containers[*].image`; null and "" stand for nothing."""
        found: list[tuple[str, object]] = [("", self.body)]
        for step in path.split("."):
            key, many, _ = step.partition("[*]")
            inner: list[tuple[str, object]] = []
            for pointer, value in found:
                if not isinstance(value, dict) or key not in value:
                    continue
                below = value[key]
                if not many:
                    inner.append((f"{pointer}/{key}", below))
                elif isinstance(below, list):
                    self.left -= len(below)
                    if self.left < 0:
                        raise InvalidObject(
                            f"expected at most {MOST_ITEMS} items in lists that may name images",
                            where=self.kind,
                        )
                    inner.extend((f"{pointer}/{key}/{number}", item) for number, item in enumerate(below))
            found = inner
        return iter([(pointer, value) for pointer, value in found if value is not None and value != ""])

    def names(self, path: str) -> Iterator[tuple[str, str]]:
        """Yield pointer and text of each name at a path.

        Raises:
            InvalidObject: something else than text is there.
        """
        for pointer, value in self.at(path):
            yield pointer, _text(value, f"{self.kind}{pointer}")

    def text(self, path: str) -> str:
        """Return the text at a path, "" if there is none."""
        return next((text for _, text in self.names(path)), "")


def _is_named_only(name: str) -> bool:
    """Return whether a name has neither tag nor digest (distribution/reference, IsNameOnly)."""
    return "@" not in name and ":" not in name.rpartition("/")[2]


def _versioned(name: str, pointer: str, version: str, why: str) -> NamedImage:
    """Return the image of a container of a plan: its own tag or digest counts, else the plan's version does."""
    if not _is_named_only(name):
        return NamedImage(name, pointer, name)
    if version:
        return NamedImage(f"{name}:{version.replace('+', '-')}", pointer, name)
    return NamedImage(name, pointer, name, unresolved=why)


def _plan(walk: _ObjectWalk) -> Iterator[NamedImage]:
    channel = walk.text("spec.channel")
    why = (
        f"its tag comes from the channel {channel[:_SHOWN]}"
        if channel
        else "the plan has neither version nor channel"
    )
    version = walk.text("spec.version")
    for path in ("spec.upgrade.image", "spec.prepare.image"):
        for pointer, name in walk.names(path):
            yield _versioned(name, pointer, version, why)


def _operator_version(name: str) -> str:
    """Return the version that elemental-operator takes from a name: what is after the first colon below the host, else `latest`."""
    head, slash, rest = name.partition("/")
    _, colon, version = (rest if slash else head).partition(":")
    return version if colon else "latest"


def _managed_image(walk: _ObjectWalk) -> Iterator[NamedImage]:
    image = walk.text("spec.osImage")
    other = walk.text("spec.managedOSVersionName")
    version = _operator_version(image) if image or not other else ""
    why = f"its tag comes from the ManagedOSVersion {other[:_SHOWN]}"
    own = list(walk.names("spec.upgradeContainer.image"))
    if not own:
        for pointer, name in walk.names("spec.osImage"):
            yield NamedImage(name, pointer, name, unpinnable=_OPERATOR_SPLITS)
    for pointer, name in (*own, *walk.names("spec.prepare.image")):
        yield _versioned(name, pointer, version, why)


def _managed_version(walk: _ObjectWalk) -> Iterator[NamedImage]:
    image = walk.text("spec.metadata.upgradeImage")
    is_iso = walk.text("spec.type").lower() == "iso"
    own = list(walk.names("spec.upgradeContainer.image"))
    for pointer, name in walk.names("spec.metadata.uri") if is_iso else ():
        yield NamedImage(name, pointer, name, ignored="it names an ISO, which is not inspected")
    for pointer, name in walk.names("spec.metadata.upgradeImage") if not own else ():
        yield NamedImage(name, pointer, name, unpinnable=_OPERATOR_SPLITS)
    for pointer, name in own:
        version = _operator_version(image)
        yield _versioned(name, pointer, version, "")


def _version_channel(walk: _ObjectWalk) -> Iterator[NamedImage]:
    """Yield what runs with each version that the channel lists (pkg/syncer)."""
    for pointer, name in walk.names("spec.upgradeContainer.image"):
        yield _versioned(name, pointer, "", "its tag comes from each version of the channel")
    for pointer, name in walk.names("spec.options.image"):
        yield NamedImage(name, pointer, name, ignored="it is a program that lists versions, not an OS image")


def _os_artifact(walk: _ObjectWalk) -> Iterator[NamedImage]:
    """Yield what an ISO or a disk is made of; earlier versions of the operator read `imageName`."""
    for path in ("spec.image.ref", "spec.imageName"):
        for pointer, name in walk.names(path):
            yield NamedImage(name, pointer, name, unpinnable=_UNTRIED)


def _seed_image(walk: _ObjectWalk) -> Iterator[NamedImage]:
    raw = walk.text("spec.type").lower() == "raw"
    for pointer, name in walk.names("spec.baseImage"):
        if raw:
            yield NamedImage(name, pointer, name, unpinnable=_UNTRIED)
        else:
            yield NamedImage(
                name, pointer, name, ignored="it is a URL or an image that carries an ISO, not an OS image"
            )


def _registration(walk: _ObjectWalk) -> Iterator[NamedImage]:
    """Yield what machines install and reset from: a source of elemental, with its scheme."""
    for step in ("install", "reset"):
        for pointer, source in walk.names(f"spec.config.elemental.{step}.system-uri"):
            scheme, colon, rest = source.partition(":")
            if colon and scheme in ("oci", "docker"):
                yield NamedImage(rest.removeprefix("//"), pointer, source, unpinnable=_UNTRIED)
            elif scheme not in ("dir", "file", "http", "https", "channel"):
                yield NamedImage(source, pointer, source, unpinnable=_UNTRIED)


def _at(*paths: str) -> _Finder:
    def find(walk: _ObjectWalk) -> Iterator[NamedImage]:
        for path in paths:
            for pointer, name in walk.names(path):
                yield NamedImage(name, pointer, name)

    return find


def _workload(group: str, kind: str, spec: str) -> KnownKind:
    paths = (
        *(f"{spec}.{each}[*].image" for each in ("containers", "initContainers", "ephemeralContainers")),
        f"{spec}.volumes[*].image.reference",
    )
    return KnownKind(group, kind, paths, "as written", privileged=False, find=_at(*paths))


_SUC, _OPERATOR, _KAIROS = "upgrade.cattle.io", "elemental.cattle.io", "operator.kairos.io"
_KAIROS_BUILD = "build.kairos.io"

BUILTIN: tuple[KnownKind, ...] = (
    KnownKind(
        _SUC,
        "Plan",
        ("spec.upgrade.image", "spec.prepare.image"),
        "the image's own tag or digest; where it has neither, spec.version with + as -; spec.channel gives a name that is not known yet",
        privileged=True,
        find=_plan,
        further=("spec.version", "spec.channel"),
    ),
    KnownKind(
        _OPERATOR,
        "ManagedOSImage",
        ("spec.osImage", "spec.upgradeContainer.image", "spec.prepare.image"),
        "upgradeContainer.image in place of osImage; a name without tag takes the tag of osImage, else latest",
        privileged=True,
        find=_managed_image,
        further=("spec.managedOSVersionName",),
    ),
    KnownKind(
        _OPERATOR,
        "ManagedOSVersion",
        ("spec.metadata.upgradeImage", "spec.upgradeContainer.image"),
        "as for ManagedOSImage; of type iso nothing is inspected",
        privileged=True,
        find=_managed_version,
        further=("spec.type", "spec.metadata.uri"),
    ),
    KnownKind(
        _OPERATOR,
        "ManagedOSVersionChannel",
        ("spec.upgradeContainer.image", "spec.options.image"),
        "upgradeContainer.image as for ManagedOSVersion, for each version; options.image lists versions and is not inspected",
        privileged=True,
        find=_version_channel,
    ),
    KnownKind(
        _OPERATOR,
        "SeedImage",
        ("spec.baseImage",),
        "of type raw as written; of type iso it is a URL or an image that carries an ISO, which is not inspected",
        privileged=False,
        find=_seed_image,
        further=("spec.type",),
    ),
    KnownKind(
        _OPERATOR,
        "MachineRegistration",
        ("spec.config.elemental.install.system-uri", "spec.config.elemental.reset.system-uri"),
        "what is behind oci: or docker:",
        privileged=True,
        find=_registration,
    ),
    KnownKind(_KAIROS, "NodeOp", ("spec.image",), "as written", privileged=True, find=_at("spec.image")),
    KnownKind(
        _KAIROS, "NodeOpUpgrade", ("spec.image",), "as written", privileged=True, find=_at("spec.image")
    ),
    KnownKind(
        _KAIROS_BUILD,
        "OSArtifact",
        ("spec.image.ref", "spec.imageName"),
        "as written; an image that is built first is not there yet",
        privileged=False,
        find=_os_artifact,
    ),
    _workload("", "Pod", "spec"),
    _workload("", "PodTemplate", "template.spec"),
    _workload("", "ReplicationController", "spec.template.spec"),
    _workload("apps", "Deployment", "spec.template.spec"),
    _workload("apps", "ReplicaSet", "spec.template.spec"),
    _workload("apps", "StatefulSet", "spec.template.spec"),
    _workload("apps", "DaemonSet", "spec.template.spec"),
    _workload("batch", "Job", "spec.template.spec"),
    _workload("batch", "CronJob", "spec.jobTemplate.spec.template.spec"),
)
"""The kinds that are known without being told."""


class PathNotFollowed(ValueError):
    """A JSONPath cannot be followed in an object: it is too deep, or the path asks too much."""


@frozen
class ValuePath:
    """A compiled JSONPath (RFC 9535)."""

    _path: Any = field(repr=False)

    def find(self, body: Body) -> Iterator[tuple[str, Any]]:
        """Yield pointer (RFC 6901) and value of all that the path selects.

        Raises:
            PathNotFollowed: the object is too deep, or the path asks too much.
        """
        errors = load_extra("jsonpath", "server").JSONPathError
        try:
            for match in self._path.finditer(body):
                yield str(match.pointer()), match.value
        except errors as fault:
            raise PathNotFollowed(str(fault)) from fault


def path_of(text: str) -> ValuePath:
    """Compile a JSONPath that selects values below the object, such as `$.spec.osImage`.

    Raises:
        ValueError: it is not one.
        MissingPackage: the extra `server` is not installed.
    """
    jsonpath = load_extra("jsonpath", "server")
    try:
        found = jsonpath.compile(text)
    except Exception as fault:  # its errors share no root with ValueError, and patterns bring those of `re`
        raise ValueError(
            f"expected a JSONPath such as $.spec.osImage: {str(fault).splitlines()[0]}"
        ) from fault
    if not isinstance(found, jsonpath.JSONPath) or not text.startswith("$"):
        raise ValueError(f"expected one JSONPath that begins with $, found {text[:_SHOWN]!r}")
    return ValuePath(found)


@frozen
class ImageField:
    """Where objects of one kind name images, as the configuration says.

    Attributes:
        group: the API group, "" for the core one.
        kind: such as `Machine`.
        image: JSONPath of the names.
        tag: JSONPath of the tag, where the object keeps it apart from the name; None if it does not.
    """

    group: str
    kind: str
    image: str
    tag: str | None = None
    _image: ValuePath = field(init=False, repr=False, eq=False)
    _tag: ValuePath | None = field(init=False, repr=False, eq=False)

    @_image.default
    def _compiled(self) -> ValuePath:
        return path_of(self.image)

    @_tag.default
    def _compiled_tag(self) -> ValuePath | None:
        return path_of(self.tag) if self.tag else None

    def find(self, walk: _ObjectWalk) -> Iterator[NamedImage]:
        """Yield the images that an object names here; nothing if it names none.

        Raises:
            InvalidObject: something else than text is there.
        """
        for pointer, value in self._image.find(walk.body):
            if value is None or value == "":
                continue
            name = _text(value, f"{self.kind}{pointer}")
            if self._tag is None or not _is_named_only(name):
                yield NamedImage(name, pointer, name)
                continue
            tag = next((each for _, each in self._tag.find(walk.body)), None)
            if not tag:
                yield NamedImage(name, pointer, name, unresolved=f"there is no tag at {self.tag}")
            else:
                yield NamedImage(
                    f"{name}:{_text(tag, self.kind + str(self.tag))}", pointer, name, unpinnable=_UNTRIED
                )


class ImageFields:
    """Where objects name images, by group and kind.

    Args:
        further: what is known beyond `BUILTIN`; for a kind that it has, in its place.
    """

    def __init__(self, further: Iterable[ImageField] = ()) -> None:
        self._own: dict[tuple[str, str], list[ImageField]] = {}
        for each in further:
            self._own.setdefault((each.group, each.kind), []).append(each)
        self._builtin = {(each.group, each.kind): each for each in BUILTIN}

    def knows(self, group: str, kind: str) -> bool:
        """Return whether anything is known of a kind."""
        return (group, kind) in self._own or (group, kind) in self._builtin

    def is_slow(self, group: str, kind: str) -> bool:
        """Return whether a kind is searched by JSONPaths of the configuration, which may take long."""
        return (group, kind) in self._own

    def reads(self, group: str, kind: str) -> tuple[str, ...]:
        """Return the paths of all that decides the images of a kind that is built in; none for another."""
        found = self._builtin.get((group, kind))
        return (*found.paths, *found.further) if found is not None else ()

    def find(self, group: str, kind: str, body: object) -> tuple[NamedImage, ...]:
        """Return the images that an object names, in the paths' order; nothing for kinds of which nothing is known.

        Raises:
            InvalidObject: it is not an object, names something else than text, too many images, or is too large to search.
        """
        if not isinstance(body, dict):
            raise InvalidObject(f"expected an object, found {_word(body)}", where=kind or "object")
        walk = _ObjectWalk(body, kind)
        own = self._own.get((group, kind))
        if own is not None:
            _bound(body, kind)
        finders: list[_Finder] = [each.find for each in own or ()]
        builtin = self._builtin.get((group, kind))
        if own is None and builtin is not None:
            finders = [builtin.find]
        found: list[NamedImage] = []
        try:
            for find in finders:
                for named in find(walk):
                    found.append(named)
                    if len(found) > MOST_IMAGES:
                        raise InvalidObject(
                            f"expected at most {MOST_IMAGES} images in one object", where=kind
                        )
        except (RecursionError, PathNotFollowed) as fault:
            raise InvalidObject(f"the paths cannot be followed: {str(fault)[:_SHOWN]}", where=kind) from fault
        return tuple(found)


def _bound(body: object, kind: str) -> None:
    """Refuse an object with more values than a JSONPath may search.

    Raises:
        InvalidObject: it has more.
    """
    left, waiting = MOST_VALUES, [body]
    while waiting:
        value = waiting.pop()
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        left -= len(inner)
        if left < 0:
            raise InvalidObject(f"expected an object of at most {MOST_VALUES} values", where=kind)
        waiting.extend(inner)


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise InvalidObject(f"expected the name of an image, found {_word(value)}", where=where)
    return value


def _word(value: object) -> str:
    return _WORDS.get(type(value), "something else")  # YAML has dates
