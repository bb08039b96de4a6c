"""Where the files of a release lie in an image: a tree of luet packages, of embedded features, of cloud-configs, or of the image itself.

A folder of real files is a folder for each project, and in it one for each tag, or the tree itself. Other folders of that layout work too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from cosinspect.testing import File
from cosinspect.testing.derivative.parts import Parts, parts_of

_MODULE = "usr/lib/dracut/modules.d"
# Where each package of the luet tree puts its files (their build.yaml, at the tags); %s is the file's path in the package.
PACKAGES = (
    (r"cloud-config/oem/(.+\.yaml)", "system/oem/%s"),
    (r"cos-setup/([^/]+\.(?:service|timer))", "usr/lib/systemd/system/%s"),
    (r"(?:cos-setup|immutable-rootfs|base-dracut-modules)/([^/]+\.conf)", "etc/dracut.conf.d/%s"),
    (r"immutable-rootfs/(30[^/]+/.+)", f"{_MODULE}/%s"),
    (r"(?:grub2|grub-config|grub2-config)/config/(.+)", "etc/cos/%s"),
)
# Not in an image: what builds it, what is for the ISO alone, and features that somebody has to turn on.
ELSEWHERE = ("livecd/", "templates/", "cos/", "cos-features/")
FEATURES = "pkg/features/embedded"
# `elemental init` takes this one in v1 alone; later releases still carry it beside the one that they take.
OLDER = f"{FEATURES}/immutable-rootfs/"
TREES = ("packages", FEATURES, "cloudconfigs", "etc", "system", "usr")
IMAGE = ("etc", "system", "usr")
# Some releases make these from templates, which are not among their files.
RENDERED = ("system/oem/00_rootfs.yaml", "system/oem/05_network.yaml", "system/oem/06_recovery.yaml")


@frozen
class Release:
    """The files of one release.

    Attributes:
        name: project and tag.
        top: the folder.
    """

    name: str
    top: Path

    def files(self) -> dict[str, bytes]:
        """Give the files by their paths in the image.

        Raises:
            AssertionError: for a file of which nothing says where it belongs.
        """
        found = {}
        for path in sorted(self.top.rglob("*")):
            name = path.relative_to(self.top).as_posix()
            if not path.is_file() or (
                name.startswith(OLDER) and (self.top / FEATURES / "elemental-rootfs").is_dir()
            ):
                continue
            if place := in_image(name):
                found[place] = path.read_bytes()
        return found


def in_image(path: str) -> str | None:
    """Give a file's path in the image; None where it is in none."""
    if match := re.fullmatch(r"pkg/features/embedded/[^/]+/(.+)", path):
        return match[1]
    if match := re.fullmatch(r"cloudconfigs/(.+)", path):
        return f"system/oem/{match[1]}"
    if path.startswith("packages/"):
        path = path.removeprefix("packages/")
        for pattern, place in PACKAGES:
            if match := re.fullmatch(pattern, path):
                return place % match[1]
        assert path.startswith(ELSEWHERE), path
        return None
    assert path.partition("/")[0] in IMAGE, path
    return path


def releases(top: Path) -> Iterator[Release]:
    """Give the releases of a folder; a project without such trees, as one of templates, has none."""
    for project in sorted(path for path in top.iterdir() if path.is_dir()):
        for folder in (project, *sorted(path for path in project.iterdir() if path.is_dir())):
            if any((folder / tree).is_dir() for tree in TREES):
                yield Release(folder.relative_to(top).as_posix(), folder)


def generation_of(release: Release) -> str:
    """Tell the generation by the tag, as the history of the toolkit has it."""
    project, _, tag = release.name.partition("/")
    if project.startswith("kairos"):
        return "kairos"
    if not tag:
        return "G5"  # an image of today
    version = tuple(int(each) for each in re.findall(r"\d+", tag)[:3])
    bounds = (((0, 5, 4), "G0"), ((0, 8), "G1"), ((0, 10), "G2"), ((0, 11), "G3"), ((1, 2), "G4"))
    return next((name for bound, name in bounds if version < bound), "G5")


def laid_over(release: Release) -> Parts:
    """Lay the files of a release over the good derivative of its generation, in the root and in the initrd."""
    files = release.files()
    parts = parts_of(generation_of(release), "amd64")
    base = {path.rpartition("/")[2] for path in files if path.startswith("etc/") and path.endswith(".cfg")}
    configs = [path for path in files if path.startswith("system/oem/")]
    kept = RENDERED if RENDERED[0] not in files else ()
    for path in list(parts.packages):
        own_config = path.endswith(".cfg") and path.rpartition("/")[2] in base
        if own_config or (configs and path.startswith("system/oem/") and path not in kept):
            del parts.packages[path]
    for path, content in files.items():
        name = path.rpartition("/")[2]
        executes = content.startswith(b"#!")
        entry = File(content, mode=0o755 if executes else 0o600 if path in configs else 0o644)
        made = path in kept and path in parts.packages  # from a template, and stays beside this one
        for own in [own for own in (*parts.packages, *parts.base) if _same_unit(own, name)]:
            (parts.packages if own in parts.packages else parts.base)[own] = entry
        parts.packages[f"{path.removesuffix('.yaml')}_real.yaml" if made else path] = entry
        for member in [member for member in parts.initrd if _same_unit(member, name)]:
            if isinstance(parts.initrd[member], (str, File)):
                parts.initrd[member] = content.decode()
    return parts


def _same_unit(path: str, name: str) -> bool:
    return name.endswith((".service", ".timer")) and path.endswith(f"systemd/system/{name}")
