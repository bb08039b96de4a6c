"""What each target begins with: honest files, made by cosinspect.testing or kept as test data, and what was once found."""

from __future__ import annotations

import base64
import contextlib
import functools
import gzip
import io
import json
import sqlite3
import struct
import tarfile
import tempfile
from pathlib import Path

import zstandard

from bolt_files import BoltWriter, fixture, single_leaf
from cosinspect.formats.luet.bolt import open_bolt
from cosinspect.testing import (
    Device,
    Directory,
    Fifo,
    File,
    Hardlink,
    Opaque,
    Symlink,
    Whiteout,
    image_index,
    seekable_layer,
    tar_bytes,
    tar_header,
)
from cosinspect.testing.bootfiles import (
    compress_initrd,
    cpio_archive,
    efi_program,
    executable,
    join_segments,
    linux_kernel,
    microcode_archive,
    unified_kernel_image,
    zboot_kernel,
)
from cosinspect.testing.derivative import derivative
from cosinspect.testing.elf_files import elf_file, loader_file
from raw_cpio import DIRECTORY, FILE, SYMLINK, raw_archive, raw_member
from raw_tar import GNU, entry, extended, gnu_long, old_gnu_sparse, pax_sparse, record
from rpm_files import ndb_file, rpm_header, stored

__all__ = ["found", "seeds"]

FOUND = Path(__file__).parent / "found"


def found(target: str) -> dict[str, bytes]:
    """Inputs that once broke a parser, shrunk, by name."""
    return {path.name: path.read_bytes() for path in sorted((FOUND / target).glob("*"))}


def seeds(target: str) -> list[bytes]:
    """Give the honest files of a target."""
    return {
        "tar": _tar,
        "readers": _readers,
        "members": _members,
        "tables": _tables,
        "initrd": _initrd,
        "bolt": _bolt,
        "packages": lambda: [
            b"Package: libssl3\nStatus: install ok installed\nSource: openssl (3.0)\nArchitecture: amd64\nVersion: 3.0.11-1~deb12u2\nDescription: x\n .\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n",
            b"C:Q1okgvkw9n0m1RVQHuH+ZUWw9s3HU=\nP:libssl1.1\nV:1.1.1k-r0\nA:armv7\nL:OpenSSL\no:openssl\nF:lib\nR:libssl.so.1.1\na:0:0:755\n\n",
            b"%NAME%\nbash\n\n%VERSION%\n5.2.026-2\n\n%BASE%\nbash\n\n%ARCH%\nx86_64\n\n%LICENSE%\nGPL\n",
            b"[options]\nDBPath = /usr/lib/pacman\n",
        ],
        "rpm": _rpm,
        "kernel": _kernel,
        "programs": _programs,
        "documents": _documents,
        "signatures": _signatures,
        "grub": lambda: _files("grub.cfg", "bootargs.cfg"),
        "shell": lambda: [*_files(".sh"), SCRIPT],
        "yaml": lambda: [*_files(".yaml"), YAML],
        "settings": lambda: [
            *_files(".conf", ".service", ".timer", "os-release", "grubenv_firstboot"),
            BUILD,
        ],
        "efi": _efi,
        "installation": lambda: [
            b"[composefs]\nenabled = maybe\n\n[root]\ntransient=true\n",
            b'[install]\nroot-fs-type = "xfs"\nmatch-architectures = ["x86_64"]\n[install.filesystem.root]\ntype = "ext4"\n',
            b'd /var/lib 0755 - - -\nL+ "/var/a b" - - - - ../run\nz /var/\\x20 0666\n',
            b'u root 0:0 "Super User" /root /bin/bash\ng wheel 10\nr - 500-900\nu! app /etc/app\n',
            b"root:x:0:0:root:/root:/bin/bash\n+::::::\n",
            b"title Kairos\nsort-key norole\nuki /EFI/kairos/norole.efi\nprofile 0\n",
            b"6.1.0-50-amd64 5.14.0-503.el9.x86_64 6.8.0-1013-raspi 6.12+x",
        ],
    }[target]()


def _readers() -> list[bytes]:
    """Layers whose every entry some reader takes in its own way."""
    odd = [
        tar_header("a/.wh.x", typeflag=b"g"), tar_header("a", typeflag=b"g"), tar_header("a/.wh..wh..opq", typeflag=b"g"),
        tar_header("t", typeflag=b"2", linkname="a", size=5), tar_header("c", typeflag=b"5", mode=2**40), tar_header("u", major=2**22),
        tar_header("lib/h", typeflag=b"1", linkname="gone/../t"), tar_header("a/b", typeflag=b"Z"), tar_header("n" * 99, typeflag=b"6"),
        extended(record(b"SCHILY.xattr.security.capability", b"x" * 20)) + entry("a/x"),
        extended(record(b"path", b"n" * 256)) + entry("x"), tar_header("w", uid=2**32 - 1, gid=2**40),
    ]  # fmt: skip
    return [*_tar(), *(each + bytes(1024) for each in odd), b"".join(odd[:3]) + bytes(1024)]


def _members() -> list[bytes]:
    text = b"".join(b"%d," % number for number in range(900))
    member, frame = gzip.compress(text, mtime=0), zstandard.ZstdCompressor(write_checksum=True).compress(text)
    named = b"\x1f\x8b\x08\x1f" + member[4:10] + b"\x02\0ab" + b"name\0comment\0" + member[10:]
    return [
        member, member + member, member + bytes(9), member[:-3], named, member[:200] + b"x" + member[201:],
        frame, frame + frame, frame + bytes(9), frame[:-1], b"\x50\x2a\x4d\x18\x02\0\0\0xx" + frame,
    ]  # fmt: skip


def _efi() -> list[bytes]:
    initrd = compress_initrd(cpio_archive({"init": executable()}), "gzip")
    small = unified_kernel_image(b"kernel", initrd, command_line="rd.immucore.uki", profiles=["a", "b"])
    return [
        small,
        efi_program(loader="systemd-boot 259.1"),
        efi_program("386"),
        unified_kernel_image(b"", b""),
    ]


def _tables() -> list[bytes]:
    made = [
        seekable_layer({"a": "1", "b": bytes(range(256)) * 600, "c": Symlink("a")}, kind=kind)
        for kind in ("estargz", "zstd:chunked")
    ]
    return [*(each.table for each in made), *(each.layer.blob[-64:] for each in made)]


SCRIPT = b"""\
type log || . /lib/lib.sh
function find { local x=$(one "$1" | two); case "$x" in a*) three ;; esac; }
a=(1 "2" '3'); for i in "${a[@]}"; do [ -e "$i" ] && four <<E > /dev/null || exit 1
body's
E
done; ((n = 1)); [[ $a =~ ^(b|c)$ ]] || `five`; six < <( seven ) &> /dev/null
"""
YAML = b"""\
#cloud-config
name: all
stages:
  rootfs.after:
  - &step
    if: '[ -f /run ]'
    environment_file: /run/cos/cos-layout.env
    environment: {VOLUMES: "LABEL=A:/a"}
    files: [{path: /a, content: Zm9v, encoding: b64, permissions: 0600, owner: 0}]
    users: {root: {passwd: x, ssh_authorized_keys: [github:a]}}
  boot: [*step, {<<: *step, name: again}]
users: [{name: root, passwd: $6$x}]
write_files: [{path: /b, content: "x"}]
repositories: [{name: r, enable: true, urls: [u], priority: 1}]
system: {rootfs: /, database_path: /var, database_engine: boltdb}
"""
BUILD = b"--kver '6.1' --add 'a b' -f\n[Service]\nExecStart=-@/bin/a b \\\n c\nA='x'\nB=\"$A\\$\" # c\nk+=\" m \"\n"


@functools.cache
def _image_files() -> dict[str, bytes]:
    """Read the small derivative's files, by a reader that is not ours."""
    files = {}
    for blob in derivative().blobs.values():
        if blob[:2] == b"\x1f\x8b":
            plain = gzip.decompress(blob)
        elif blob[:4] == b"\x28\xb5\x2f\xfd":
            plain = zstandard.ZstdDecompressor().decompressobj().decompress(blob)
        else:
            continue
        with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
            for member in archive:
                if member.isreg():
                    files[member.name] = archive.extractfile(member).read()
    return files


def _files(*endings: str) -> list[bytes]:
    chosen = [data for path, data in _image_files().items() if path.endswith(endings)]
    assert chosen, endings
    return chosen


def _tar() -> list[bytes]:
    tree = {
        "etc": Directory(),
        "etc/f": File(b"x" * 600, uid=2**31, mtime=-1),
        "etc/l": Symlink("t" * 150),
        "etc/h": Hardlink("etc/f"),
        "dev/b": Device("block", 8, 2**20),
        "run/p": Fifo(),
        "gone": Whiteout(),
        "d": Opaque(),
        "n" * 200: b"long",
        "caf\udce9": b"",
    }
    stretches = [(100, 10), (600, 20), (2000, 0), (3000, 12), (5000, 1)]
    return [
        tar_bytes(tree, format="pax"),
        tar_bytes(tree, format="gnu", end_blocks=0),
        old_gnu_sparse(b"s", stretches, 6000, b"s" * 43, extra=1),
        *(pax_sparse(version, b"s", stretches, 6000, b"s" * 43) for version in ("0.0", "0.1", "1.0")),
        extended(record(b"SCHILY.xattr.user.x", b"v") + record(b"mtime", b"1.5")) + entry(),
        extended(record(b"comment", b"c"), typeflag=b"g") + entry(),
        gnu_long(b"l" * 300, b"K") + gnu_long(b"d/", b"L") + entry("x", b"body", magic=GNU) + bytes(1024),
    ]


def _initrd() -> list[bytes]:
    main = cpio_archive(
        {
            "init": executable(),
            "bin": Symlink("usr/bin"),
            "usr/bin/tool": "x" * 300,
            "usr/lib/dracut/modules.txt": "base\n",
            "usr/lib/modules/6.1/a.ko": b"",
            "run": Directory(),
        }
    )
    odd = raw_archive(
        raw_member(b"l", b"d", SYMLINK),
        raw_member(b"d", mode=DIRECTORY),
        raw_member(b"l/x", b"1", FILE, nlink=2),
        raw_member(b"y", b"", FILE, nlink=2),
        raw_member(b"c", b"12", magic=b"070702", check=99),
    )
    kinds = ("none", "gzip", "xz", "zstd", "lz4", "bzip2", "lzma")
    packed = [compress_initrd(main, kind) for kind in kinds]
    return [*packed, odd, join_segments(microcode_archive("GenuineIntel"), packed[2] + bytes(4), odd)]


def _bolt() -> list[bytes]:
    small = [
        _rewritten(fixture(name), order)
        for name in ("luet-0.7-api.db", "odd-values.db", "duplicates-orphans.db")
        for order in "<>"
    ]
    writer = BoltWriter(page_size=512)
    writer.branch(3, (b"a", 4), (b"k", 5))
    writer.leaf(4, (b"a", b"1"), (b"b", writer.inline((b"x", b"y")), 1))
    writer.leaf(5, (b"k", b"v" * 900))
    writer.freelist(2)
    writer.metas(root=3, mark=8, freelist=2)
    return [*small, writer.file(), single_leaf((b"a", b"1")), fixture("empty-luet.db")[: 16 * 1024]]


def _rewritten(data: bytes, order: str) -> bytes:
    """Write what a database holds on small pages: the less that means nothing, the more a mutation means."""
    database = open_bolt(data)
    writer = BoltWriter(page_size=512, order=order)
    mark = 3

    def place(bucket) -> int:
        nonlocal mark
        items = []
        for element in list(database.elements(bucket))[:12]:
            if element.bucket is None:
                items.append((element.key, bytes(element.value)))
            else:
                items.append((element.key, writer.bucket(place(element.bucket)), 1))
        number = mark
        mark += (len(writer.leaf_image(items)) - 1) // writer.page_size + 1
        writer.leaf(number, *items)
        return number

    root = place(database.root)
    writer.metas(root=root, mark=mark)
    return writer.file()


def _rpm() -> list[bytes]:
    """A database of each backend, as small as they are, and one whose log has a transaction."""
    headers = [
        rpm_header({1000: "a", 1001: "1", 1003: 7}),
        rpm_header({1000: "b", 1001: "2", 1002: "3", 1022: "noarch"}),
    ]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "rpmdb.sqlite"
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA page_size = 512")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(
                "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)"
            )
            connection.execute("INSERT INTO Packages (blob) VALUES (?)", (headers[0],))
            connection.execute("PRAGMA wal_checkpoint")
            connection.execute("INSERT INTO Packages (blob) VALUES (?)", (headers[1],))
            content, log = path.read_bytes(), path.with_name("rpmdb.sqlite-wal").read_bytes()
    return [*headers, content, content + log, ndb_file(headers), stored("Packages.small")]


def _programs() -> list[bytes]:
    """Programs, libraries, scripts and a loader's cache; the first byte is the size of the pieces that they pass in."""
    loader = "/lib64/ld-linux-x86-64.so.2"
    cache = b"glibc-ld.so.cache1.1" + struct.pack("<II", 1, 10) + bytes(20)
    files = [
        elf_file(interpreter=loader, needed=["liba.so.1", "libb.so"], runpath="$ORIGIN/lib"),
        elf_file("arm", interpreter="/lib/ld-linux-armhf.so.3", needed=["libc.so.6"], rpath="/opt"),
        elf_file("s390x", soname="libx.so.1", shared=True),
        loader_file(),
        b"#!/usr/bin/env -S bash -e\r\nexit\n",
        cache + struct.pack("<iIIIQ", 0x303, 72, 74, 0, 0) + b"a\0/lib/a\0",
    ]
    return [bytes([200]) + body for body in files]


def _kernel() -> list[bytes]:
    """Heads as short as they still tell what they are; the first four bytes are the size of the whole."""
    arm = linux_kernel(architecture="arm64")
    heads = [
        (linux_kernel(architecture="amd64"), 12 * 1024 + 512),
        (arm, 8 * 1024 + 512),
        (linux_kernel(architecture="riscv64"), 8 * 1024 + 512),
        (zboot_kernel(arm), 5 * 1024),
        (unified_kernel_image(linux_kernel(), b"initrd"), 6 * 1024),
        (gzip.compress(arm, mtime=0), 1024),
        (b"\x7fELF\x02\x01\x01" + bytes(100), 200),
        (b"#!/bin/sh -e\n", 20),
    ]
    return [len(image).to_bytes(4, "little") + image[:length] for image, length in heads]


def _documents() -> list[bytes]:
    image = derivative()
    index = image_index(image)
    document = json.loads(image.manifest)
    docker = json.loads(
        image.manifest.replace(b"vnd.oci.image.manifest.v1", b"vnd.docker.distribution.manifest.v2")
    )
    document.pop("mediaType", None)
    return [
        image.manifest,
        image.config,
        index.blobs[index.digest],
        json.dumps(document).encode(),
        json.dumps(docker).encode(),
        b'{"schemaVersion":1,"fsLayers":[]}',
    ]


def _signatures() -> list[bytes]:
    """What cosign left in registries, and an entry of a log by its specification."""
    scenes = Path(__file__).parent.parent / "data" / "cosign"
    chosen = [scenes / scene for scene in ("tag", "bundle", "bundle-rsa", "attestation", "keyless")]
    found = [path.read_bytes() for scene in chosen for path in sorted(scene.glob("sha256-*"))]
    body = (
        b'{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"sha256","value":"aa"}},'
        b'"signature":{"content":"AAAA","publicKey":{"content":"AAAA"}}}}'
    )
    return [*found, body, json.dumps({"Payload": {"body": base64.b64encode(body).decode()}}).encode()]
