import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosinspect.errors import FormatError
from cosinspect.formats.boot.loader_cache import read_loader_cache

LDCONFIG = shutil.which("ldconfig", path="/sbin:/usr/sbin")


def cache(*entries, order="<", old=False):
    strings = bytearray()
    rows = []
    start = 48 + 24 * len(entries)
    for name, path, features in entries:
        places = []
        for text in (name, path):
            places.append(start + len(strings))
            strings += text.encode() + b"\0"
        rows.append(struct.pack(order + "iIIIQ", 0x303, *places, 0, features))
    head = b"glibc-ld.so.cache1.1" + struct.pack(order + "II", len(entries), len(strings))
    data = head.ljust(48, b"\0") + b"".join(rows) + strings
    return b"ld.so-1.7.0\0" + struct.pack("=I", 1) + bytes(12 + 4) + data if old else data


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("old", [False, True])
def test_each_name_has_its_paths(order, old):
    data = cache(
        ("liba.so.1", "/lib/liba.so.1", 0), ("libb.so", "/opt/v3/libb.so", 1 << 62), ("liba.so.1", "/lib32/liba.so.1", 0),
        order=order, old=old,
    )  # fmt: skip

    assert {"liba.so.1": ("/lib/liba.so.1", "/lib32/liba.so.1")} == read_loader_cache(data)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "magic"),
        (b"ld.so-1.7.0\0", "truncated"),
        (b"text", "magic"),
        (cache(("a", "/a", 0))[:40], "truncated"),
        (cache(("a", "/a", 0))[:60], "truncated"),
        (cache(("a", "/a", 0))[:-1], "truncated"),
    ],
)
def test_what_is_no_cache_is_refused(data, kind):
    with pytest.raises(FormatError) as raised:
        read_loader_cache(data)
    assert kind == raised.value.kind


@settings(deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_arbitrary_bytes_are_a_cache_or_refused(rest, began):
    try:
        found = read_loader_cache((b"glibc-ld.so.cache1.1" if began else b"") + rest)
    except FormatError:
        return
    assert all(paths for paths in found.values())


@pytest.mark.skipif(
    LDCONFIG is None or not Path("/etc/ld.so.cache").is_file(), reason="needs ldconfig and its cache"
)
def test_ldconfig_prints_the_same():
    printed = subprocess.run([LDCONFIG, "-p"], capture_output=True, text=True, check=True).stdout
    rows = re.findall(r"^\s+(\S+) \(([^)]*)\) => (\S+)$", printed, re.MULTILINE)
    expected = {}
    for name, kinds, path in rows:
        if "hwcap" not in kinds:
            expected.setdefault(name, set()).add(path)

    found = read_loader_cache(Path("/etc/ld.so.cache").read_bytes())

    assert expected == {name: set(paths) for name, paths in found.items()}
