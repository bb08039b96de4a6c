"""Which generation an image is of, and what shows it: the first fingerprint of `cosinspect.profiles.fingerprints` that fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from attrs import frozen

from cosinspect.facts.elemental3 import find_boot_files
from cosinspect.formats.boot.initrd import Initrd
from cosinspect.formats.text.os_release import read_env_file
from cosinspect.globs import name_matches
from cosinspect.oci.documents import ImageConfig
from cosinspect.profiles.fingerprints import Condition, Fingerprint, Fingerprints
from cosinspect.rootfs.rootfs import Rootfs

__all__ = ["Recognised", "recognise"]

# Gives the text of a file of the image, or None.
Read: TypeAlias = "Callable[[str], str | None]"

_PATTERN = frozenset("*?[")


@frozen
class Recognised:
    """A generation and what shows it.

    Attributes:
        name: the name of its table, "" if none is evident.
        evidence: what was found, one line each.
        releases: the first and the last release that it shows, None if it shows only the generation.
    """

    name: str
    evidence: tuple[str, ...] = ()
    releases: tuple[str, str] | None = None


@frozen
class _Image:
    """The questions to an image. Unpacking an initrd takes long: `initrd` is called only if the image alone does not decide."""

    rootfs: Rootfs
    config: ImageConfig
    read: Read
    initrd: Callable[[], Initrd | None]


def recognise(
    rootfs: Rootfs,
    config: ImageConfig,
    read: Read,
    initrd: Callable[[], Initrd | None],
    known: Fingerprints,
) -> Recognised:
    """Hold an image against fingerprints, in their order."""
    image = _Image(rootfs, config, read, initrd)
    for each in known.fingerprint:
        found = _fits(image, each, known)
        if found is not None:
            return Recognised(each.generation, found, each.releases)
    return Recognised("")


def _fits(image: _Image, fingerprint: Fingerprint, known: Fingerprints) -> tuple[str, ...] | None:
    """Return what of a fingerprint was found, None if it does not fit."""
    if any(_seen(image, item, known) is not None for item in fingerprint.none):
        return None
    found = [seen for item in fingerprint.any if (seen := _seen(image, item, known)) is not None]
    if fingerprint.any and not found:
        return None
    for item in fingerprint.all:
        seen = _seen(image, item, known)
        if seen is None:
            return None
        found.append(seen)
    return tuple(found)


def _seen(image: _Image, item: Condition, known: Fingerprints) -> str | None:
    """Return what shows that a condition holds, None if it does not hold."""
    for kind in known.traces[item.trace] if item.trace else (item,):
        found = next(_places(image, kind), None)
        if found is not None:
            return f"{found}, {kind.words}" if kind.words and kind.text is None else found
    return None


def _places(image: _Image, item: Condition) -> Iterator[str]:
    """Give, in words, each place where a condition holds."""
    if item.path:
        yield from _at(image.rootfs, item.path)
    elif item.link:
        entry = image.rootfs.trace(item.link, follow=False).entry
        if entry is not None and entry.type == "symlink":
            yield f"{item.link} -> {entry.link}"
    elif item.label:
        value = image.config.labels.get(item.label, "")
        if value.lower() in item.values:
            yield f"label {item.label}={value}"
    elif item.setting:
        yield from _settings(image, item)
    elif item.text is not None:
        for path in (path for pattern in item.files for path in _at(image.rootfs, pattern)):
            text = image.read(path)
            if text and item.text in text:
                yield f"{path} {item.words}".rstrip()
    elif item.initrd:
        initrd = image.initrd() if not item.beside or image.rootfs.exists(item.beside) else None
        if initrd is not None and initrd.exists(item.initrd):
            yield f"/{item.initrd} in the initrd"
    elif item.files_of:
        boot = find_boot_files(image.rootfs)
        if boot.kernel and all(map(image.rootfs.exists, (boot.initrd, boot.hmac))):
            yield boot.hmac


def _at(rootfs: Rootfs, pattern: str) -> Iterator[str]:
    if _PATTERN.isdisjoint(pattern):
        if rootfs.exists(pattern):
            yield pattern
    else:
        yield from (entry.path for entry in rootfs.glob(pattern))


def _settings(image: _Image, item: Condition) -> Iterator[str]:
    for path in item.files:
        for key, value in read_env_file(image.read(path) or "").values.items():
            if not name_matches(key, item.setting):
                continue
            if not item.values:
                yield f"{key} in {path}"
            elif value.lower() in item.values:
                yield f"{key}={value} in {path}"
