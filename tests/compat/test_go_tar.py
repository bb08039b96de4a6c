"""Archives that readers disagree on, and those that GNU tar writes, judged by Go's own reader."""

import os
import shutil
import subprocess

import pytest

from cosinspect.oci.documents import Digest
from cosinspect.testing import (
    Device,
    Directory,
    Fifo,
    File,
    Hardlink,
    Opaque,
    RawName,
    Symlink,
    Whiteout,
    pax_header,
    tar_bytes,
    tar_header,
)
from go_judge import go_reads, needs_go, we_read
from raw_tar import (
    END,
    GNU,
    V7,
    entry,
    extended,
    gnu_long,
    octal,
    old_gnu_sparse,
    padded,
    patched,
    pax_sparse,
    records,
)
from stacks import layer_of

pytestmark = pytest.mark.compat
needs_tar = pytest.mark.skipif(not shutil.which("tar"), reason="GNU tar is not installed")

HONEST = {
    "usr/": Directory(mode=0o755),
    "usr/bin/busybox": File(b"busybox" * 1000, mode=0o4755, uid=8**7, gid=5, mtime=8**11),
    "usr/bin/sh": Hardlink("usr/bin/busybox"),
    "bin": Symlink("usr/bin"),
    "dev/null": Device("char", 1, 3),
    "dev/sda": Device("block", 8, 2**20),
    "run/pipe": Fifo(),
    "d/" * 200 + "deep": Symlink("../" * 100),
    "caf\udce9/\N{LATIN SMALL LETTER E WITH ACUTE}": "bytes",
    "etc/motd": Whiteout(),
    "var/cache": Opaque(),
}

# Which of them Go refuses is a fact that our reader has no part in: facts/peers.md 1.4.
ACCEPTED = {
    "pax": tar_bytes(HONEST | {"x": File(b"x", xattrs={"user.a": b"\0\xff", "user.empty": b""})}),
    "gnu": tar_bytes(HONEST, format="gnu"),
    "nothing": b"",
    "names": tar_bytes([(RawName(name), "x") for name in ("/abs", "./rel", "../up", "a//b", "a/../b", ".")]),
    "v7 prefix": entry("vmlinuz", magic=V7, prefix=b"boot") + END,
    "ustar prefix": entry("vmlinuz", prefix=b"boot") + END,
    "full fields": entry("n" * 100, prefix=b"p" * 155, linkname=b"l" * 100) + END,
    "star": patched(tar_header("name"), {345: b"p" * 131, 476: octal(7), 488: octal(7), 508: b"tar\0"}) + END,
    "gnu times": patched(tar_header("name", magic=GNU), {345: octal(7), 357: octal(7)}) + END,
    "gnu prefix": entry("name", magic=GNU, prefix=b"usr/share") + END,
    "gnu prefix, no text": entry("name", magic=GNU, prefix=b"usr/sh\xe9re") + END,
    "gnu magic of another version": entry("name", magic=b"ustar 00", prefix=b"usr") + END,
    "ustar magic of another version": entry("name", magic=b"ustar\0xx", prefix=b"usr") + END,
    "two pax headers": pax_header({"path": "1"}) + pax_header({"path": "2"}) + entry() + END,
    "two long names": gnu_long(b"1") + gnu_long(b"2") + entry() + END,
    "two long links": gnu_long(b"1", b"K") + gnu_long(b"2", b"K") + entry(typeflag=b"2") + END,
    "pax, then gnu": pax_header({"path": "1"}) + gnu_long(b"2") + entry() + END,
    "gnu, then pax": gnu_long(b"2") + pax_header({"path": "1"}) + entry() + END,
    "global": pax_header({"path": "g", "size": "1"}, typeflag=b"g") + entry() + END,
    "pax, then global": pax_header({"path": "1"}) + pax_header({"a": "b"}, typeflag=b"g") + entry() + END,
    "empty pax path": pax_header({"path": ""}) + entry() + END,
    "empty long name": gnu_long(b"1") + gnu_long(b"") + entry() + END,
    "nul in a long name": gnu_long(b"1\x002") + entry() + END,
    "file with a slash": entry("d/", b"content") + END,
    "old type with a slash": tar_header("d/", typeflag=b"\0", size=512) + entry("next") + END,
    "old type": entry("f", b"x", typeflag=b"\0") + END,
    "type 7": entry("f", b"x", typeflag=b"7") + END,
    "unknown type": entry("f", b"x", typeflag=b"\xe9") + END,
    "sizes without content": b"".join(
        tar_header("x", typeflag=b"%d" % kind, size=512, linkname="y") for kind in range(1, 7)
    )
    + END,
    "negative size of a directory": tar_header("d", typeflag=b"5", size=-1) + END,
    "negative numbers": entry(uid=-1, gid=-(2**55), mtime=-(2**63)) + END,
    "large numbers": entry(uid=2**55 - 1, mtime=2**63 - 1, mode=0o7777777) + END,
    "base-256 size": patched(tar_header("f"), {124: b"\x80" + bytes(10) + b"\3"}) + padded(b"abc") + END,
    "octal without an end": patched(tar_header("f"), {136: b"777777777777", 108: b"77777777"}) + END,
    "octal behind nuls": patched(tar_header("f"), {136: b"\0\0 17 \0\0\0\0\0\0"}) + END,
    "octal cut by a nul": patched(tar_header("f"), {136: b"17\x0099\0\0\0\0\0\0\0"}) + END,
    "signed checksum": patched(tar_header(b"caf\xe9"), {}, signed=True) + END,
    "pax size": pax_header({"size": "3"}) + tar_header("f") + padded(b"abc") + END,
    "pax numbers": pax_header({"uid": "+7", "gid": "-0", "mtime": "-0.5", "atime": "1.000000000x"[:-1]})
    + entry()
    + END,
    "many zeros in pax": extended(b"0" * 40 + b"47 a=b\n" + records((b"uid", b"0" * 5000 + b"7")))
    + entry()
    + END,
    "no end": entry("f", b"x"),
    "half an end": entry("f", b"x") + bytes(512),
    "no padding": tar_header("f", size=1) + b"x",
    "bytes behind the end": entry() + END + b"junk" + entry("hidden"),
    "dangling extension": entry() + gnu_long(b"nobody") + END,
    "old sparse": old_gnu_sparse(b"f", ((512, 512), (2048, 100)), 4096, b"d" * 612) + END,
    "old sparse, many": old_gnu_sparse(b"f", [(9 * n, 5) for n in range(60)], 999, b"d" * 300) + END,
    "old sparse, empty blocks": old_gnu_sparse(b"f", ((0, 5),), 10, b"abcde", extra=3) + END,
    "sparse 0.0": pax_sparse("0.0", b"f", ((512, 512), (2048, 100)), 4096, b"d" * 612) + END,
    "sparse 0.1": pax_sparse("0.1", b"f", ((512, 512), (2048, 100)), 4096, b"d" * 612) + END,
    "sparse 1.0": pax_sparse("1.0", b"f", ((512, 512), (2048, 100)), 4096, b"d" * 612) + END,
    "sparse 1.0, many": pax_sparse("1.0", b"f", [(9 * n, 5) for n in range(200)], 9999, b"d" * 1000) + END,
    "sparse 1.0, zeros": pax_header({"GNU.sparse.major": "1", "GNU.sparse.minor": "0"})
    + entry("f", padded(b"0" * 3000 + b"1\n0\n3\n") + b"abc")
    + END,
    "sparse of no known version": pax_header({"GNU.sparse.major": "3", "GNU.sparse.map": "0,1"})
    + entry("f", b"abc")
    + END,
}
REFUSED = {
    "nul in a pax path": pax_header({"path": "a\0b"}) + entry() + END,
    "wrong checksum": entry() + tar_header("bad", checksum=1) + entry() + END,
    "lone zero block": entry() + bytes(512) + entry("hidden") + END,
    "zero block and a half": entry() + bytes(700),
    "header cut off": entry() + tar_header("cut")[:300],
    "content cut off": tar_header("f", size=600) + bytes(599),
    "extension cut off": pax_header({"path": "p" * 600})[:-600],
    "negative size": tar_header("f", size=-1) + END,
    "negative size under pax": pax_header({"size": "0"}) + tar_header("f", size=-1) + END,
    "negative size in pax": pax_header({"size": "-1"}) + entry() + END,
    "base-256 beyond 64 bits": patched(tar_header("f"), {136: b"\xbf" + b"\xff" * 11}) + END,
    "number that is none": patched(tar_header("f"), {136: b"12 34"}) + END,
    "device that is none": patched(tar_header("f"), {329: b"zz"}) + END,
    "star time that is none": patched(tar_header("f"), {476: b"zz", 508: b"tar\0"}) + END,
    "pax time that is none": pax_header({"atime": "1.x"}) + entry() + END,
    "pax number that is none": pax_header({"uid": "1_0"}) + entry() + END,
    "record that is none": extended(b"6 abc\n") + entry() + END,
    "global record that is none": extended(b"6 abc\n", b"g") + entry() + END,
    "extension beyond the bound": tar_header("x", typeflag=b"x", size=2**20 + 1) + bytes(2**21) + END,
    "sparse beyond the file": old_gnu_sparse(b"f", ((0, 11),), 10, b"d" * 11) + END,
    "sparse with less": pax_sparse("0.1", b"f", ((0, 5),), 10, b"d" * 4) + END,
    "sparse with more": pax_sparse("1.0", b"f", ((0, 5),), 10, b"d" * 6) + END,
    "sparse in ustar": entry("f", typeflag=b"S") + END,
    "sparse nul in a number": pax_header({"GNU.sparse.major": "1", "GNU.sparse.minor": "0"})
    + entry("f", padded(b"0\0\n"))
    + END,
    **{
        f"content of type {kind}": tar_header("x", typeflag=b"%d" % kind, size=512, linkname="y")
        + b"c" * 512
        + END
        for kind in range(1, 7)
    },
}


@needs_go
@pytest.mark.parametrize("archive", ACCEPTED.values(), ids=ACCEPTED)
def test_what_go_reads_is_read_the_same(archive):
    judged = go_reads(archive)
    assert judged.error is None
    assert judged == we_read(archive)


@needs_go
@pytest.mark.parametrize("archive", REFUSED.values(), ids=REFUSED)
def test_what_go_refuses_is_refused_at_the_same_entry(archive):
    judged, own = go_reads(archive), we_read(archive)
    assert judged.error is not None
    assert own.error is not None
    assert judged.entries == own.entries


def test_a_sparse_map_without_an_end_is_refused():
    # Go does so since 1.24.8 and 1.25.2; before, such a map could be as long as the archive (CVE-2025-58183).
    assert we_read(old_gnu_sparse(b"f", (), 10, b"", extra=3000) + END).error is not None


@pytest.fixture
def holes(tmp_path):
    """A file with holes at its start, between and at its end, one without any, and one that is nothing else."""
    contents = {
        "holes": bytes(100_000) + b"data" * 300 + bytes(70_000) + b"x" + bytes(50_000),
        "many": b"".join(b"%04d" % number + bytes(8188) for number in range(40)),
        "whole": bytes(range(256)) * 64,
        "hole": bytes(200_000),
    }
    for name, content in contents.items():
        with (tmp_path / name).open("wb") as file:
            file.truncate(len(content))
            for at in range(0, len(content), 4096):
                if part := content[at : at + 4096].rstrip(b"\0"):
                    file.seek(at)
                    file.write(part)
    return tmp_path, contents


@needs_tar
@pytest.mark.parametrize("version", ["gnu", "0.0", "0.1", "1.0"])
def test_sparse_files_that_gnu_tar_writes_are_expanded(holes, version):
    directory, contents = holes
    form = ["--format=gnu"] if version == "gnu" else ["--format=posix", f"--sparse-version={version}"]
    done = subprocess.run(
        ["tar", "--create", "--sparse", "--hole-detection=raw", *form, *contents],
        cwd=directory,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        check=True,
    )
    layer = layer_of(done.stdout)
    index = layer.index()
    found = {}
    for entry_ in index.entries:
        with layer.open(entry_) as stream:
            found[entry_.path] = stream.read()
        assert len(contents[entry_.path]) == entry_.size
    assert contents == found
    kind = "sparse-type" if version == "gnu" else "sparse"
    assert {"holes", "many", "hole"} == {item.path for item in index.irregularities if item.kind == kind}
    assert len(done.stdout) < 100_000
    assert layer.diff_id == Digest.of(done.stdout)


@needs_go
@needs_tar
@pytest.mark.parametrize("version", ["gnu", "0.0", "0.1", "1.0"])
def test_go_agrees_on_sparse_files_that_gnu_tar_writes(holes, version):
    directory, contents = holes
    form = ["--format=gnu"] if version == "gnu" else ["--format=posix", f"--sparse-version={version}"]
    done = subprocess.run(
        ["tar", "--create", "--sparse", "--hole-detection=raw", *form, *contents],
        cwd=directory,
        capture_output=True,
        check=True,
    )
    assert go_reads(done.stdout) == we_read(done.stdout)


@needs_go
@needs_tar
@pytest.mark.parametrize("form", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_every_format_of_gnu_tar_is_read_as_go_reads_it(tmp_path, form):
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir/file").write_bytes(b"content")
    (tmp_path / "dir/link").symlink_to("file")
    (tmp_path / "dir/same").hardlink_to(tmp_path / "dir/file")
    os.mkfifo(tmp_path / "dir/pipe")
    if form not in ("v7", "ustar"):
        (tmp_path / "dir" / ("n" * 200)).symlink_to("t" * 200)
    left_out = ["--exclude=dir/pipe"] if form == "v7" else []
    done = subprocess.run(
        ["tar", "--create", f"--format={form}", *left_out, "dir"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    judged = go_reads(done.stdout)
    assert judged.error is None
    assert judged == we_read(done.stdout)
    assert len(judged.entries) >= 4
