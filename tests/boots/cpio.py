"""Reads a plain cpio archive of the form newc into what `cpio_archive` writes, so that members can be changed."""

import stat

from cosinspect.testing import Device, Directory, File, Symlink


def read_cpio(data):
    """Give the members of an archive by their paths; hard links become files of their own."""
    members, contents, waiting, at = {}, {}, {}, 0
    while data[at : at + 6] in (b"070701", b"070702"):
        fields = [int(data[at + 6 + 8 * number : at + 14 + 8 * number], 16) for number in range(13)]
        inode, mode, size, name_size = fields[0], fields[1], fields[6], fields[11]
        name = data[at + 110 : at + 110 + name_size - 1].decode("utf-8", "surrogateescape")
        start = at + -(-(110 + name_size) // 4) * 4
        body = data[start : start + size]
        at = start + -(-size // 4) * 4
        if name == "TRAILER!!!":
            break
        kind = stat.S_IFMT(mode)
        if kind == stat.S_IFDIR:
            members[name] = Directory(mode=stat.S_IMODE(mode))
        elif kind == stat.S_IFLNK:
            members[name] = Symlink(body)
        elif kind == stat.S_IFREG:
            if fields[4] > 1 and body:
                contents[inode] = body
            members[name] = File(body, mode=stat.S_IMODE(mode))
            if fields[4] > 1 and not body:
                waiting[name] = (inode, mode)
        else:
            members[name] = Device(
                "char" if kind == stat.S_IFCHR else "block", fields[9], fields[10], mode=stat.S_IMODE(mode)
            )
    for name, (inode, mode) in waiting.items():
        members[name] = File(contents.get(inode, b""), mode=stat.S_IMODE(mode))
    return {name: entry for name, entry in members.items() if name not in (".", "")}
