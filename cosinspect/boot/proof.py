"""Proof of life: what a machine must say itself, since a prompt proves nothing.

A cloud-config on the OEM partition, which is ours, runs in the stage `boot` and writes to the second serial port. It proves that the
image's own stage runner read the partition, and says whether multi-user.target was reached and /etc can be written. Where the tree is the root
of a plain disk, nothing reads that partition, and a unit in the root does the same. Where accounts with a password are known from the image's
cloud-configs, somebody logs in as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import frozen

from cosinspect.rootfs.member import Member, directory, text_file
from cosinspect.rootfs.rootfs import Rootfs

__all__ = ["Account", "Proof", "find_accounts", "login_commands", "oem_members", "read_proof", "unit_members"]

_BEGIN, _END = "COSINSPECT-BEGIN", "COSINSPECT-END"
_FAILED = 40

# What both ways run. Quotes part the marks, so that the shell's echo of a command is none.
_STATE = (
    'echo "system $(systemctl is-system-running)"; echo "etc $(touch /etc/.cosinspect && rm /etc/.cosinspect && echo writable)"; '
    'systemctl list-units --failed --plain --no-legend --no-pager -l | head -n 40 | while read -r unit rest; do echo "failed $unit"; done'
)
_SCRIPT = f"""\
echo {_BEGIN} stage > /dev/PORT
count=0
while [ $count -lt 300 ]; do
    state=$(systemctl is-active multi-user.target)
    [ "$state" = active ] && break
    [ -z "$(systemctl list-jobs --no-legend --plain multi-user.target)" ] && [ $count -gt 5 ] && break
    count=$((count + 1))
    sleep 1
done
{{ echo {_BEGIN}; echo "multi-user $state"; {_STATE}; echo {_END}; }} > /dev/PORT 2>&1
"""


def _script(port: str) -> str:
    return _SCRIPT.replace("PORT", port)


@frozen
class Account:
    """An account whose password is known."""

    name: str
    password: str


@frozen
class Proof:
    """What a machine said of itself.

    Attributes:
        stage: whether the stage `boot` ran our commands.
        multi_user: the state of multi-user.target, "" where it was not told.
        system: the state of the system as a whole, such as `running` or `degraded`.
        etc_writable: whether /etc can be written, None where that was not told.
        failed: units that failed.
        complete: whether all of it came.
    """

    stage: bool = False
    multi_user: str = ""
    system: str = ""
    etc_writable: bool | None = None
    failed: tuple[str, ...] = ()
    complete: bool = False


def oem_members(port: str = "ttyS1") -> Iterator[Member]:
    """Yield the files of the OEM partition: a cloud-config in whose stage `boot` the machine says how it is.

    Args:
        port: the kernel's name of the serial port that it writes to.
    """
    lines = "\n".join(f"          {line}" for line in _script(port).splitlines())
    yield text_file(
        "/99_cosinspect.yaml",
        "#cloud-config\n"
        'name: "Proof of life"\n'
        "stages:\n"
        "  boot:\n"
        '    - name: "Say how the machine is"\n'
        "      files:\n"
        "      - path: /run/cosinspect-proof.sh\n"
        "        permissions: 0700\n"
        "        owner: 0\n"
        "        group: 0\n"
        f"        content: |\n{lines}\n"
        "      commands:\n"
        "      - setsid sh /run/cosinspect-proof.sh < /dev/null > /dev/null 2>&1 &\n",
        0o600,
    )


_UNITS = "/etc/systemd/system"
_UNIT = f"""\
[Unit]
Description=Say how the machine is

[Service]
ExecStart=/bin/sh {_UNITS}/cosinspect-proof.sh
"""


def unit_members(rootfs: Rootfs, port: str = "ttyS1") -> tuple[Member, ...]:
    """Return a unit that systemd starts with multi-user.target, where the tree is the root of a plain disk.

    The result is empty where the image has files of these names, or links above them.
    """
    directories, path = [], ""
    for name in f"{_UNITS}/multi-user.target.wants".split("/")[1:]:
        path += f"/{name}"
        found = rootfs.trace(path, follow=False)
        if found.entry is None:
            directories.append(directory(path))
        elif found.hops or found.entry.type != "dir":
            return ()
    files = (
        text_file(f"{_UNITS}/cosinspect-proof.sh", _script(port)),
        text_file(f"{_UNITS}/cosinspect-proof.service", _UNIT),
        Member(f"{path}/cosinspect-proof.service", "symlink", 0o777, link="../cosinspect-proof.service"),
    )
    if any(rootfs.trace(each.path, follow=False).entry is not None for each in files):
        return ()
    return (*directories, *files)


def login_commands() -> str:
    """Return what somebody types who has logged in."""
    begin, end = (f"{mark[:4]}''{mark[4:]}" for mark in (_BEGIN, _END))
    return f'SYSTEMD_PAGER=; export SYSTEMD_PAGER; echo {begin}; echo "multi-user $(systemctl is-active multi-user.target)"; {_STATE}; echo {end}\n'


def read_proof(text: str) -> Proof:
    """Read what a machine wrote; the last whole block counts."""
    stage = f"{_BEGIN} stage" in text
    begin = text.rfind(f"{_BEGIN}\n")
    if begin < 0:
        return Proof(stage=stage)
    block, mark, _ = text[begin + len(_BEGIN) :].partition(_END)
    found: dict[str, str] = {}
    failed: list[str] = []
    for line in block.splitlines():
        name, _, value = line.strip().partition(" ")
        if name == "failed" and len(failed) < _FAILED:
            failed.append(value[:100])
        else:
            found[name] = value[:100]
    etc = found.get("etc")
    return Proof(
        stage, found.get("multi-user", ""), found.get("system", ""), None if etc is None else etc == "writable", tuple(failed),
        bool(mark),
    )  # fmt: skip


_ENTITY = re.compile(r"""username:\s*["']?([a-z_][\w-]*)["']?\s+password:\s*["']?([^"'\s$!*]+)["']?\s""")
_USER = re.compile(
    r"""^\s+["']?([a-z_][\w-]*)["']?:\s*\n\s+passwd:\s*["']?([^"'\s$!*]+)["']?\s""", re.MULTILINE
)


def find_accounts(rootfs: Rootfs) -> tuple[Account, ...]:
    """Return the accounts to which the image's own cloud-configs give a password that can be read."""
    found: dict[str, Account] = {}
    for pattern in ("/system/oem/*.y*ml", "/oem/*.y*ml", "/usr/local/cloud-config/*.y*ml"):
        for entry in rootfs.glob(pattern):
            if entry.type != "file" or entry.size > 1 << 20:
                continue
            text = rootfs.read_text(entry.path)
            for name, password in (*_ENTITY.findall(text), *_USER.findall(text)):
                found.setdefault(name, Account(name, password))
    return tuple(sorted(found.values(), key=lambda each: each.name != "root"))
