"""Single odd layers, one oddity each, over a small base: what a reader's source suggests that nobody honest writes.

`tests/compat` has real readers unpack each of them.
"""

from cosinspect.testing import tar_header
from raw_tar import (
    END,
    GNU,
    V7,
    entry,
    extended,
    gnu_long,
    old_gnu_sparse,
    padded,
    patched,
    pax_sparse,
    records,
)
from wild_layers import BASE

__all__ = ["ODD_LAYERS"]

LOWER = BASE + END


def header(name, **k):
    return tar_header(name, **k)


def symlink(name, target, **k):
    return tar_header(name, typeflag=b"2", linkname=target, **k)


def hardlink(name, target, **k):
    return tar_header(name, typeflag=b"1", linkname=target, **k)


def directory(name, **k):
    return tar_header(name, typeflag=b"5", mode=0o755, **k)


def global_header(name, *recs):
    b = records(*recs)
    return entry(name, b, typeflag=b"g")


def pax(*recs):
    return extended(records(*recs))


XATTR = b"SCHILY.xattr."
ODD_LAYERS = {}
"""Archives by name, bottom first."""


def odd(name, *parts, lower=LOWER, end=END):
    ODD_LAYERS[name] = [lower, b"".join(parts) + end]


# -- PAX global headers, and entries of unknown types
odd("g-two-wh-prefixes", global_header("a/.wh..wh.x"), entry("new"))
odd("g-after-x-path", pax((b"path", b"t")), global_header("a/b"), entry("new"))
odd("g-after-L", gnu_long(b"t"), global_header("a"), entry("new"))
odd("g-linkpath", global_header("z", (b"linkpath", b"a")), hardlink("new", "t"))
odd("g-path-whiteout", global_header("z", (b"path", b"a/.wh.x")), entry("new"))
odd("g-path-root", global_header("z", (b"path", b"/")), entry("new"))
odd("g-path-dot", global_header("."), entry("new"))
odd("g-path-escape", global_header("../a"), entry("new"))
odd("g-path-long", global_header("z", (b"path", b"n" * 300)), entry("new"))
odd("g-through-link", global_header("lib/x"), entry("new"))
odd("g-through-link-wh", global_header("lib/.wh.x"), entry("new"))
odd("g-xattr-size", global_header("t", (b"size", b"512"), (XATTR + b"user.a", b"1")), entry("new"))
odd("g-mode", entry("t", records((b"comment", b"x")), typeflag=b"g", mode=1 << 21), entry("new"))
odd("g-device", entry("t", records((b"comment", b"x")), typeflag=b"g", major=1 << 21), entry("new"))
odd("g-uid", entry("t", records((b"comment", b"x")), typeflag=b"g", uid=7), entry("new"))
odd("g-last-no-end", global_header("a"), end=b"")
odd("g-over-own-entry", entry("a/x", b"up"), global_header("a/x"), entry("new"))
odd("g-under-file", entry("f"), global_header("f/x"), entry("new"))
odd("g-gnu-magic", entry("a", records((b"comment", b"x")), typeflag=b"g", magic=GNU), entry("new"))
odd("g-v7-magic", entry("a", records((b"comment", b"x")), typeflag=b"g", magic=V7), entry("new"))
odd("g-empty-key-value", global_header("a", (b"comment", b"")), entry("new"))
odd(
    "g-sparse-records",
    global_header("a", (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"t")),
    entry("new"),
)
odd("unknown-marker", tar_header("a/.wh.x", typeflag=b"V"), entry("new"))
odd("cont-type-7", entry("c7", b"body", typeflag=b"7"), entry("new"))
odd("gnu-D", entry("a", b"Yx\0", typeflag=b"D", magic=GNU), entry("new"))
odd("gnu-N", entry("nn", b"Rename a to b\n", typeflag=b"N", magic=GNU), entry("new"))
# -- what Go's tar writer refuses
BIG = b"c" * (600 * 1024)
odd(
    "K-plus-pax",
    entry("t2", b"z"),
    pax((b"comment", BIG)),
    gnu_long(b"./" * 300000 + b"t2", b"K"),
    hardlink("new", ""),
    entry("last"),
)
odd(
    "K-plus-small-pax",
    entry("t2", b"z"),
    pax((b"comment", b"c" * (400 * 1024))),
    gnu_long(b"./" * 400000 + b"t2", b"K"),
    hardlink("new", ""),
    entry("last"),
)
odd(
    "K-alone-1M",
    entry("t2", b"z"),
    gnu_long(b"./" * 520000 + b"t2", b"K"),
    hardlink("new", ""),
    entry("last"),
)
odd(
    "L-clean-plus-pax", pax((b"comment", BIG)), gnu_long(b"./" * 400000 + b"new2"), header("x"), entry("last")
)
odd("pax-1M-exact", pax((b"comment", b"c" * (1048576 - 20))), entry("f"), entry("last"))
odd(
    "pax-1M-path",
    pax(
        (b"comment", b"c" * (1048576 - 20 - 16)),
    ),
    header("n" * 90 + "é" * 5),
    entry("last"),
)
odd("pax-1M-uid", pax((b"comment", b"c" * (1048576 - 20))), header("f", uid=1 << 30), entry("last"))
odd("pax-1M-mtime", pax((b"comment", b"c" * (1048576 - 20))), header("f", mtime=1 << 40), entry("last"))
odd("pax-1M-longlink", pax((b"comment", b"c" * (1048576 - 20))), hardlink("hh", "é/../t3"), entry("last"))
odd("uname-nonascii", patched(header("f"), {265: b"\xff\xfe"}), entry("last"))
odd("uname-100", pax((b"uname", b"u" * 2000)), header("f"), entry("last"))
odd("mtime-neg", header("f", mtime=-5), entry("last"))
odd("mtime-big", header("f", mtime=1 << 62), entry("last"))
odd("mtime-year1", header("f", mtime=-62135596800), entry("last"))
odd("atime-gnu", patched(header("f", magic=GNU), {345: b"77777777777 "}), entry("last"))
odd("linkname-slash-on-file", header("f", linkname="a/"), entry("last"))
odd("linkname-on-dir", directory("dd", linkname="x" * 100), entry("last"))
odd("hardlink-slash-name", entry("q"), hardlink("hl/", "q"), entry("last"))
odd("symlink-slash-name", symlink("sl/", "q"), entry("last"))
odd("regA-slash", tar_header("ra/", typeflag=b"\0"), entry("ra/x"), entry("last"))
odd("reg-slash-size", entry("rs/", b"abc"), entry("last"))
odd(
    "size-base256", patched(header("f"), {124: b"\x80" + bytes(10) + b"\x03"}) + padded(b"abc"), entry("last")
)
odd("fifo-devnum", tar_header("ff", typeflag=b"6", major=1 << 21), entry("last"))
odd("name-with-nul-L", gnu_long(b"aa\0bb"), header("x"), entry("last"))
odd("name-newline", entry("a\nb"), entry("last"))
odd("name-notutf8", entry(b"a\xff\xfeb"), hardlink("hn", b"a\xff\xfeb"), entry("last"))
odd("pax-path-notutf8", pax((b"path", b"p\xff")), header("q"), entry("last"))
odd("pax-linkpath-empty", pax((b"linkpath", b"")), symlink("s", "t"), entry("last"))
odd("symlink-empty", symlink("s", ""), entry("last"))
odd("hardlink-empty", hardlink("hh", ""), entry("last"))
odd("hardlink-self", entry("q"), hardlink("q", "q"), entry("last"))
odd(
    "hardlink-to-fifo",
    tar_header("ff", typeflag=b"6"),
    hardlink("h1", "ff", mode=0o600, uid=9),
    entry("last"),
)
odd("hardlink-to-symlink-mode", symlink("s", "gone"), hardlink("h1", "s", mode=0o600, uid=9), entry("last"))
odd(
    "hardlink-to-device",
    tar_header("dv", typeflag=b"3", major=1, minor=3),
    hardlink("h1", "dv", mode=0o600),
    entry("last"),
)
odd(
    "hardlink-xattr-symlink",
    symlink("s", "gone"),
    pax((XATTR + b"user.a", b"1")),
    hardlink("h1", "s"),
    entry("last"),
)
odd("hardlink-target-wh", entry("q"), entry(".wh.q"), hardlink("h1", "q"))
odd(
    "hardlink-link-chain",
    entry("q"),
    hardlink("h1", "q"),
    hardlink("h2", "h1", mode=0o4755, uid=3),
    entry("last"),
)
odd("hardlink-abs-symlink", entry("q/r", b"1"), symlink("s", "/q"), hardlink("h1", "s/r"), entry("last"))
odd("hardlink-drive", entry("c:x", b"1"), hardlink("h1", "c:x"), entry("last"))
odd("symlink-drive", symlink("s", "c:/x"), entry("last"))
odd("symlink-backslash", symlink("s", "..\\..\\x"), symlink("s2", "\\x"), entry("last"))
odd("symlink-dotdotdata", symlink("cfg/..data", "..2024"), symlink("cfg/f", "..data/f"), entry("last"))
odd("symlink-dotdotdata-root", symlink("..data", "x"), symlink("f", "..data/f"), entry("last"))
odd("hardlink-dotdot-root", entry("..q", b"1"), hardlink("f", "..q"), hardlink("dd/f", "..q"), entry("last"))
odd("name-backslash", entry("\\x"), entry("last"))
odd("name-backslash-mid", entry("a\\..\\..\\x"), entry("last"))
odd("name-backslash-fine", entry("a\\b"), entry("last"))
odd("name-drive-only", entry("c:"), entry("last"))
odd("name-drive-mid", entry("d/c:x"), entry("last"))
odd("name-digit-drive", entry("1:x"), entry("last"))
odd("wh-drive", entry("c:/.wh.x"), entry("last"))
odd("wh-backslash", entry(".wh.\\x"), entry("last"))
odd("opq-escape", entry("../.wh..wh..opq"), entry("last"))
odd("opq-dot", entry("./.wh..wh..opq"), entry("last"))
odd("opq-abs", entry("/a/.wh..wh..opq"), entry("last"))
odd("opq-hardlink", entry("q"), hardlink("a/.wh..wh..opq", "q"), entry("last"))
odd("opq-symlink-escape", symlink("a/.wh..wh..opq", "../../../x"), entry("last"))
odd("opq-dir", directory("a/.wh..wh..opq"), entry("a/.wh..wh..opq/y"), entry("last"))
odd("opq-g", global_header("a/.wh..wh..opq"), entry("last"))
odd("wh-size", tar_header("a/.wh.x", typeflag=b"5", size=4), entry("last"))
odd("wh-mode", tar_header("a/.wh.x", mode=1 << 22), entry("last"))
odd("wh-symlink-escape", symlink("a/.wh.x", "../../../x"), entry("last"))
odd("wh-below-file", entry("fl"), entry("fl/.wh.x"), entry("last"))
odd("wh-missing-dir", entry("nodir/.wh.x"), entry("last"))
odd("wh-wh-dir", directory(".wh.a"), entry(".wh.a/y"), entry("last"))
odd("wh-dotdot", entry("a/.wh..."), entry("last"))
odd("wh-then-dir", entry(".wh.a"), directory("a"), entry("a/n"), entry("last"))
odd("wh-opq-both", entry(".wh.a"), entry("a/.wh..wh..opq"), entry("a/n"))
odd("aufs-plnk", entry(".wh..wh.plnk/1", b"evil"), hardlink("hh", ".wh..wh.plnk/1"), entry("last"))
odd("aufs-orph", directory(".wh..wh.orph"), entry("last"))
# -- prefixes, magic numbers, extended headers
odd("prefix-whiteout", tar_header(".wh.x", prefix=b"a"), entry("last"))
odd("prefix-escape", tar_header("x", prefix=b"../.."), entry("last"))
odd("prefix-abs", tar_header("x", prefix=b"/a"), entry("last"))
odd("prefix-v7", tar_header("x", prefix=b"a", magic=V7), entry("last"))
odd("prefix-gnu-nonnum", patched(tar_header("x", magic=GNU), {345: b"a/b"}), entry("last"))
odd(
    "star",
    patched(tar_header("x", prefix=b"a"), {508: b"tar\0", 476: b"00000000000 00000000000 "}),
    entry("last"),
)
odd("L-then-x-path", gnu_long(b"fromL"), pax((b"path", b"fromX")), header("h"), entry("last"))
odd("x-then-L", pax((b"path", b"fromX")), gnu_long(b"fromL"), header("h"), entry("last"))
odd("L-whiteout", gnu_long(b"a/.wh.x"), header("h"), entry("last"))
odd("L-empty", gnu_long(b""), header("h"), entry("last"))
odd("L-slash", gnu_long(b"dir/"), header("h"), entry("last"))
odd("x-x", pax((b"path", b"one")), pax((b"uid", b"5")), header("h"), entry("last"))
odd("x-at-end", entry("f"), pax((b"path", b"one")))
odd("x-before-g", pax((b"path", b"one")), global_header("zz"), header("h"), entry("last"))
odd("x-size-truncates", pax((b"size", b"512")), entry("f", b"a" * 1024), entry("last"))
odd(
    "x-size-swallows",
    pax((b"size", b"1024")),
    header("f", size=0),
    entry("swallowed")[:512] + bytes(512),
    entry("last"),
)
odd("x-sparse-whiteout", pax_sparse("0.1", b"a/.wh.x", [], 0, b""), entry("last"))
odd("x-sparse-0.0", pax_sparse("0.0", b"sp", [(0, 1), (5, 2)], 9, b"abc"), entry("last"))
odd("x-sparse-1.0", pax_sparse("1.0", b"sp", [(0, 1), (5, 2)], 9, b"abc"), entry("last"))
odd(
    "x-sparse-dup-path",
    pax(
        (b"path", b"pp"),
        (b"GNU.sparse.major", b"0"),
        (b"GNU.sparse.minor", b"1"),
        (b"GNU.sparse.numblocks", b"0"),
        (b"GNU.sparse.map", b""),
        (b"GNU.sparse.name", b"nn"),
        (b"GNU.sparse.size", b"4"),
    ),
    header("h"),
    entry("last"),
)
odd(
    "x-sparse-huge-hole",
    pax(
        (b"GNU.sparse.major", b"0"),
        (b"GNU.sparse.minor", b"1"),
        (b"GNU.sparse.numblocks", b"0"),
        (b"GNU.sparse.map", b""),
        (b"GNU.sparse.name", b"nn"),
        (b"GNU.sparse.size", b"1000000"),
    ),
    header("h"),
    entry("last"),
)
odd(
    "x-sparse-on-dir",
    pax(
        (b"GNU.sparse.major", b"0"),
        (b"GNU.sparse.minor", b"1"),
        (b"GNU.sparse.numblocks", b"0"),
        (b"GNU.sparse.map", b""),
        (b"GNU.sparse.name", b"nn"),
    ),
    directory("dd"),
    entry("last"),
)
odd("old-sparse-whiteout", old_gnu_sparse("a/.wh.x", [(0, 1)], 1, b"a"), entry("last"))
odd("old-sparse-hidden", entry("sp"), old_gnu_sparse("sp", [(0, 1)], 1, b"a"), entry("last"))
# -- paths, links and devices
odd("path-5000", pax((b"path", b"/".join([b"n" * 250] * 20))), header("h"), entry("last"))
odd("symlink-4095", pax((b"linkpath", b"n" * 4095)), symlink("s", ""), entry("last"))
odd("symlink-4096", pax((b"linkpath", b"n" * 4096)), symlink("s", ""), entry("last"))
for n in (250, 254, 255, 256, 257):
    odd(
        f"chain-{n}",
        *[symlink(f"l{i}", f"l{i + 1}") for i in range(n - 1)],
        symlink(f"l{n - 1}", "a"),
        entry("l0/deep"),
        entry("last"),
    )
odd("loop-self", symlink("s", "s"), entry("s/x"), entry("last"))
odd("loop-two", symlink("s", "r"), symlink("r", "s"), entry("s/x"), entry("last"))
odd("loop-hard", symlink("s", "r"), symlink("r", "s"), hardlink("hh", "s/x"), entry("last"))
odd("loop-opq", symlink("s", "s"), entry("s/.wh..wh..opq"), entry("last"))
odd("link-to-parent", symlink("up", ".."), entry("up/t", b"new"), entry("last"))
odd("link-abs-root", symlink("root", "/"), entry("root/t", b"new"), entry("last"))
odd("link-empty-comp", symlink("s", "a//b/./"), entry("s/y"), entry("last"))
odd("link-to-file-slash", symlink("s", "t/"), entry("s/y"), entry("last"))
odd("dir-over-link", directory("lib"), entry("lib/n"), entry("last"))
odd("link-over-dir", entry("dd/x"), symlink("dd", "a"), entry("dd/y"), entry("last"))
odd("dir-then-link-dirtimes", directory("dd"), symlink("dd", "a"), entry("last"))
odd("file-mode-dirbits", header("f", mode=0o40755), directory("dq"), entry("last"))
odd("dir-mode-filebits", tar_header("dm", typeflag=b"5", mode=0o100000), entry("dm/x"), entry("last"))
odd("dev-0-0-in-wh", tar_header(".wh.t", typeflag=b"3"), entry("last"))
odd("dev-0-0-lower", tar_header("a", typeflag=b"3"), entry("last"))
odd("dev-block-0-0", tar_header("a", typeflag=b"4"), entry("last"))
odd("dev-0-0-then-child", tar_header("a", typeflag=b"3"), entry("a/n"), entry("last"))
odd("overlay-opaque-x", pax((XATTR + b"trusted.overlay.opaque", b"y")), directory("a"), entry("a/n"))
odd("overlay-user-opaque", pax((XATTR + b"user.overlay.opaque", b"y")), directory("a"), entry("a/n"))
odd("overlay-redirect", pax((XATTR + b"trusted.overlay.redirect", b"/a/b")), directory("nn"), entry("last"))
odd("overlay-metacopy", pax((XATTR + b"trusted.overlay.metacopy", b"")), header("t"), entry("last"))
odd("xattr-btrfs", pax((XATTR + b"btrfs.compression", b"nonsense")), header("t"), entry("last"))
odd("xattr-ima", pax((XATTR + b"security.ima", b"")), header("t"), entry("last"))
odd("xattr-ima2", pax((XATTR + b"security.ima", b"\xff")), header("t"), entry("last"))
odd("xattr-evm", pax((XATTR + b"security.evm", b"")), header("t"), entry("last"))
odd("xattr-evm2", pax((XATTR + b"security.evm", b"\x01")), header("t"), entry("last"))
odd("xattr-selinux", pax((XATTR + b"security.selinux", b"nonsense")), header("t"), entry("last"))
odd("xattr-apparmor", pax((XATTR + b"security.apparmor", b"x")), header("t"), entry("last"))
odd("xattr-smack", pax((XATTR + b"security.SMACK64", b"x")), header("t"), entry("last"))
odd(
    "xattr-cap-dir",
    pax((XATTR + b"security.capability", b"\0\0\0\2" + bytes(16))),
    directory("dd"),
    entry("last"),
)
odd(
    "xattr-cap-link",
    pax((XATTR + b"security.capability", b"\0\0\0\2" + bytes(16))),
    symlink("ss", "t"),
    entry("last"),
)
odd(
    "xattr-cap-fifo",
    pax((XATTR + b"security.capability", b"\0\0\0\2" + bytes(16))),
    tar_header("ff", typeflag=b"6"),
    entry("last"),
)
odd("xattr-user-eq", pax((XATTR + b"user.a=b", b"1")), header("t"), entry("last"))
odd("xattr-libarchive", pax((b"LIBARCHIVE.xattr.user.a", b"MQ==")), header("t"), entry("last"))
odd("xattr-acl-schily", pax((b"SCHILY.acl.access", b"nonsense")), header("t"), entry("last"))
odd("xattr-system-sock", pax((XATTR + b"system.sockprotoname", b"x")), header("t"), entry("last"))
odd("xattr-system", pax((XATTR + b"system.", b"x")), header("t"), entry("last"))
odd("xattr-nodot", pax((XATTR + b"security", b"x")), header("t"), entry("last"))
odd(
    "xattr-sticky-user-dir",
    pax((XATTR + b"user.a", b"1")),
    tar_header("sd", typeflag=b"5", mode=0o1777, uid=7),
    entry("last"),
)
odd("xattr-mode0", pax((XATTR + b"user.a", b"1")), header("m0", mode=0), entry("last"))
odd("wh-nameless-dots-root", entry(".wh..."), entry("last"))
odd("wh-nameless-dot-root", entry(".wh.."), entry("last"))
odd("wh-nameless-esc", entry("../.wh.."), entry("last"))
odd("wh-nameless-esc3", entry("../../.wh..."), entry("last"))
odd("wh-drive-victim", entry(".wh.c:x"), entry("last"))
odd("wh-escape", entry("../.wh.x"), entry("last"))
odd("wh-hardlink-esc", hardlink("a/.wh.x", "../../../t"), entry("last"))
odd("wh-nameless-link-esc", symlink("a/.wh..", "../../../t"), entry("last"))
odd("wh-symlink-fine", symlink("a/.wh.x", "b"), entry("last"))
odd("wh-dir-escape", directory("../.wh.x"), entry("last"))


def path_of(n):
    p = "/".join(["n" * 200] * 30)[:n]
    return (p[:-1] + "y" if p.endswith("/") else p).encode()


for n in (3900, 3990, 4300):
    odd(f"far-file-{n}", pax((b"path", path_of(n))), header("h"), entry("last"))
    odd(f"far-dir-{n}", pax((b"path", path_of(n))), directory("h"), entry("last"))
    odd(f"far-wh-{n}", pax((b"path", path_of(n - 20) + b"/.wh.x")), header("h"), entry("last"))
    odd(f"far-opq-{n}", pax((b"path", path_of(n - 20) + b"/.wh..wh..opq")), header("h"), entry("last"))
    odd(f"far-g-{n}", entry("g", records((b"path", path_of(n))), typeflag=b"g"), entry("last"))
    odd(
        f"far-link-{n}",
        pax((b"path", path_of(3000))),
        directory("h"),
        pax((b"linkpath", path_of(3000))),
        symlink("fl", ""),
        pax((b"path", b"fl/" + path_of(n - 3001))),
        header("h"),
        entry("last"),
    )
    odd(f"far-hard-{n}", entry("q"), pax((b"path", path_of(n))), hardlink("h", "q"), entry("last"))
odd("far-lower", entry("last"), lower=pax((b"path", path_of(4200))) + header("h") + END)
