"""Checks on luet: its configuration and the databases of installed packages."""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.checks import remedies
from cosinspect.checks.base import CheckContext, NotApplicable, check
from cosinspect.errors import FormatError
from cosinspect.facts.cloud_configs import CLOUD_CONFIG_DIRECTORIES
from cosinspect.facts.luet_databases import LUET_CONFIG, READS, luet_config
from cosinspect.formats.luet.database import LuetPackage, LuetSelector
from cosinspect.report.display import counted
from cosinspect.report.report import Finding, Level

__all__ = [
    "luet_config_invalid",
    "luet_database_unreadable",
    "luet_missing",
    "package_file_replaced",
    "package_files_missing",
    "package_requirement_missing",
    "require_luet",
]

_SHOWN = 8


def require_luet(context: CheckContext) -> None:
    """Skip a check of luet if the generation does not use luet.

    Raises:
        NotApplicable: the generation does not use luet.
    """
    if not context.generation.packages:
        raise NotApplicable(f"{context.generation.title} does not use luet")


@check(
    id="COS080",
    name="luet-missing",
    level=Level.NOTE,
    summary="luet or its configuration is not in the image.",
    why="Packages cannot be added to a running system, and upgrades from package channels do not work.",
    remedy="Install luet and write /etc/luet/luet.yaml, if packages are to be installed later.",
    reads=READS,
    cure=remedies.from_toolkit("packages", "install luet"),
)
def luet_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the command and luet.yaml."""
    require_luet(context)
    for path in ("/usr/bin/luet", LUET_CONFIG):
        if context.rootfs.trace(path).entry is None:
            yield context.missing(path, f"expected {path}, it is not there")


@check(
    id="COS081",
    name="luet-config-invalid",
    level=Level.WARNING,
    summary="The luet.yaml cannot be read.",
    why="Every luet command fails, including those of elemental's upgrade channels.",
    remedy="Correct the YAML of /etc/luet/luet.yaml.",
    reads=READS,
    cure=remedies.by_hand("correct the YAML"),
)
def luet_config_invalid(context: CheckContext) -> Iterator[Finding | str]:
    """Parse it."""
    entry = context.rootfs.trace(LUET_CONFIG).entry
    try:
        settings = luet_config(context.rootfs)
    except FormatError as fault:
        yield Finding(str(fault), LUET_CONFIG, entry.layer if entry is not None else None)
        return
    if settings is None:
        raise NotApplicable("there is no luet.yaml")
    for problem in settings.problems:
        yield Finding(problem, LUET_CONFIG, entry.layer if entry is not None else None)
    architecture = context.config.platform.architecture if context.config.platform is not None else ""
    for each in settings.repositories:
        if each.enabled_for(architecture) and not each.urls:
            yield Finding(
                f"expected urls of the repository {each.name or '(without a name)'}, which is in use, found none",
                LUET_CONFIG,
                entry.layer if entry is not None else None,
            )
    count = len(settings.repositories)
    yield f"{LUET_CONFIG} names {count} {'repository' if count == 1 else 'repositories'}"
    for each in settings.repositories:
        state = "in use" if each.enabled_for(architecture) else "off"
        verified = "signatures verified" if each.verify else "signatures not verified"
        yield f"{each.name} ({each.type}, {state}, {verified}): {', '.join(each.urls)[:120]}"


@check(
    id="COS082",
    name="luet-database-unreadable",
    level=Level.WARNING,
    summary="A luet database is damaged.",
    why="luet lists no package, without a message: it installs everything again, over existing files.",
    remedy="Find the step that cut or replaced the file; luet writes a new one when the packages are installed again.",
    reads=READS,
    cure=remedies.by_hand("install the packages again with luet, which writes a new one"),
)
def luet_database_unreadable(context: CheckContext) -> Iterator[Finding | str]:
    """Read every database."""
    databases = context.facts.databases
    if not databases:
        raise NotApplicable("there is no luet database; official images ship none")
    for item in databases:
        if item.database is None:
            yield Finding(
                f"expected a luet database, {item.problems[0]}",
                item.path,
                item.layer,
                (context.step(item.layer),),
            )
            continue
        for problem in item.problems:
            yield Finding(problem, item.path, item.layer)
        yield f"{item.path} lists {counted(len(item.database.packages), 'package')}"


@check(
    id="COS083",
    name="package-files-missing",
    level=Level.WARNING,
    summary="Files of an installed cOS package are not in the image.",
    why="The database lists the package as installed, but a later step removed some of its files.",
    remedy="Keep the step in the evidence from deleting the files, or uninstall the package.",
    reads=READS,
)
def package_files_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Compare the file lists of the toolkit's packages with the tree."""
    wanted = set(context.generation.packages)
    seen = 0
    for item in context.facts.databases:
        for package in item.database.packages if item.database is not None else ():
            if f"{package.category}/{package.name}" not in wanted:
                continue
            seen += 1
            missing = [
                name
                for name in package.files
                if not _is_judged_elsewhere(context, f"/{name}")
                and context.rootfs.trace(f"/{name}", follow=False).entry is None
            ]
            if missing:
                layer, evidence = context.removal(f"/{missing[0]}")
                listed = tuple(f"/{name}" for name in missing[:_SHOWN])
                more = (f"and {len(missing) - _SHOWN} more",) if len(missing) > _SHOWN else ()
                finding = Finding(
                    f"expected every file of {package}, {len(missing)} of {len(package.files)} missing",
                    f"/{missing[0]}",
                    layer,
                    (*listed, *more, *evidence),
                )
                step = remedies.luet(_name(package), again=True)
                cure = remedies.runs("install the package again", lambda *_, step=step: (step,))
                yield remedies.with_cure(context, finding, cure)
    if not seen:
        raise NotApplicable("no luet database lists a package of the toolkit")
    yield f"every package of the toolkit has its files ({seen})"


def _is_judged_elsewhere(context: CheckContext, path: str) -> bool:
    """Return whether another check reports a file's absence."""
    generation = context.generation
    single = {
        generation.grub_config,
        generation.bootargs,
        "/etc/cos/grubenv_firstboot",
        *(runner for runners in generation.stage_runners for runner in runners),
        *("/usr/bin/luet", "/usr/bin/cosign", "/usr/bin/luet-cosign"),
        *("/usr/sbin/cos-installer", "/usr/sbin/cos-upgrade"),
    }
    directories = (
        generation.dracut_directory,
        "/etc/dracut.conf.d",
        *CLOUD_CONFIG_DIRECTORIES,
        *generation.unit_directories,
    )
    return path in single or path.startswith(tuple(f"{directory}/" for directory in directories))


def _name(package: LuetPackage | LuetSelector) -> str:
    return f"{package.category}/{package.name}"


@check(
    id="COS084",
    name="package-requirement-missing",
    level=Level.WARNING,
    summary="An installed package requires one that is not installed.",
    why="A dependency was uninstalled or never installed: meta/cos-minimal is incomplete without it.",
    remedy="Install what is missing with luet.",
    reads=READS,
)
def package_requirement_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Compare the requirements of packages with installed and provided packages, by category and name."""
    require_luet(context)
    seen = 0
    for item in context.facts.databases:
        packages = item.database.packages if item.database is not None else ()
        installed = {_name(package) for package in packages}
        installed |= {_name(each) for package in packages for each in package.provides}
        for package in packages:
            seen += 1
            absent = [each for each in package.requires if _name(each) not in installed]
            if absent:
                finding = Finding(
                    f"expected {', '.join(map(_name, absent))}, which {package} requires, not installed",
                    item.path,
                    item.layer,
                    tuple(f"it requires {_name(each)} {each.version}".rstrip() for each in absent),
                )
                step = remedies.luet(*map(_name, absent))
                cure = remedies.runs("install what is missing", lambda *_, step=step: (step,))
                yield remedies.with_cure(context, finding, cure)
    if not seen:
        raise NotApplicable("no luet database lists a package")
    yield f"all required packages are installed ({counted(seen, 'package')})"


@check(
    id="COS085",
    name="package-file-replaced",
    level=Level.NOTE,
    summary="A later step replaced a unit or a script of an installed cOS package.",
    why="The database does not match the image: an upgrade of the package overwrites the file again.",
    remedy="Change units by drop-ins, which no upgrade overwrites; an upgrade undoes a changed script.",
    reads=READS,
    cure=remedies.by_hand(
        "change units by drop-ins, and scripts in their package: an upgrade of the package undoes the change"
    ),
)
def package_file_replaced(context: CheckContext) -> Iterator[Finding | str]:
    """Look for files that a layer wrote after the last one that wrote the database."""
    require_luet(context)
    generation = context.generation
    # Changed settings are intended, and other checks report whether programs run.
    own = (f"{generation.dracut_directory}/", *(f"{top}/" for top in generation.unit_directories[1:]))
    seen = 0
    for item in context.facts.databases:
        for package in item.database.packages if item.database is not None else ():
            if _name(package) not in generation.packages:
                continue
            seen += 1
            for path in (f"/{name}" for name in package.files if f"/{name}".startswith(own)):
                entry = context.rootfs.trace(path, follow=False).entry
                if entry is not None and entry.layer > item.layer:
                    yield Finding(
                        f"expected {path} of {package}, a later step replaced it",
                        path,
                        entry.layer,
                        (context.step(entry.layer),),
                    )
    if not seen:
        raise NotApplicable("no luet database lists a package of the toolkit")
    yield f"no step replaced units and scripts of the toolkit's packages ({counted(seen, 'package')})"
