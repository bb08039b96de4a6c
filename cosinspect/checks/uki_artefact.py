"""Checks on UKI artefacts: images with the files that kairos-agent copies to the EFI partition of a trusted boot system.

`auroraboot build-uki` makes them (pkg/uki/uki.go), kairos-agent installs and upgrades from them (agent/pkg/uki).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cosinspect.checks import file_remedies, remedies, subjects
from cosinspect.checks.base import CheckContext, Cure, NotApplicable, check
from cosinspect.checks.boot_path import BOOTS
from cosinspect.checks.unified import READS, is_kairos_program
from cosinspect.formats.text.loader_entry import PROGRAM_KEYS, read_loader_entry
from cosinspect.report.report import Finding, Level
from cosinspect.rootfs.rootfs import Entry

__all__ = ["uki_entry_broken", "uki_file_missing", "uki_settings_missing"]

_FALLBACK = {"amd64": "BOOTX64.EFI", "arm64": "BOOTAA64.EFI", "riscv64": "BOOTRISCV64.EFI"}
_ROLE = "norole"  # kairos-agent copies files with this prefix as active, passive, recovery and statereset
_KEYS = ("PK.auth", "KEK.auth", "db.auth")
_VERSION = re.compile(r"systemd-boot (\d+)")
_UKI_KEY_SINCE = 259


def _find(context: CheckContext, path: str) -> Entry | None:
    """Return the entry at a path as a FAT file system finds it, ignoring the case of letters."""
    entry: Entry | None = context.rootfs.root
    for name in path.replace("\\", "/").split("/"):
        if not name:
            continue
        if entry is None or entry.type != "dir":
            return None
        children = context.rootfs.children(entry)
        entry = children.get(name) or next(
            (child for other, child in sorted(children.items()) if other.lower() == name.lower()), None
        )
    return entry


def _boot_program(context: CheckContext) -> tuple[str, Entry | None]:
    platform = context.config.platform
    name = _FALLBACK.get(platform.architecture if platform is not None else "", "BOOTX64.EFI")
    return f"/EFI/BOOT/{name}", _find(context, f"EFI/BOOT/{name}")


def _entries(context: CheckContext) -> list[Entry]:
    top = _find(context, "loader/entries")
    children = context.rootfs.children(top) if top is not None and top.type == "dir" else {}
    return [entry for name, entry in sorted(children.items()) if name.lower().endswith(".conf")]


@check(
    id="COS255",
    name="uki-file-missing",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="A file that the firmware or kairos-agent requires is not in the UKI artefact.",
    why="""The firmware starts /EFI/BOOT/BOOTX64.EFI (BOOTAA64.EFI), which reads the entries; kairos-agent copies files
    called norole as active, passive, recovery and statereset. An installed machine lacks a missing file too.""",
    remedy="Build the image again with `auroraboot build-uki --output-type container`.",
    reads=(*READS, "loader/entries/*.conf"),
    applies=subjects.uki,
    cure=remedies.by_hand("build the image again with `auroraboot build-uki --output-type container`"),
    tags=("boot-menu",),
)
def uki_file_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for each name as FAT does, and for the role that the agent copies."""
    path, boot = _boot_program(context)
    if boot is None or boot.type != "file":
        yield context.missing(path, f"expected {path}, it is not there")
    else:
        program = context.facts.unified_at(boot.path)
        platform = context.config.platform
        machine = program.unified.program.architecture if program.unified is not None else None
        if program.fault is not None:
            yield Finding(f"expected systemd-boot: {program.fault.message}", boot.path, boot.layer)
        elif platform is not None and machine != platform.architecture:
            yield Finding(
                f"expected systemd-boot for {platform.architecture}, found a program for {machine}",
                boot.path,
                boot.layer,
            )
        else:
            yield f"{boot.path} is there"
    programs = [entry for entry in context.rootfs.glob("/EFI/*/*") if is_kairos_program(entry.path)]
    entries = _entries(context)
    for what, found, where in (
        ("unified kernel image", programs, "/EFI/kairos"),
        ("boot entry", entries, "/loader/entries"),
    ):
        if not found:
            yield context.missing(where, f"expected a {what} in {where}, found none")
        elif not any(entry.name.startswith(_ROLE) for entry in found):
            yield Finding(
                f"expected a {what} called {_ROLE}* in {where}, found {', '.join(entry.name for entry in found[:4])}",
                where,
                found[0].layer,
            )
        else:
            yield f"{where} has {', '.join(entry.name for entry in found[:8])}"


@check(
    id="COS256",
    name="uki-entry-broken",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="A boot entry of the UKI artefact starts nothing.",
    why="systemd-boot omits the entry from its menu, or prints `Failed to load`; kairos-agent stops at an entry without title or program.",
    remedy="""Name an existing file in the entry (`uki /EFI/kairos/norole.efi`, `efi` for systemd-boot before 259), and give the entry a title.""",
    reads=(*READS, "loader/entries/*.conf"),
    applies=subjects.uki,
    cure=remedies.by_hand("name an existing file"),
    tags=("boot-menu",),
)
def uki_entry_broken(context: CheckContext) -> Iterator[Finding | str]:
    """Read each entry, and look for the program that it names."""
    entries = _entries(context)
    if not entries:
        raise NotApplicable("there is no boot entry, which another check reports")
    for entry in entries:
        values = read_loader_entry(context.facts.text(entry.path).text or "")
        key = next((name for name in PROGRAM_KEYS if values.get(name)), None)
        bad: list[str] = []
        if key is None or key == "linux":
            bad.append("expected the key efi or uki with a path, found neither")
        elif (target := _find(context, values[key])) is None or target.type != "file":
            bad.append(f"expected {values[key]}, which {key} names, it is not there")
        elif key == "uki" and (version := _boot_version(context)) is not None and version < _UKI_KEY_SINCE:
            bad.append(
                f"expected the key efi for systemd-boot {version}, found uki, which is known since {_UKI_KEY_SINCE}"
            )
        if not values.get("title"):
            bad.append("expected a title, found none")
        for message in bad:
            finding = Finding(
                f"{message} ({entry.path})", entry.path, entry.layer, (context.step(entry.layer),)
            )
            yield remedies.with_cure(context, finding, _entry_cure(message, key))
        if not bad and key is not None:
            yield f"{entry.path} starts {values[key]}"


def _entry_cure(message: str, key: str | None) -> Cure:
    """Return the cure of a boot entry: another key, the existing unified kernel image, or a title."""
    if "a title" in message:
        return remedies.runs(
            "give it a title",
            lambda _, finding: (f"RUN echo 'title Kairos' >> {remedies.quoted(finding.path or '')}",),
        )
    if key == "uki" and "known since" in message:
        return file_remedies.edits("name it by the key efi", "s/^uki /efi /")

    def steps(context: CheckContext, finding: Finding) -> tuple[str, ...] | None:
        found = context.rootfs.glob("/EFI/[Kk][Aa][Ii][Rr][Oo][Ss]/norole.[Ee][Ff][Ii]")
        if not found or key is None:
            return None
        script = f"s|^{key} .*|{key} {found[0].path}|"
        return (f"RUN sed -i {remedies.quoted(script)} {remedies.quoted(finding.path or '')}",)

    return remedies.runs("name the existing file", steps)


def _boot_version(context: CheckContext) -> int | None:
    """Return the release of systemd-boot that its program states, None if it states none."""
    _, boot = _boot_program(context)
    if boot is None or boot.type != "file":
        return None
    program = context.facts.unified_at(boot.path).unified
    found = _VERSION.search(program.texts.get(".sdmagic", "")) if program is not None else None
    return int(found[1]) if found is not None else None


@check(
    id="COS268",
    name="uki-settings-missing",
    level=Level.WARNING,
    summary="The UKI artefact has no keys to enrol, or no settings of the boot menu.",
    why="""systemd-boot enrols the keys in firmware that is in setup mode: without them Secure Boot must be set up by hand. Without loader.conf
        it starts, by its own defaults: keys are not enrolled, and the command line can be edited.""",
    remedy="Give auroraboot the keys, and build again: `build-uki --public-keys` with a directory of PK.auth, KEK.auth and db.auth.",
    reads=("loader/*.conf",),
    applies=subjects.uki,
    cure=remedies.by_hand(
        "give auroraboot the keys, and build again: `build-uki --public-keys` with a directory of PK.auth, KEK.auth and db.auth"
    ),
)
def uki_settings_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the three files in /loader/keys/auto, and for /loader/loader.conf."""
    wanted = [*(f"loader/keys/auto/{name}" for name in _KEYS), "loader/loader.conf"]
    absent = [path for path in wanted if _find(context, path) is None]
    for path in absent:
        yield context.missing(f"/{path}", f"expected /{path}, it is not there")
    if not absent:
        yield "/loader/keys/auto has PK.auth, KEK.auth and db.auth, and /loader has loader.conf"
