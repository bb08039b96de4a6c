"""The digest of the code changes whenever a file of the package does, however the package was installed."""

import base64
import hashlib
import os
import shutil
from pathlib import Path

import pytest

import cosinspect
from cosinspect.cache import code
from cosinspect.version import __version__

PACKAGE = Path(cosinspect.__file__).parent


@pytest.fixture
def installed(tmp_path):
    """A small package as pip leaves it: its files, then the RECORD of its distribution."""
    package = tmp_path / "cosinspect"
    for name, content in {
        "cli.py": "a = 1\n",
        "layer/stream.py": "b = 2\n",
        "profiles/cos.toml": "c = 3\n",
    }.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "cli.cpython-311.pyc").write_bytes(b"compiled")
    record(package)
    return package


def record(package):
    rows = ["cosinspect/__pycache__/cli.cpython-311.pyc,,"]
    for path in sorted(package.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            data = path.read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            rows.append(f"{path.relative_to(package.parent)},sha256={digest},{len(data)}")
    directory = package.parent / f"cosinspect-{__version__}.dist-info"
    directory.mkdir(exist_ok=True)
    (directory / "RECORD").write_text("\n".join(rows) + "\n")


def digest(package, names=()):
    return code._digest(str(package), names, code.recorded_digests(str(package)))


def test_record_gives_what_the_files_give(installed):
    recorded = code.recorded_digests(str(installed))
    assert {"cli.py", "layer/stream.py", "profiles/cos.toml"} == set(recorded)
    for names in ((), ("layer/",), ("cli.py", "layer/")):
        assert code._digest(str(installed), names, recorded) == code._digest(str(installed), names, None)


def edit(path):
    path.write_text(path.read_text().replace("1", "7"))


def swap_keeping_times(path):
    """As `cp -p` and `rsync -t` do."""
    before = path.stat()
    edit(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES = {
    "edited": lambda package: edit(package / "cli.py"),
    "another file of the same size and time": lambda package: swap_keeping_times(package / "cli.py"),
    "longer": lambda package: (package / "cli.py").write_text("a = 1\nb = 2\n"),
    "a new file": lambda package: (package / "new.py").write_text("d = 4\n"),
    "removed": lambda package: (package / "cli.py").unlink(),
    "a table": lambda package: (package / "profiles" / "cos.toml").write_text("c = 4\n"),
    "a template": lambda package: (package / "page.html").write_text("<p>"),
    "a link in the place of a file": lambda package: (
        (package / "cli.py").rename(package.parent / "moved"),
        (package.parent / "moved").write_text("a = 9\n"),
        (package / "cli.py").symlink_to(package.parent / "moved"),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_it_changes_whenever_a_file_does(installed, change):
    before = digest(installed)
    CHANGES[change](installed)
    assert before != digest(installed)


@pytest.mark.parametrize(
    "damage", ["", "cosinspect/cli.py,sha256=,6\n", "cosinspect/cli.py\n", "\xff,,\n", None]
)
def test_the_files_are_read_if_record_cannot_be_used(installed, damage):
    path = installed.parent / f"cosinspect-{__version__}.dist-info" / "RECORD"
    expected = code._digest(str(installed), (), None)
    path.unlink()
    if damage is not None:
        path.write_bytes(damage.encode("latin-1"))
    assert code.recorded_digests(str(installed)) is None
    assert expected == digest(installed)


def test_another_part_has_another_digest_and_compiled_modules_have_no_part_in_it(installed):
    assert 3 == len({digest(installed), digest(installed, ("layer/",)), digest(installed, ("cli.py",))})
    before = digest(installed)
    (installed / "__pycache__" / "other.cpython-311.pyc").write_bytes(b"compiled")
    shutil.rmtree(installed / "__pycache__")
    assert before == digest(installed)


def test_every_module_of_this_package_has_a_part_in_it():
    names = {name for name, _ in code._files(str(PACKAGE))}
    expected = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*") if path.is_file()}
    assert {name for name in expected if "__pycache__" not in name} == names
    assert {"cli.py", "profiles/generations.toml", "render/pages/report.html"} < names


def test_no_file_is_read_twice_for_a_second_digest(monkeypatch):
    first = code.code_digest(("layer/",))
    monkeypatch.setattr(code, "_digest", None)
    assert first == code.code_digest(("layer/",))
