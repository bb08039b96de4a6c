"""Accounts that systemd-sysusers makes before anybody logs in: a G2 without /etc/passwd booted, and root logged in."""

import pytest

from cosinspect import inspect
from cosinspect.testing import Directory, File, Symlink
from cosinspect.testing.derivative import derivative_of
from cosinspect.testing.derivative.parts import parts_of

UNITS = "usr/lib/systemd/system"
SYSUSERS = {
    f"{UNITS}/systemd-sysusers.service": "[Unit]\nDefaultDependencies=no\nBefore=sysinit.target\nConditionNeedsUpdate=|/etc\n"
    "[Service]\nType=oneshot\nExecStart=systemd-sysusers\n",
    f"{UNITS}/sysinit.target.wants/systemd-sysusers.service": Symlink("../systemd-sysusers.service"),
    "usr/lib/sysusers.d/basic.conf": "u root 0 - /root /bin/bash\n",
    "usr/bin/systemd-sysusers": File(b"\x7fELF", mode=0o755),
}


@pytest.mark.parametrize(
    ("changed", "refused"),
    [
        ({}, False),
        ({"etc/.updated": File("", mtime=100), "usr": Directory(mtime=200)}, False),
        ({"etc/.updated": File("", mtime=200), "usr": Directory(mtime=100)}, True),
        (dict.fromkeys(["usr/bin/systemd-sysusers"]), True),
        (dict.fromkeys([f"{UNITS}/sysinit.target.wants/systemd-sysusers.service"]), True),
        ({"usr/lib/sysusers.d/basic.conf": "u daemon 1 - /\n"}, True),
    ],
)
def test_root_is_made_where_the_machine_makes_it(tmp_path, changed, refused):
    parts = parts_of("G2", "amd64")
    parts.remove("etc/passwd")
    entries = {path: entry for path, entry in {**SYSUSERS, **changed}.items() if entry is not None}
    for path, entry in entries.items():
        parts.write(path, entry)
    found = inspect(derivative_of(parts).write_layout(tmp_path))
    result = next(each for each in found.results if each.check == "COS183")
    about_root = [each for each in result.findings if "the account root" in each.message]
    assert bool(about_root) is refused
