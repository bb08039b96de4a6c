"""yip's schema and behaviour by version: the fields of its structures, and how it reads files and directories.

The tables follow `pkg/schema` and `pkg/executor` of github.com/mudler/yip at the commits and tags 088f39125cf7,
2617d71ea02a (the yip of elemental-cli in 2022), 91e88dfb6648, v1.0.0, v1.1.0, v1.3.0, v1.4.5, v1.6.0, v1.7.0, v1.9.2,
v1.9.3, v1.10.0 to v1.13.0, v1.15.0 to v1.17.0, v1.21.0, v1.23.1 and v1.25.0, and of github.com/rancher/yip at v1.4.10,
v1.9.2 and v1.9.6 (elemental toolkit v2). A type is written as in Go; after an `@` is the first version with the field, or `mudler` if rancher's
fork does not have it.
"""

from __future__ import annotations

import re
from functools import cache

from attrs import evolve, frozen

from cosinspect.formats.yip.go_yaml import GoType
from cosinspect.formats.yip.nodes import Dialect

__all__ = ["CLOUD_CONFIG", "DOCUMENT", "Yip", "yip"]

DOCUMENT = "Document"
CLOUD_CONFIG = "CloudConfig"

_YIP = {
    DOCUMENT: "name string, stages map[]Stage",
    "Stage": (
        "commands []string, files []File, downloads []Download, directories []Directory, if string, "
        "ensure_entities []Entity, delete_entities []Entity, dns DNS, hostname string, name string, "
        "sysctl map string, authorized_keys map[]string, node string, users map User, modules []string@mudler, "
        "systemctl Systemctl, environment map string, environment_file string, datasource DataSource, layout Layout, "
        "systemd_firstboot map string, timesyncd map string, git Git, after []Dependency@1.0, "
        "packages Packages@1.13, unpack_images []Image@1.14, only_os string@1.14, only_os_version string@1.14, "
        "only_arch string@1.14, only_service_manager string@1.14, if_files map[]string@1.18, "
        "package_pins map string@1.22"
    ),
    "Entity": "path string, entity string",
    "File": (
        "path string, permissions uint32, owner int, group int, content string, encoding string, ownerstring string"
    ),
    "Download": (
        "path string, url string, permissions uint32, owner int, group int, timeout int, ownerstring string"
    ),
    "Directory": "path string, permissions uint32, owner int, group int",
    "DataSource": "providers []string, path string, userdata_name string@1.17",
    "Git": "auth Auth, url string, path string, branch string, branch_only bool",
    "Auth": "username string, password string, private_key string, insecure bool, public_key string",
    "User": (
        "name string, passwd string, ssh_authorized_keys []string, gecos string, homedir string, no_create_home bool, "
        "primary_group string, groups []string, no_user_group bool, system bool, no_log_init bool, shell string, "
        "lock_passwd bool, uid string"
    ),
    "Layout": "device *Device, expand_partition *Expand, add_partitions []Partition",
    "Device": "label string, path string, init_disk bool@1.18, disk_name string@1.18",
    "Expand": "size uint64",
    "Partition": "fsLabel string, size uint64, pLabel string, filesystem string, bootable bool@1.18",
    "Dependency": "name string",
    "Image": "source string, target string, platform string",
    "Override": "service string, content string, name string",
    "Systemctl": "enable []string, disable []string, start []string, mask []string, overrides []Override@1.13",
    "Packages": "install []string, remove []string, refresh bool, upgrade bool",
    "DNS": "nameservers []string, search []string, options []string, path string",
    # cloud-init's keys (pkg/schema/cloudinit, before 0.11 github.com/rancher-sandbox/cloud-init).
    CLOUD_CONFIG: (
        "ssh_authorized_keys []string, write_files []CloudFile, hostname string, users []CloudUser, runcmd []string, "
        "growpart GrowPart, milpa_files []CloudFile"
    ),
    "CloudFile": "encoding string, content string, owner string, path string, permissions string",
    "CloudUser": (
        "name string, passwd string, ssh_authorized_keys []string, coreos_ssh_import_github string, "
        "coreos_ssh_import_github_users []string, coreos_ssh_import_url string, gecos string, homedir string, "
        "no_create_home bool, primary_group string, groups []string, no_user_group bool, system bool, "
        "no_log_init bool, shell string, lock_passwd bool, uid string"
    ),
    "GrowPart": "mode string, devices []string",
}
_FIELD = re.compile(r"(\w+) (\S+(?: \w+)?)")


@frozen
class Yip:
    """One version of yip.

    Attributes:
        version: as two numbers.
        name: for messages.
        yaml: the go-yaml that reads yip's own documents.
        cloud_init_yaml: the go-yaml that reads cloud-init's.
        dashes: whether `-` in cloud-init's keys is read as `_`.
        header_lines: the number of first lines in which `#cloud-config` counts, after comments and blank lines.
        whole_directory: whether one file that cannot be decoded prevents the whole directory from running.
        network_keys: whether keys of GitHub and GitLab are fetched in the stage `network`.
        rancher: whether it is rancher's fork.
    """

    version: tuple[int, int]
    name: str
    yaml: Dialect
    cloud_init_yaml: Dialect
    dashes: bool
    header_lines: int
    whole_directory: bool
    network_keys: bool
    rancher: bool = False

    def type(self, name: str) -> GoType:
        """Return a structure of the schema, `DOCUMENT` or `CLOUD_CONFIG`."""
        return _structure(name, self.version, self.rancher)


_VERSIONS = (
    Yip((0, 9), "0.10", "v2", "v1", True, 1, False, False),
    Yip((0, 11), "0.11", "v2", "v1", False, 1, False, False),
    Yip((1, 0), "1.0", "v2", "v1", False, 1, True, False),
    Yip((1, 10), "1.10", "v2", "v3", False, 1, True, False),
    Yip((1, 17), "1.17", "v2", "v3", False, 1, True, True),
    Yip((1, 21), "1.21", "v3", "v3", False, 1, True, True),
    Yip((1, 22), "1.22", "v3", "v3", False, 10, True, True),
)
# rancher's fork decodes with go-yaml v3 from its start, and skips single files again from 1.9.6 on (1.9.3 to
# 1.9.5 were not examined).
_RANCHER = Yip((1, 4), "1.4", "v3", "v3", False, 1, True, False, rancher=True)
_RANCHER_EACH_FILE = (1, 9, 6)


@cache
def yip(version: str) -> Yip:
    """Return the properties of a version: `0.10.1`, `v1.9.3`, or `rancher-1.9.6` for rancher's fork.

    A version that is not in the tables is treated as the latest one before it, and one before 0.9 as 0.9.

    Raises:
        ValueError: the version does not start with two numbers.
    """
    rancher = version.startswith("rancher-")
    found = re.match(r"v?([0-9]{1,6})\.([0-9]{1,6})(?:\.([0-9]{1,6}))?", version.removeprefix("rancher-"))
    if found is None:
        raise ValueError(f"expected a version of yip such as 1.9.3, found {version!r}")
    major, minor, patch = int(found[1]), int(found[2]), int(found[3] or 0)
    if (major, minor) == (0, 0):  # a commit before the tags that Go understands: of 2022 at the latest
        major, minor = 0, 10
    number = (major, minor)
    known = [each for each in _VERSIONS if each.version <= number]
    base = _RANCHER if rancher else max(known, default=_VERSIONS[0], key=_of)
    each_file = not base.whole_directory or (rancher and (major, minor, patch) >= _RANCHER_EACH_FILE)
    name = f"{major}.{minor}.{patch}" if found[3] else f"{major}.{minor}"
    return evolve(
        base,
        version=min(number, (1, 9)) if rancher else max(number, (0, 9)),
        name=f"{name} of rancher" if rancher else name,
        whole_directory=not each_file,
    )


def _of(each: Yip) -> tuple[int, int]:
    return each.version


@cache
def _structure(name: str, version: tuple[int, int], rancher: bool) -> GoType:
    fields: dict[str, GoType] = {}
    for field in _YIP[name].split(", "):
        written, _, since = field.partition("@")
        if since == "mudler":
            if rancher:
                continue
        elif since and version < tuple(map(int, since.split("."))):
            continue
        match = _FIELD.fullmatch(written)
        assert match is not None  # noqa: S101 - the table is ours
        fields[match[1]] = _type(match[2], version, rancher)
    return GoType("struct", fields=fields)


def _type(text: str, version: tuple[int, int], rancher: bool) -> GoType:
    if text.startswith("[]"):
        return GoType("slice", _type(text[2:], version, rancher))
    if text.startswith("*"):
        return GoType("pointer", _type(text[1:], version, rancher))
    if text.startswith("map"):
        return GoType("map", _type(text[3:].lstrip(), version, rancher))
    if text in _YIP:
        return _structure(text, version, rancher)
    return GoType(text)
