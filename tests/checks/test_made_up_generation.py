"""A new generation is data: one table and one fingerprint, and an image of it is recognised, judged and blamed like any other."""

from importlib import resources
from pathlib import Path

import pytest
from attrs import evolve

import cosinspect.profiles
from cosinspect import inspect
from cosinspect.facts import facts
from cosinspect.profiles import fingerprints as known
from cosinspect.profiles import profile, tables
from cosinspect.report.report import Status, Verdict
from cosinspect.testing import File, Symlink
from cosinspect.testing.derivative import derivative_of
from cosinspect.testing.derivative.parts import parts_of

DATA = Path(__file__).parents[1] / "data" / "generations"
# The files of G4 under the names of the made-up generation.
NAMES = {
    "elemental-": "aster-",
    "etc/cos/": "etc/aster/",
    "cos-img/filename": "aster.image",
    "/run/cos/cos-layout.env": "/run/aster/layout.env",
    "/run/cos/": "/run/aster/",
    "COS_": "ASTER_",
}


def renamed(text):
    """Rename what is in a path, a text, or the bytes of a text."""
    if isinstance(text, bytes):
        return renamed(text.decode()).encode() if text.isascii() else text
    for old, new in NAMES.items():
        text = text.replace(old, new)
    return text


def renamed_entry(entry):
    match entry:
        case str() | bytes():
            return renamed(entry)
        case Symlink():
            return evolve(entry, target=renamed(entry.target))
        case File():
            return evolve(entry, content=renamed(entry.content))
        case _:
            return entry


def aster():
    """Lay out a good image of the made-up generation."""
    parts = parts_of("G4", "amd64")
    for name in ("base", "kernel", "packages", "boot", "initrd"):
        entries = getattr(parts, name)
        setattr(parts, name, {renamed(path): renamed_entry(entry) for path, entry in entries.items()})
    return parts


@pytest.fixture
def added(monkeypatch):
    """Add the table to the tables, and the fingerprint in front of the fingerprints."""
    texts = {
        "generations.toml": "{}\n" + (DATA / "table.toml").read_text(),
        "fingerprints.toml": (DATA / "fingerprint.toml").read_text() + "\n{}",
    }
    package = resources.files(cosinspect.profiles)

    def text_of(name):
        return texts[name].replace("{}", (package / name).read_text("utf-8"), 1)

    caches = (tables.generation_tables, known.fingerprints, profile._builtin, facts._own_files)
    monkeypatch.setattr(tables, "resource_text", text_of)
    monkeypatch.setattr(known, "resource_text", text_of)
    for each in caches:
        each.cache_clear()
    yield
    for each in caches:
        each.cache_clear()


def report_of(tmp_path, parts):
    return inspect(derivative_of(parts).write_layout(tmp_path))


def failed(report):
    return {result.check for result in report.failed}


@pytest.mark.usefixtures("added")
def test_it_is_recognised_and_all_its_capabilities_are_told(tmp_path):
    report = report_of(tmp_path, aster())

    assert ("aster", "Aster, a generation that nobody made") == (report.generation, report.generation_title)
    assert set() == failed(report)
    assert Verdict.PASS == report.verdict
    model = inspect(derivative_of(parts_of("G4", "amd64")).write_layout(tmp_path / "model"))
    told = {name: each.status for name, each in report.capabilities.items()}
    assert told == {name: each.status for name, each in model.capabilities.items()}
    assert Status.YES in told.values()


def bootargs_of_another(parts):
    parts.packages["etc/aster/bootargs.cfg"] = parts_of("G5", "amd64").packages["etc/elemental/bootargs.cfg"]


def without_initrd_script(parts):
    del parts.initrd["usr/sbin/aster-mount-layout"]


def command_missing(parts):
    del parts.initrd["usr/bin/mountpoint"]


FAULTS = {
    "COS045": bootargs_of_another,
    "COS042": lambda parts: parts.remove("etc/aster/bootargs.cfg"),
    "COS040": lambda parts: parts.remove("etc/aster/grub.cfg"),
    "COS025": without_initrd_script,
    "COS050": lambda parts: parts.remove("usr/lib/dracut/modules.d/30aster-immutable-rootfs/aster-fsck.sh"),
    "COS063": lambda parts: parts.remove("usr/lib/systemd/system/aster-setup-boot.service"),
    "COS212": lambda parts: parts.write("oem", "a file\n"),
}


@pytest.mark.usefixtures("added")
@pytest.mark.parametrize("check", FAULTS)
def test_what_its_table_names_is_looked_for(tmp_path, check):
    parts = aster()
    FAULTS[check](parts)

    report = report_of(tmp_path, parts)

    assert "aster" == report.generation
    assert check in failed(report)


@pytest.mark.usefixtures("added")
def test_its_initrd_tells_it_where_the_module_is_gone(tmp_path):
    parts = aster()
    parts.remove("usr/lib/dracut/modules.d")

    assert "aster" == report_of(tmp_path, parts).generation


def test_without_its_data_it_is_not_known(tmp_path):
    report = report_of(tmp_path, aster())

    assert ("", Verdict.FAIL) == (report.generation, report.verdict)
