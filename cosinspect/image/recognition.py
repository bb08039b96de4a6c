"""Images at local paths: the name with the transport that suits what is there."""

from __future__ import annotations

import stat
from pathlib import Path

from cosinspect.errors import InvalidLayout, InvalidReference, LimitExceeded
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci.reference import Transport
from cosinspect.sources.local.archives import STANDARD_INPUT, open_archive

__all__ = ["local_name", "require_image"]

_PATH_STARTS = ("/", "./", "../", "~")
_TREE = ("etc", "usr")
"""Directories that an unpacked root has, and no image."""
_ISO_MAGIC = (32769, b"CD001")
_TAKES = (
    "an OCI image layout, a directory of skopeo's dir:, or an archive of docker save, podman save or skopeo"
)


def local_name(text: str, *, limits: Limits = DEFAULT_LIMITS) -> str:
    """Return the image name for a local path, such as `oci:DIR` for `DIR`; return every other name unchanged.

    A path is `.`, `..`, text that starts with `/`, `./`, `../` or `~`, the name of an existing file, the name of a directory that
    holds an image, and `-` for an archive on standard input. `docker://NAME` is always a registry's image.

    Args:
        text: the name as given by a user.
        limits: bounds for reading an archive.

    Raises:
        InvalidLayout: there is nothing at the path, or no image.
        InvalidReference: the path cannot be part of an image name.
    """
    if text == STANDARD_INPUT:
        return f"{_of_archive(Path(text), limits).value}:-"
    explicit = text.startswith(_PATH_STARTS) or text in (".", "..")
    path, selector = Path(text), ""
    if explicit and not _exists(path):
        place, colon, reference = text.partition(":")
        if colon and _exists(Path(place)):
            path, selector = Path(place), f":{reference}"
    if not _exists(path):
        if explicit:
            raise InvalidLayout(
                "expected an image, found no such file or directory",
                where=text[:300],
                remedy="check the path",
            )
        return text
    found = _in_directory(path) if path.is_dir() else _of_archive(path, limits)
    if found is None:
        if not explicit:
            return text
        message, remedy = _no_image(path)
        raise InvalidLayout(message, where=str(path)[:300], remedy=remedy)
    if ":" in str(path) or any(each.isspace() or not each.isprintable() for each in str(path)):
        raise InvalidReference(
            "expected a path without colons and blanks, which image names cannot contain",
            where=str(path)[:300],
            remedy="rename it, or make a symbolic link to it",
        )
    return f"{found.value}:{path}{selector}"


def require_image(transport: Transport, path: Path, *, limits: Limits = DEFAULT_LIMITS) -> None:
    """Require that an image of a local transport is at a path.

    Raises:
        InvalidLayout: something else is there; the message says what, and the remedy names the transport for it.
        LimitExceeded: an archive is larger than the bounds.
    """
    directory = transport in (Transport.OCI, Transport.DIR)
    if str(path) == STANDARD_INPUT and not directory:
        return
    kind = "a directory" if path.is_dir() else "a file" if _exists(path) else "nothing"
    wanted = "a directory" if directory else "a file"
    if kind == wanted:
        required = "index.json" if transport in (Transport.OCI, Transport.OCI_ARCHIVE) else "manifest.json"
        if directory:
            present = (path / required).is_file()
        else:
            _require_archive(path)
            present = open_archive(path, limits=limits).size(required) is not None
        if present:
            return
        kind = f"{kind} without it"
        wanted = f"{wanted} with {required}"
    raise InvalidLayout(
        f"{transport.value}: expected {wanted}, found {kind}",
        where=str(path)[:300],
        remedy=_other_transport(path, limits),
    )


def _other_transport(path: Path, limits: Limits) -> str:
    """Return the advice for a path at which a transport finds no image."""
    if not _exists(path):
        return "check the path"
    try:
        found = _in_directory(path) if path.is_dir() else _of_archive(path, limits)
    except InvalidLayout as fault:
        return fault.remedy or f"name {_TAKES}"
    return _no_image(path)[1] if found is None else f"use {found.value}:{path}"


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return False


def _in_directory(path: Path) -> Transport | None:
    if (path / "index.json").is_file():
        return Transport.OCI
    if (path / "manifest.json").is_file():
        return Transport.DIR
    return None


def _of_archive(path: Path, limits: Limits) -> Transport:
    if str(path) != STANDARD_INPUT:
        _require_archive(path)
    try:
        files = open_archive(path, limits=limits)
    except LimitExceeded:
        raise
    except InvalidLayout as fault:
        if str(path) == STANDARD_INPUT:
            raise
        raise fault.but(remedy=f"name {_TAKES}") from fault
    if files.size("manifest.json") is not None:
        return Transport.DOCKER_ARCHIVE
    if files.size("index.json") is not None:
        return Transport.OCI_ARCHIVE
    raise InvalidLayout(
        "expected an image archive with index.json or manifest.json, found a tar archive without them",
        where="standard input" if str(path) == STANDARD_INPUT else str(path)[:300],
        remedy="an unpacked root is not an image: name what docker save, podman save or skopeo copy wrote",
    )


def _require_archive(path: Path) -> None:
    """Refuse what is recognised as something else from its first bytes.

    Raises:
        InvalidLayout: it is not an archive; the message says what it is.
    """
    where = str(path)[:300]
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise InvalidLayout(
                "expected an image archive, found a device, a pipe or a socket",
                where=where,
                remedy="for a pipe use docker-archive:- and standard input",
            )
        with path.open("rb") as file:
            start = file.read(512)
            file.seek(_ISO_MAGIC[0])
            iso = file.read(5) == _ISO_MAGIC[1]
    except OSError as fault:
        raise InvalidLayout(
            f"expected an image archive, it cannot be read: {fault.strerror or fault}", where=where
        ) from fault
    found = ""
    if not start:
        found = "an empty file"
    elif iso:
        found = "an ISO image"
    elif start[510:] == b"\x55\xaa":
        found = "a disk image"
    elif b"\0" not in start and _is_text(start):
        found = "a text file"
    if found:
        raise InvalidLayout(f"expected an image, found {found}", where=where, remedy=f"name {_TAKES}")


def _is_text(start: bytes) -> bool:
    try:
        start.decode()
    except UnicodeDecodeError as fault:
        return fault.start > len(start) - 4  # a character that the piece cuts
    return True


def _no_image(path: Path) -> tuple[str, str]:
    """Return what is at a path instead of an image, and what to do."""
    try:
        names = {each.name for each in path.iterdir()}
    except OSError as fault:
        return f"expected an image, the directory cannot be read: {fault.strerror or fault}", "check the path"
    if not names:
        return "expected an image, found an empty directory", f"name {_TAKES}"
    if names >= set(_TREE):
        return (
            "expected an image, found a directory with an unpacked root",
            "build an image of it, such as with FROM scratch and COPY . /, and name that",
        )
    if "Dockerfile" in names or "Containerfile" in names:
        return (
            "expected an image, found the directory of a Dockerfile",
            "build the image, and name what was built",
        )
    return "expected an image, found a directory without index.json and manifest.json", f"name {_TAKES}"
