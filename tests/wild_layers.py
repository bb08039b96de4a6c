"""Layers of which every header field is drawn at random, for judges that read them for real."""

import re
import struct

from hypothesis import strategies as st

from cosinspect.testing import tar_header
from raw_tar import END, GNU, V7, extended, padded, records

PATHS = [
    "a",
    "a/x",
    "a/b",
    "a/b/x",
    "lib",
    "lib/x",
    "lib/b",
    "lib/b/x",
    "t",
    "u",
    "c",
    "c/lib",
    "c/lib/x",
    "c/lib/b",
]
MARKERS = [
    "a/.wh.x",
    ".wh.a",
    ".wh.lib",
    "lib/.wh.x",
    "lib/.wh.b",
    ".wh.t",
    ".wh.u",
    "c/.wh.lib",
    "a/.wh..wh..opq",
    ".wh..wh..opq",
    "lib/.wh..wh..opq",
]
ODD = [
    "/a/x",
    "./a/x",
    "a/../t",
    "../t",
    "/.wh.t",
    "/t",
    "a//x",
    "c/",
    "a/.wh.",
    ".wh..",
    "a/b/.wh...",
    ".wh..wh.plnk/1",
    ".wh..wh.aufs",
    ".wh.d/k",
    ".",
    "/",
    "//",
    "a/.",
    "..",
]
LONG = [
    "n" * 255,
    "n" * 256,
    f"{'m' * 300}/x",
    f".wh.{'n' * 251}",
    f".wh.{'n' * 255}",
    f".wh.{'n' * 256}",
    "é" * 127,
    "é" * 128,
]
TARGETS = [
    "a",
    "/a",
    "a/b",
    "../a",
    "lib",
    "/c/lib",
    "..",
    "../../..",
    "t",
    "lib/b",
    "c",
    "u",
    "c/../a",
    "lib/../t",
    "gone/../a",
    "gone/../../t",
    "gone/x",
    "t/../a",
    ".",
]
HARD_TARGETS = [
    *PATHS,
    *TARGETS,
    "lib/../t",
    "lib/./x",
    "t/",
    "a/",
    "lib/",
    "lib/..",
    "./t",
    "//t",
    "u/../a/x",
    "a/b/../../t",
]
NAMES = st.one_of(
    *[st.sampled_from(PATHS)] * 5,
    st.sampled_from(MARKERS),
    st.sampled_from(MARKERS),
    st.sampled_from(ODD),
    st.sampled_from(LONG),
)
TYPES = st.one_of(
    *[st.sampled_from(b"0025511")] * 3, st.sampled_from(b"0123456"), st.sampled_from(b"\x0034g67gSZDxV")
)
OWNERS = st.one_of(
    *[st.sampled_from([0, 7])] * 4, st.sampled_from([2**31, 2**32 - 2, 2**32 - 1, 2**32 + 5, -1, -5, 2**40])
)
MODES = st.one_of(
    *[st.sampled_from([0o644, 0o755, 0o4755, 0o2755, 0o1777, 0o700])] * 4,
    st.sampled_from([0, 0o100644, 0o40755, 0o7777777, 0o10000000, -1, 2**40]),
)
DEVICES = st.one_of(
    *[st.sampled_from([(0, 0), (1, 3)])] * 4,
    st.tuples(*[st.sampled_from([0, 1, 255, 256, 4095, 4096, 2**20, 2**21 - 1, 2**21, -1, 2**31])] * 2),
)
SIZES = st.one_of(*[st.just(None)] * 6, st.sampled_from([0, 1, 5, 512, 2**33, -1, -7]))


def _capability(revision, extra=b""):
    return struct.pack("<I", revision) + bytes(16) + extra


def _acl(*entries, version=2):
    return struct.pack("<I", version) + b"".join(struct.pack("<HHI", *each) for each in entries)


_PLAIN_ACL = [(1, 6, 2**32 - 1), (4, 4, 2**32 - 1), (32, 4, 2**32 - 1)]
ATTRIBUTES = st.one_of(
    st.sampled_from(
        [
            (b"user.a", b"1"), (b"user.", b"1"), (b"", b"1"), (b"security.", b"x"), (b"trusted.a", b"1"), (b"trusted.", b"1"),
            (b"odd.a", b"1"), (b"system.a", b"1"), (b"noname", b"1"), (b"user." + b"n" * 250, b"1"), (b"user." + b"n" * 251, b"1"),
            (b"trusted." + b"n" * 300, b"1"), (b"odd." + b"n" * 300, b"1"), (b"user.big", b"v" * 65537),
        ]
    ),
    st.tuples(
        st.just(b"security.capability"),
        st.sampled_from(
            [
                _capability(0x02000000), _capability(0x02000001), _capability(0x02000002), _capability(0x01000000), b"", b"x" * 20,
                _capability(0x03000001, bytes(4)), _capability(0x03000000, b"\xff" * 4), _capability(0x02000000, bytes(4)),
                _capability(0x03000000), struct.pack("<I", 0x01000000) + bytes(8), b"x", _capability(0x03000000, b"\x01\0\0\0"),
            ]
        ),
    ),
    st.tuples(
        st.sampled_from([b"system.posix_acl_access", b"system.posix_acl_default"]),
        st.sampled_from(
            [
                b"", b"x", _acl(), _acl(version=3), _acl(*_PLAIN_ACL), _acl(*_PLAIN_ACL[::-1]), _acl(*_PLAIN_ACL) + b"x",
                _acl(_PLAIN_ACL[0], (2, 7, 5), _PLAIN_ACL[1], (16, 7, 2**32 - 1), _PLAIN_ACL[2]),
                _acl(_PLAIN_ACL[0], (2, 7, 5), *_PLAIN_ACL[1:]), _acl((1, 8, 0), *_PLAIN_ACL[1:]), _acl((3, 4, 0)),
                _acl(_PLAIN_ACL[0], (2, 7, 2**32 - 1), _PLAIN_ACL[1], (16, 7, 0), _PLAIN_ACL[2]), _acl(*_PLAIN_ACL[:2]),
            ]
        ),
    ),
)  # fmt: skip
RECORDS = st.one_of(
    st.tuples(st.just(b"path"), NAMES.map(str.encode)),
    st.tuples(st.just(b"linkpath"), st.sampled_from(HARD_TARGETS).map(str.encode)),
    st.tuples(st.just(b"size"), st.sampled_from([b"0", b"1", b"512", b"-3"])),
    st.tuples(st.sampled_from([b"uid", b"gid"]), OWNERS.map(lambda number: b"%d" % number)),
    st.tuples(
        st.sampled_from([b"mtime", b"atime", b"ctime"]), st.sampled_from([b"1.5", b"-3.25", b"9" * 18, b"0"])
    ),
    st.tuples(st.sampled_from([b"uname", b"comment"]), st.sampled_from([b"u", "ü".encode(), b"u" * 40])),
    ATTRIBUTES.map(lambda pair: (b"SCHILY.xattr." + pair[0], pair[1])),
    ATTRIBUTES.map(lambda pair: (b"SCHILY.xattr." + pair[0], pair[1])),
)
SPARSE_NAMES = st.sampled_from([b"a/x", b"t", b"a/\0x", b".wh.\0", b"u\0"])


class Wild:
    """An archive in parts, which shows its headers where a test fails."""

    def __init__(self, parts, cut=None, at=None):
        self.data = (b"".join(parts) + END)[:cut]
        if at is not None and self.data:
            at %= len(self.data)
            self.data = self.data[:at] + bytes([self.data[at] ^ 1]) + self.data[at + 1 :]
        self._parts = parts
        self._damage = cut, at

    def __repr__(self):
        return f"Wild({[_short(part) for part in self._parts]}, {self._damage})"


def _short(part):  # what is not zeros
    return re.sub(rb"\0{4,}", lambda found: b"<%d>" % len(found[0]), part[:3000])


@st.composite
def entries(draw):
    """One entry, with whatever stands before it."""
    kind = bytes([draw(TYPES)])
    name = draw(NAMES)
    link = draw(st.sampled_from(HARD_TARGETS if kind == b"1" else TARGETS)) if kind in b"12" else ""
    body = draw(st.sampled_from([b"", b"1", b"two"])) if kind in b"\x0007Z" else b""
    size = draw(SIZES) if draw(st.integers(0, 3)) == 0 else None
    if size is None:
        size = len(body)
    elif kind not in b"123456" or kind == b"\0":
        size = len(body)  # a wrong size would make the rest of the archive this entry's content
    major, minor = draw(DEVICES)
    before = b""
    if draw(st.integers(0, 2)) == 0:
        pairs = dict(draw(st.lists(RECORDS, min_size=1, max_size=3)))
        if kind not in b"123456":
            pairs.pop(b"size", None)
        before = extended(records(*pairs.items()))
    elif kind == b"0" and draw(st.integers(0, 9)) == 0:
        sparse = (b"GNU.sparse.major", b"0"), (b"GNU.sparse.minor", b"1"), (b"GNU.sparse.numblocks", b"1")
        held = (b"GNU.sparse.map", b"0,%d" % len(body)), (b"GNU.sparse.name", draw(SPARSE_NAMES))
        before = extended(records(*sparse, *held))
    if kind in b"xg":
        body = records(*dict(draw(st.lists(RECORDS, max_size=2))).items())
        size = len(body)
    magic = draw(st.sampled_from([b"ustar\x0000"] * 4 + [GNU, V7]))
    header = tar_header(
        name, typeflag=kind, mode=draw(MODES), uid=_fitting(draw(OWNERS)), gid=_fitting(draw(OWNERS)), size=size, linkname=link,
        major=major, minor=minor, magic=GNU if kind == b"S" else magic,
    )  # fmt: skip
    if len(name) > 100:
        before += extended(records((b"path", name.encode())))
    return before + header + padded(body)


def _fitting(number):
    return max(number, -(2**54))


BASE = b"".join(
    (
        tar_header("a", typeflag=b"5", mode=0o755), tar_header("a/x", size=4) + padded(b"base"),
        tar_header("a/b", typeflag=b"5", mode=0o2700, gid=5), tar_header("a/b/x", size=4, mode=0o600) + padded(b"base"),
        tar_header("lib", typeflag=b"2", mode=0o777, linkname="a"), tar_header("t", size=4) + padded(b"base"),
    )
)  # fmt: skip
_PARTS = st.lists(entries(), max_size=5)
LAYERS = st.one_of(
    *[_PARTS.map(Wild)] * 8,
    st.builds(Wild, _PARTS, cut=st.integers(0, 6000)),
    st.builds(Wild, _PARTS, at=st.integers(0, 6000)),
)
STACKS = st.one_of(
    st.lists(LAYERS, min_size=1, max_size=3).map(lambda layers: [Wild([BASE]), *layers]),
    st.lists(LAYERS, min_size=1, max_size=4),
)
"""Archives, bottom first."""
