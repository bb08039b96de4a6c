"""An image as a file system of fsspec; its LocalFileSystem over what umoci unpacks is the judge."""

import shutil
import subprocess

import fsspec
import pytest

from cosinspect import open_image
from cosinspect.errors import PathNotFound
from cosinspect.testing import Directory, File, ImageBuilder, Symlink, Whiteout

IMAGE = (
    ImageBuilder()
    .layer(
        {
            "etc/motd": "hello\n",
            "etc/issue": Symlink("motd"),
            "etc/lost": Symlink("nowhere"),
            "etc/self": Symlink("self"),
            "bin": Symlink("usr/bin"),
            "usr/bin/sh": File("#!/bin/sh\n", mode=0o755),
            "usr/share/large": b"0123456789abcdef" * 1_000_000,
            "gone/file": "",
            "empty": Directory(),
        }
    )
    .layer({"gone": Whiteout(), "etc/motd": "again\n"})
    .build()
)


@pytest.fixture(scope="module")
def filesystem(tmp_path_factory):
    with open_image(IMAGE.write_layout(tmp_path_factory.mktemp("image"))) as image:
        yield image.fs()


def test_it_reads_files_through_links(filesystem):
    assert filesystem.cat("/etc/motd") == b"again\n"
    assert filesystem.cat_file("etc/issue") == b"again\n"
    assert filesystem.read_text("cosinspect:///bin/sh") == "#!/bin/sh\n"
    with filesystem.open("/usr/share/large", "rb") as file:
        file.seek(16 * 999_999)
        assert file.read() == b"0123456789abcdef"
    with filesystem.open("/etc/motd", "r") as file:
        assert file.readlines() == ["again\n"]


def test_it_tells_what_is_not_there(filesystem):
    assert [filesystem.exists(path) for path in ("/etc/motd", "/gone", "/gone/file", "/etc/lost")] == [
        True,
        False,
        False,
        False,
    ]
    assert filesystem.lexists("/etc/lost")
    for path in ("/gone/file", "/etc/lost"):
        with pytest.raises(FileNotFoundError):
            filesystem.open(path)
    with pytest.raises(PathNotFound):
        filesystem.ls("/nowhere")


def test_it_cannot_be_changed(filesystem):
    for change in (
        lambda: filesystem.open("/etc/motd", "wb"),
        lambda: filesystem.pipe("/etc/motd", b"x"),
        lambda: filesystem.rm("/etc/motd"),
        lambda: filesystem.mkdir("/new"),
        lambda: filesystem.makedirs("/new/dir"),
        lambda: filesystem.rmdir("/empty"),
        lambda: filesystem.cp("/etc/motd", "/etc/copy"),
        lambda: filesystem.mv("/etc/motd", "/etc/other"),
    ):
        with pytest.raises(OSError, match="an image cannot be changed"):
            change()
    assert filesystem.cat("/etc/motd") == b"again\n"


@pytest.mark.skipif(not shutil.which("umoci"), reason="umoci is not installed")
def test_it_is_as_the_local_file_system_of_what_umoci_unpacks(filesystem, tmp_path):
    IMAGE.write_layout(tmp_path / "layout")
    bundle = tmp_path / "bundle"
    subprocess.run(
        ["umoci", "unpack", "--rootless", "--image", f"{tmp_path}/layout:latest", str(bundle)], check=True
    )
    local, root = fsspec.filesystem("file"), str(bundle / "rootfs")

    def told(found):
        name = found["name"].removeprefix(root) or "/"
        kept = {key: found.get(key) for key in ("type", "islink", "destination")}
        return name, kept | ({"size": found["size"]} if kept["type"] == "file" else {})

    mine = dict(map(told, filesystem.find("/", withdirs=True, detail=True).values()))
    theirs = dict(map(told, local.find(root, withdirs=True, detail=True).values()))
    assert theirs == mine
    walked = sorted(
        (base.removeprefix(root) or "/", sorted(inner), sorted(files))
        for base, inner, files in local.walk(root)
    )
    assert walked == sorted(
        (base, sorted(inner), sorted(files)) for base, inner, files in filesystem.walk("/")
    )
    for path in ("/etc/issue", "/bin", "/empty"):
        assert told(local.info(root + path)) == told(filesystem.info(path))
    assert [local.isdir(f"{root}/bin"), local.isfile(f"{root}/etc/issue")] == [
        filesystem.isdir("/bin"),
        filesystem.isfile("/etc/issue"),
    ]
    filesystem.get("/etc/motd", str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_text() == "again\n"
    assert filesystem.glob("/usr/*/sh") == ["/usr/bin/sh"]
