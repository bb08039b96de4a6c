"""Checks on settings of the whole system: fstab, the toolkit's environment files, SELinux; and on its size."""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.checks import file_remedies, remedies, subjects
from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check
from cosinspect.errors import FormatError
from cosinspect.formats.text.os_release import read_env_file
from cosinspect.formats.text.yaml import parse_yaml
from cosinspect.report.evidence import Line, Mention
from cosinspect.report.report import Capability, Finding, Level

__all__ = ["fstab_overwritten", "image_exceeds_disk", "selinux_unlabelled", "settings_malformed"]

_CONFIGURATIONS = ("/etc/elemental/config.yaml", "/etc/elemental/config.d/*.yaml")
_SELINUX = "/etc/selinux/config"
_CONTEXTS = "/etc/selinux/targeted/contexts/files/file_contexts"
_MEBIBYTE = 1024 * 1024
_BLOCK = 4096


@check(
    id="COS101",
    name="fstab-overwritten",
    level=Level.WARNING,
    summary="The image's /etc/fstab lists file systems.",
    why="The initrd writes /etc/fstab anew at every boot: file systems listed in the image are never mounted.",
    remedy="Set VOLUMES in a cloud-config's stage rootfs, or mount in a later stage or a unit, and leave /etc/fstab empty.",
    reads=("etc/fstab",),
    applies=lambda table: table.fstab_written,
    cure=remedies.runs(
        "empty the file and mount in a later stage of a cloud-config",
        lambda *_: ("RUN truncate -s 0 /etc/fstab",),
        unwanted=True,
    ),
)
def fstab_overwritten(context: CheckContext) -> Iterator[Finding | str]:
    """Look for lines that are not comments (fstab(5))."""
    found = context.facts.text("/etc/fstab")
    lines = [line.strip() for line in (found.text or "").splitlines()]
    listed = [line for line in lines if line and not line.startswith("#")]
    if listed and found.trace.entry is not None:
        entry = found.trace.entry
        yield Finding(
            f"expected no file systems in {entry.path}, found {len(listed)}",
            entry.path,
            entry.layer,
            (*(line[:160] for line in listed[:4]), context.step(entry.layer)),
        )
    else:
        yield "/etc/fstab lists nothing"


@check(
    id="COS102",
    name="settings-malformed",
    level=Level.ERROR,
    capabilities=(Capability.INSTALL, Capability.UPGRADE, Capability.RECOVERY),
    summary="elemental cannot read one of its configuration files.",
    why="""elemental reads /etc/elemental/config.yaml and config.d when it starts, and before toolkit v1 also os-release, /etc/cos/config and
        /etc/cos-upgrade-image as environment files: it fails if a file does not parse.""",
    remedy="Correct the file: YAML, or, in an environment file, lines with KEY=VALUE, comments or empty lines.",
    reads=(
        "etc/os-release",
        "usr/lib/os-release",
        "etc/cos/config",
        "etc/cos-upgrade-image",
        "etc/elemental/config.yaml",
        "etc/elemental/config.d/*.yaml",
    ),
    applies=subjects.deployed_by_elemental,
    cure=file_remedies.deletes_line("delete the line"),
)
def settings_malformed(context: CheckContext) -> Iterator[Finding | str]:
    """Read them as viper does (elemental-cli, cmd/config/config.go)."""
    read = 0
    for path in context.deployment.settings:
        found = context.facts.text(path)
        if found.text is None or found.trace.entry is None:
            continue
        read += 1
        layer = found.trace.entry.layer
        for problem in read_env_file(found.text).problems:
            if problem.kind == "syntax":
                yield Finding(
                    f"{path}: {problem}", found.trace.entry.path, layer, (Line(path, problem.line), context.step(layer))
                )  # fmt: skip
    for entry in (
        each for pattern in _CONFIGURATIONS for each in context.rootfs.glob(pattern) if each.type != "dir"
    ):
        text = context.facts.text(entry.path).text
        if text is None:
            continue
        read += 1
        try:
            parse_yaml(text)
        except FormatError as fault:
            if fault.kind not in ("syntax", "alias", "encoding"):
                raise Undecided(f"{entry.path} cannot be read here: {fault.message}") from fault
            yield Finding(
                f"{entry.path}: {fault.message}", entry.path, entry.layer, (context.step(entry.layer),)
            )
    yield f"{read} configuration files of the toolkit can be read"


@check(
    id="COS103",
    name="image-exceeds-disk",
    level=Level.WARNING,
    summary="The image is larger than its target.",
    why="""Installation and upgrade make a file system of a fixed size, or three on one partition, and copy the image into it: the copy fails
    with `no space left on device`. A disk for a cloud has a recovery partition of 2048 MiB (v0.0.15), where a larger image may not fit.""",
    remedy="Make the image smaller, or set another size of the file system and the state partition for the installation.",
)
def image_exceeds_disk(context: CheckContext) -> Iterator[Finding | str]:
    """Add up the files' blocks of 4096 bytes, and compare the sum with the generation's sizes."""
    bound = context.generation.image_mebibytes
    named = ""
    key = context.deployment.image_size_key
    if key:
        text = context.facts.text("/etc/cos/config").text
        named = read_env_file(text).values.get(key, "") if text else ""
        bound = int(named) if named.isascii() and named.isdigit() and len(named) < 9 else bound
    if not bound:
        raise NotApplicable(f"{context.generation.title} makes no file system of a known size")
    size = context.rootfs.blocks(_BLOCK) * _BLOCK // _MEBIBYTE
    where = " by /etc/cos/config" if named else ""
    if size > bound:
        yield Finding(
            f"expected an image of at most {bound} MiB{where}, its files take {size} MiB",
            evidence=_largest_layers(context),
        )
    else:
        yield f"the files take {size} MiB of {bound} MiB{where}"


def _largest_layers(context: CheckContext) -> tuple[Mention, ...]:
    sizes = [(index.uncompressed_size, number) for number, index in enumerate(context.rootfs.indexes)]
    largest = sorted(sizes, reverse=True)[:3]
    return tuple(
        Mention(f"{size // _MEBIBYTE} MiB in {context.step(number)}", number) for size, number in largest
    )


@check(
    id="COS104",
    name="selinux-unlabelled",
    level=Level.WARNING,
    summary="SELinux is enforced, but nothing labels the files.",
    why="elemental labels files with `setfiles`, and skips that silently if it is missing: the policy then denies everything.",
    remedy="Install policycoreutils, which has setfiles, or set SELINUX=permissive in /etc/selinux/config.",
    reads=("etc/selinux/config",),
    applies=subjects.deployed_by_elemental,
    cure=remedies.installs("policycoreutils", lead="install setfiles"),
)
def selinux_unlabelled(context: CheckContext) -> Iterator[Finding | str]:
    """Read /etc/selinux/config, and look for the policy's file contexts and the command."""
    text = context.facts.text(_SELINUX).text
    mode = read_env_file(text).values.get("SELINUX", "").strip() if text is not None else ""
    if mode != "enforcing" or not context.rootfs.exists(_CONTEXTS):
        yield (
            "there is no SELinux policy to enforce"
            if mode == "enforcing"
            else f"SELinux is {mode or 'not set up'}"
        )
        return
    found = context.command("setfiles")
    if found is None:
        yield context.missing("/usr/sbin/setfiles", "expected the command setfiles, it is not in the image")
    else:
        yield f"{found} labels the written files"
