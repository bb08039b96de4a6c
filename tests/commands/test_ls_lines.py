"""`ls --format json` prints for each entry what `json_text` makes of its values."""

import pytest

from cosinspect.commands import ls
from cosinspect.report.json_text import json_text
from cosinspect.rootfs.rootfs import Rootfs
from cosinspect.testing import Device, Directory, Fifo, File, Hardlink, RawName, Symlink, tar_bytes
from stacks import index_of

ENTRIES = {
    'quote"back\\slash': "x",
    "caf\u00e9/\u202e\n": File("yy", mode=0o4755, uid=7, gid=2**32 - 2, mtime=-5),
    RawName(b"\xff"): "not UTF-8",
    "d": Directory(mode=0o1777),
    "l": Symlink("d"),
    "h": Hardlink("d/f"),
    "d/f": "z",
    "p": Fifo(),
    "c": Device("char", 5, 1),
    "x": File("x", xattrs={"user.a": "1"}),
}


@pytest.mark.parametrize("parents", [True, False])
def test_each_line_is_that_of_its_values(parents):
    entries = [(path, each) for path, each in ENTRIES.items() if path != "h"]
    rootfs = Rootfs([index_of(tar_bytes([*entries, ("h", ENTRIES["h"])], parents=parents))])
    listed = list(rootfs.walk())

    assert len(ENTRIES) < len(listed)
    for entry in listed:
        assert ls._json_line(rootfs, entry) == json_text(ls._values(rootfs, entry))
