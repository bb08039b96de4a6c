"""pacman's local database; the judge is `pacman -Q` over the same files."""

import shutil
import subprocess

import pytest

from cosinspect.errors import FormatError
from cosinspect.formats.packages.pacman import database_path, read_pacman_desc

DESC = {
    "bash": "%NAME%\nbash\n\n%VERSION%\n5.2.026-2\n\n%BASE%\nbash\n\n%DESC%\nThe GNU Bourne Again shell\n\n"
    "%ARCH%\nx86_64\n\n%LICENSE%\nGPL\nBSD\n\n%VALIDATION%\npgp\n\n",
    "linux": "%NAME%\nlinux\n\n%VERSION%\n1:6.7.arch3-1\n\n%ARCH%\nx86_64\n",
}


def test_a_description_is_a_package():
    package = read_pacman_desc(DESC["bash"].encode())

    assert ("alpm", "bash", "5.2.026-2", "x86_64", "bash", "GPL AND BSD") == (
        package.type,
        package.name,
        package.version,
        package.architecture,
        package.source,
        package.license,
    )


@pytest.mark.skipif(shutil.which("pacman") is None, reason="pacman is the judge")
def test_pacman_lists_the_same(tmp_path):
    packages = [read_pacman_desc(text.encode()) for text in DESC.values()]
    (tmp_path / "local").mkdir()
    (tmp_path / "local/ALPM_DB_VERSION").write_text("9\n")
    for package in packages:
        directory = tmp_path / "local" / f"{package.name}-{package.version}"
        directory.mkdir()
        (directory / "desc").write_text(DESC[package.name])
        (directory / "files").write_text("")
    (tmp_path / "pacman.conf").write_text("[options]\n")
    listed = subprocess.run(
        ["pacman", "--config", tmp_path / "pacman.conf", "--dbpath", tmp_path, "-Q"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert sorted(f"{package.name} {package.version}" for package in packages) == listed.splitlines()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"bash\n", "expected a field such as %NAME% in line 1"),
        (b"%NAME%\nbash\n", "expected the field %VERSION% with a value"),
        (b"%NAME%\n\n%VERSION%\n1\n", "expected the field %NAME% with a value"),
    ],
)
def test_a_malformed_description_is_refused(text, message):
    with pytest.raises(FormatError) as caught:
        read_pacman_desc(text)
    assert (caught.value.kind, caught.value.message) == ("syntax", message)


@pytest.mark.skipif(shutil.which("pacman-conf") is None, reason="pacman-conf is the judge")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "[options]\nDBPath = /usr/lib/pacman/\n",
        "[options]\n#DBPath = /a/\nDBPath=/b/\n",
        "[core]\nServer = file:///x\n[options]\nDBPath\t=  /c/  \n",
    ],
)
def test_the_configuration_names_the_directory(text, tmp_path):
    (tmp_path / "pacman.conf").write_text(text or "[options]\n")
    judged = subprocess.run(
        ["pacman-conf", "--config", tmp_path / "pacman.conf", "DBPath"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()

    assert database_path(text).rstrip("/") == judged.rstrip("/")
