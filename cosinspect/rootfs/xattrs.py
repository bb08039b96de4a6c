"""The extended attributes that Linux refuses, at which every unpacker stops.

Follows Linux 6.1 (fs/xattr.c, security/commoncap.c, fs/posix_acl.c) and containerd 1.7.29, which ignores
attributes that a file system does not support, those of `trusted.`, and those of `user.` on what is not a
file or directory.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

__all__ = ["refused_attribute"]

NAME_BYTES = 255
"""XATTR_NAME_MAX (linux/limits.h)."""
VALUE_BYTES = 65536
"""XATTR_SIZE_MAX (linux/limits.h)."""

_CAPABILITY = "security.capability"
_REVISION_2, _REVISION_3, _EFFECTIVE = 0x02000000, 0x03000000, 1
_NO_ID = 0xFFFFFFFF

_ACLS = {"system.posix_acl_access": "access", "system.posix_acl_default": "default"}
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 1, 2, 4, 8, 16, 32


def refused_attribute(xattrs: Mapping[str, str], kind: str) -> tuple[str, str] | None:
    """Return the first attribute that cannot be set, with the reason; None if all can be set, or are ignored.

    Args:
        xattrs: by name, values with surrogate escapes.
        kind: of the file: `file`, `dir`, `symlink` and so on.
    """
    for name, text in xattrs.items():
        if name.startswith("trusted."):
            continue
        value = text.encode("utf-8", "surrogateescape")
        reason = _refusal(name, value, kind)
        if reason:
            return name, reason
    return None


def _refusal(name: str, value: bytes, kind: str) -> str:
    length = len(name.encode("utf-8", "surrogateescape"))
    if not 0 < length <= NAME_BYTES:
        return f"a name of {length} bytes, Linux takes 1 to {NAME_BYTES}"
    if len(value) > VALUE_BYTES:
        return f"a value of {len(value)} bytes, Linux takes {VALUE_BYTES} at most"
    if name == _CAPABILITY:
        return (
            ""
            if not value or _is_capability(value)
            else "a value that is no capability set of revision 2 or 3"
        )
    if name == "security." or (name == "user." and kind in ("file", "dir")):
        return "a name that ends with its namespace"
    if name in _ACLS and value:
        return _acl_refusal(value, kind, default=_ACLS[name] == "default")
    return ""


def _is_capability(value: bytes) -> bool:
    """Return whether Linux accepts a value as a capability set (commoncap.c: cap_convert_nscap)."""
    if len(value) not in (20, 24):
        return False
    revision = int.from_bytes(value[:4], "little") & ~_EFFECTIVE
    if len(value) == 20:
        return revision == _REVISION_2
    root = int.from_bytes(value[20:], "little")
    return revision == _REVISION_3 and root != _NO_ID


def _acl_refusal(value: bytes, kind: str, *, default: bool) -> str:
    """Return why an access control list cannot be set (posix_acl.c: posix_acl_from_xattr, set_posix_acl, posix_acl_valid)."""
    malformed = "a value that is no access control list"
    if len(value) < 4:
        return malformed
    if value[:4] != b"\x02\0\0\0":
        return ""  # an unknown version is not supported and therefore ignored
    if (len(value) - 4) % 8:
        return malformed
    entries = list(struct.iter_unpack("<HHI", value[4:]))
    if not entries:
        return ""
    for tag, _, number in entries:
        if tag not in (_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER):
            return malformed
        if tag in (_USER, _GROUP) and number == _NO_ID:
            return malformed
    if kind == "symlink":
        return ""
    if default and kind != "dir":
        return "a default access control list on what is no directory"
    return "" if _is_ordered([(tag, bits) for tag, bits, _ in entries]) else malformed


def _is_ordered(entries: list[tuple[int, int]]) -> bool:
    state = _USER_OBJ
    needs_mask = False
    for tag, bits in entries:
        if bits & ~7:
            return False
        if tag in (_USER, _GROUP):
            if tag != state:
                return False
            needs_mask = True
        elif tag == _USER_OBJ and state == _USER_OBJ:
            state = _USER
        elif tag == _GROUP_OBJ and state == _USER:
            state = _GROUP
        elif tag == _MASK and state == _GROUP:
            state = _OTHER
        elif tag == _OTHER and (state == _OTHER or (state == _GROUP and not needs_mask)):
            state = 0
        else:
            return False
    return state == 0
