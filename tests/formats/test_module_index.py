"""depmod's files: read, damaged, and with kmod itself as the judge."""

import contextlib
import random
import shutil
import struct
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosinspect.errors import FormatError
from cosinspect.formats.boot.module_index import (
    module_name,
    read_builtin,
    read_dependencies,
    read_index,
    read_soft_dependencies,
)
from cosinspect.testing.derivative.system_files import MODULES, module_files, module_index

FILES = module_files()


def test_the_binary_index_says_what_the_text_says():
    by_text = read_dependencies(FILES["modules.dep"])
    by_index = {
        name: tuple(values[0].partition(":")[2].split())
        for name, values in read_index(FILES["modules.dep.bin"]).items()
    }
    assert {module_name(path): needs for path, needs in by_text.items()} == by_index
    assert ("kernel/lib/crc16.ko", "kernel/fs/mbcache.ko", "kernel/fs/jbd2/jbd2.ko") == by_index["ext4"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("kernel/drivers/nvme/host/nvme-core.ko", "nvme_core"),
        ("kernel/fs/ext4/ext4.ko.xz", "ext4"),
        ("updates/a-b.ko.zst", "a_b"),
        ("loop", "loop"),
    ],
)
def test_a_module_is_named_by_its_path(path, name):
    assert name == module_name(path)


def test_built_in_and_soft_dependencies():
    assert {"virtio", "scsi_mod"} == read_builtin(FILES["modules.builtin"])
    (ext4, other) = read_soft_dependencies(
        "softdep ext4 pre: crc32c\nsoftdep a-b pre: c d post: e\nalias x y\n"
    )
    assert ("ext4", ("crc32c",), ()) == (ext4.module, ext4.before, ext4.after)
    assert ("a_b", ("c", "d"), ("e",)) == (other.module, other.before, other.after)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "truncated"),
        (bytes(12), "magic"),
        (struct.pack(">III", 0xB007F457, 0x00030001, 12), "version"),
        (struct.pack(">III", 0xB007F457, 0x00020001, 0x8000000C), "corrupt"),
        (struct.pack(">III", 0xB007F457, 0x00020001, 0x2000000C) + b"\xff\x00", "corrupt"),
    ],
)
def test_what_is_no_index_is_refused(data, kind):
    with pytest.raises(FormatError) as refused:
        read_index(data)
    assert kind == refused.value.kind


def test_a_node_that_is_its_own_child_is_refused():
    data = struct.pack(">III", 0xB007F457, 0x00020001, 0x2000000C) + b"aa" + struct.pack(">I", 0x2000000C)
    with pytest.raises(FormatError):
        read_index(data)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_end_in_an_index_or_an_error(data):
    for whole in (data, struct.pack(">III", 0xB007F457, 0x00020001, 0xE000000C) + data):
        with contextlib.suppress(FormatError):
            assert isinstance(read_index(whole), dict)


@pytest.mark.compat
@pytest.mark.skipif(shutil.which("depmod") is None, reason="kmod is not installed")
def test_kmod_finds_by_the_index_what_this_reader_finds(tmp_path):
    """modprobe reads the index that the kit writes, and this reader the one that depmod writes."""
    version = "6.1.0-50-amd64"
    top = tmp_path / "lib/modules" / version
    random_ = random.Random(3)
    names = [f"m{random_.randrange(10**6)}-{random_.choice('abc')}" for _ in range(60)]
    paths = [f"kernel/{random_.choice('xyz')}/{name}.ko" for name in names]
    modules = {
        path: tuple(random_.sample(paths[:at], min(at, random_.randint(0, 3))))
        for at, path in enumerate(paths)
    }
    for path in modules:
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_bytes(b"")
    (top / "modules.dep.bin").write_bytes(module_files(modules)["modules.dep.bin"])
    for path, needs in modules.items():
        name = module_name(path)
        told = subprocess.run(
            ["modprobe", "-d", tmp_path, "-S", version, "--show-depends", name],
            capture_output=True,
            text=True,
            check=False,
        )
        shown = [line.split()[1].rpartition("/")[2] for line in told.stdout.splitlines()]
        assert {each.rpartition("/")[2] for each in (path, *needs)} == set(shown)
    # Without the binary index the text is not read.
    (top / "modules.dep").write_text(module_files(modules)["modules.dep"])
    (top / "modules.dep.bin").unlink()
    assert (
        0
        != subprocess.run(
            ["modprobe", "-d", tmp_path, "-S", version, "--show-depends", name],
            capture_output=True,
            check=False,
        ).returncode
    )
    for path in modules:
        (top / path).unlink()
    subprocess.run(["depmod", "-b", tmp_path, version], check=True, capture_output=True)
    assert {} == read_index((top / "modules.dep.bin").read_bytes())


def test_keys_of_all_letters_are_written_and_read():
    entries = {"a": "1", "ab": "2", "b-c_d.e": "3", "~": "4", "pci:v*d*": "5"}
    assert {key: (value,) for key, value in entries.items()} == read_index(module_index(entries))
    assert len(MODULES) == len(read_index(FILES["modules.dep.bin"]))
