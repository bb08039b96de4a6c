"""The parsers that are fuzzed, each with what must hold whatever the bytes.

A target takes arbitrary bytes and returns, for what ends in a value and for what ends in an error of ours; anything
else that leaves it is a finding, and so is an answer that contradicts itself.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
from collections.abc import Callable, Iterator

from attrs import evolve, frozen

from bolt_files import fnv1a
from cosinspect.compression.codecs import Compression, detect, inflate_members
from cosinspect.compression.salvage import salvage_members
from cosinspect.errors import FormatError, InvalidImage, InvalidLayer, LimitExceeded
from cosinspect.formats.boot.bootargs import kernel_parameters, leftover_placeholders
from cosinspect.formats.boot.cpio import Window, read_archive
from cosinspect.formats.boot.dracut import merge, read_build_parameters, read_dracut_conf
from cosinspect.formats.boot.elf import read_elf
from cosinspect.formats.boot.go_program import read_go_modules
from cosinspect.formats.boot.grub_commands import COMMANDS
from cosinspect.formats.boot.grub_evaluator import Evaluator
from cosinspect.formats.boot.grub_menu import GrubMenu
from cosinspect.formats.boot.grub_state import State
from cosinspect.formats.boot.grub_syntax import check_grub_script, parse_grub_script
from cosinspect.formats.boot.grub_values import GrubBound, Symbol, Work
from cosinspect.formats.boot.initrd import read_initrd
from cosinspect.formats.boot.kernel import HEAD_BYTES, describe, find_version, read_kernel
from cosinspect.formats.boot.loader_cache import read_loader_cache
from cosinspect.formats.boot.module_index import (
    read_builtin,
    read_dependencies,
    read_index,
    read_soft_dependencies,
)
from cosinspect.formats.boot.pe import PE_HEAD_BYTES, read_pe
from cosinspect.formats.boot.program import ProgramReader, read_interpreter, read_program, weight_of
from cosinspect.formats.boot.unified_kernel import read_unified_kernel
from cosinspect.formats.luet.bolt import open_bolt
from cosinspect.formats.luet.config import database_paths, parse_config, parse_repository
from cosinspect.formats.luet.database import read_database
from cosinspect.formats.packages.apk import read_apk_installed
from cosinspect.formats.packages.dpkg import read_dpkg_status
from cosinspect.formats.packages.package_url import package_url
from cosinspect.formats.packages.pacman import database_path, read_pacman_desc
from cosinspect.formats.packages.rpm import read_rpm_database
from cosinspect.formats.packages.rpm_bdb import bdb_blobs
from cosinspect.formats.packages.rpm_header import read_rpm_header
from cosinspect.formats.packages.rpm_ndb import ndb_blobs
from cosinspect.formats.packages.rpm_sqlite import sqlite_blobs
from cosinspect.formats.shell.script import read_shell_script
from cosinspect.formats.signing.dsse import Envelope
from cosinspect.formats.signing.in_toto import read_statement
from cosinspect.formats.signing.log_entry import read_log_bundle, read_log_entry
from cosinspect.formats.signing.sigstore_bundle import SigstoreBundle, read_bundle
from cosinspect.formats.signing.simple_signing import read_simple_signing
from cosinspect.formats.text.accounts import read_passwd, read_sysusers
from cosinspect.formats.text.bootc_install import merge_bootc_install, read_bootc_install
from cosinspect.formats.text.build_manifest import read_build_manifest
from cosinspect.formats.text.cloud_config import read_cloud_config
from cosinspect.formats.text.containerfile import read_containerfile
from cosinspect.formats.text.fstab import read_fstab
from cosinspect.formats.text.go_version import go_version
from cosinspect.formats.text.key_file import read_key_file
from cosinspect.formats.text.loader_entry import read_loader_entry
from cosinspect.formats.text.os_release import read_env_file
from cosinspect.formats.text.pam import passes, read_stack
from cosinspect.formats.text.systemd import exec_commands, read_unit
from cosinspect.formats.text.sysusers import read_account_names, read_sysusers_conf
from cosinspect.formats.text.tmpfiles import read_tmpfiles_conf
from cosinspect.formats.text.yaml import load_yaml
from cosinspect.formats.toc import parse_chunked_footer, parse_stargz_footer, parse_toc
from cosinspect.formats.yip.conditions import holds
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.oci.artifact import ArtifactManifest
from cosinspect.oci.documents import ImageConfig, ImageIndex, Manifest, Platform, parse_document
from cosinspect.rootfs.overlay import PARTIAL
from cosinspect.rootfs.rootfs import Rootfs
from cosinspect.rootfs.semantics import Semantics
from cosinspect.tar.blocks import BLOCK
from cosinspect.tar.reader import Header, TarStream
from go_judge import in_runs
from stacks import layer_of
from wild_layers import BASE

__all__ = ["TARGETS", "Target"]

_INFLATED = 4 << 20
GO_MODULES = bytes.fromhex("3077af0c9274080241e1c107e6d618e6")  # begins the list of modules in a Go program
LIMITS = evolve(DEFAULT_LIMITS, initrd_bytes=8 * 1024 * 1024, initrd_entries=2000)
ARCHITECTURES = {None, "amd64", "386", "arm64", "riscv64", "loong64"}

Repair = Callable[[bytes, random.Random], bytes]


def _as_it_is(data: bytes, _: random.Random) -> bytes:
    return data


@frozen(kw_only=True)
class Target:
    """One parser.

    Attributes:
        read: what is fuzzed.
        largest: the longest input that is tried, in bytes.
        tokens: what the format lives on and chance would not find.
        repair: makes right again what a mutation always breaks, such as a checksum.
    """

    read: Callable[[bytes], None]
    largest: int
    tokens: tuple[bytes, ...] = ()
    repair: Repair = _as_it_is


# -- layers --------------------------------------------------------------------------------------------------------


def tar(data: bytes) -> None:
    """Headers are where they say, and neither how the bytes arrive nor reading them in runs makes a difference."""
    whole = _headers(data, len(data) or 1, in_runs)
    assert whole == _headers(data, 700, iter)


def _headers(data: bytes, portion: int, read: Callable[[TarStream], Iterator[Header]]) -> tuple:
    stream = TarStream(iter([data[at : at + portion] for at in range(0, len(data), portion)]))
    found, fault = [], ""
    try:
        for header in read(stream):
            assert header.stored >= 0
            assert header.size >= 0
            assert 0 <= header.offset < header.data <= len(data)
            found.append((header, b"".join(iter(lambda: stream.read(1 << 16), b""))))
    except (InvalidLayer, LimitExceeded) as error:
        fault = str(error)
    return found, fault, stream.irregularities


def with_checksums(data: bytes, _: random.Random) -> bytes:
    """Walk the headers as far as they lead and make their sums right."""
    out, at = bytearray(data), 0
    while at + BLOCK <= len(out):
        block = out[at : at + BLOCK]
        if any(block):
            block[148:156] = b" " * 8
            out[at + 148 : at + 156] = b"%06o\0 " % sum(block)
        try:
            size = int(bytes(block[124:136]).strip(b"\0 ") or b"0", 8)
        except ValueError:
            size = 0
        stored = 0 if block[156:157] in b"123456" else max(size, 0)
        at += BLOCK + -(-stored // BLOCK) * BLOCK
    return bytes(out)


_LOWER = layer_of(BASE + bytes(1024)).index()


def readers(data: bytes) -> None:
    """Whatever an archive says over another one, each reader gets a tree, and elemental no name that is in no layer."""
    layer = layer_of(data, position=1, limits=LIMITS)
    try:
        index = layer.index()
    except InvalidLayer as fault:
        if not fault.kind:
            return
        index = layer.salvage(fault)
        assert index.cuts
    except LimitExceeded:
        return
    for semantics in Semantics:
        merged = Rootfs([_LOWER, index], limits=LIMITS, semantics=semantics)
        cut = [each for each in merged.problems if each.kind == PARTIAL]
        assert not cut or (semantics.installs and len(cut) == 1 and not cut[0].fatal)
        waiting = [merged.root.node]
        while waiting:
            for name, node in (waiting.pop().children or {}).items():
                assert name not in ("", ".", "..")
                assert not {"/", "\0"}.intersection(name)
                assert node.entry is None or 0 <= node.entry.uid < 2**32
                if node.children is not None:
                    waiting.append(node)


def members(data: bytes) -> None:
    """What is salvaged of compressed data is all of it where it is whole, and else at least what came before the error."""
    kind = detect(data[:6])
    if kind not in (Compression.GZIP, Compression.ZSTD):
        return
    stops: list[int] = []
    whole = bytearray()
    fault = False

    def pieces() -> Callable[[], bytes]:
        parts = iter([data[at : at + 700] for at in range(6, len(data), 700)])
        return lambda: next(parts, b"")

    def told(_: str) -> None:
        stops.append(len(whole))

    try:
        for piece in inflate_members(kind, data[:6], pieces(), limits=LIMITS, told=told):
            whole += piece
            if len(whole) > _INFLATED:
                return
    except FormatError:
        fault = True
    salvaged = bytearray()
    for piece in salvage_members(kind, data[:6], pieces(), limits=LIMITS):
        salvaged += piece
        if len(salvaged) > 2 * _INFLATED:
            return
    if stops:
        assert salvaged == whole[: stops[0]]
    elif not fault:
        assert salvaged == whole


def tables(data: bytes) -> None:
    """Chunks follow each other through their file, and positions lie in the layer."""
    for parse in (parse_stargz_footer, parse_chunked_footer):
        with contextlib.suppress(FormatError):
            place = parse(data[-64:] if parse is parse_chunked_footer else data[-51:], 1 << 20)
            assert 0 <= place.start <= place.start + place.size <= 1 << 20
    try:
        found = parse_toc(data)
    except FormatError:
        return
    for each in found:
        at = 0
        for chunk in each.chunks:
            assert (at, True) == (chunk.start, chunk.size > 0)
            assert chunk.digest or chunk.zeros
            at += chunk.size
        assert not each.chunks or at == each.size


# -- initrds and kernels -------------------------------------------------------------------------------------------


def initrd(data: bytes) -> None:
    """What was read holds together: each member is where its path says, and its body is of its size."""
    try:
        found = read_initrd(io.BytesIO(data), size=len(data), wanted=lambda _: True, limits=LIMITS)
    except FormatError:
        return
    for path, member in found.members.items():
        assert found.lookup(path, follow=False) == member
        assert path == member.path
        assert not path.startswith("/")
        parent = path.rpartition("/")[0]
        assert parent in {"", "dev", "root"} or found.members[parent].type == "directory"
        found.lookup(path)
        if member.type == "file":
            assert len(found.read(path)) == member.size
    assert found.kernel_versions is not None
    found.dracut_modules  # noqa: B018  # a property that reads
    found.build_parameters  # noqa: B018  # the same
    assert found.complete is (not found.problems)


def cpio(data: bytes) -> None:
    stream = io.BytesIO(data)
    with contextlib.suppress(FormatError):
        for entry in read_archive(Window(lambda: stream.read(300))):
            assert entry.offset % 4 == 0
    initrd(data)


def kernel(data: bytes) -> None:
    """The size that the file is said to have comes with the bytes, as a header may contradict it."""
    claimed = int.from_bytes(data[:4], "little")
    head = data[4:]
    for size in {len(head), claimed}:
        with contextlib.suppress(FormatError):
            found = read_kernel(head[:HEAD_BYTES], size=size)
            assert found.architecture in ARCHITECTURES
            assert found.version is None or found.version.isprintable()
    version = find_version([head[:100], head[100:]])
    assert version is None or version.isprintable()
    assert describe(head).isprintable()
    interpreter = read_interpreter(head)
    assert interpreter is None or head.startswith(b"#!")
    with contextlib.suppress(FormatError):
        assert read_elf(head).bits in {32, 64}


def programs(data: bytes) -> None:
    """The first byte is the size of the pieces in which the file passes; the rest may be a loader's cache as well."""
    size, body = data[0] + 1 if data else 1, data[1:]
    reader = ProgramReader(len(body), prefix=4096)
    for at in range(0, len(body), size):
        if not reader.feed(body[at : at + size]):
            break
    found = reader.finish()
    assert found.elf is None or found.elf.bits in {32, 64}
    assert weight_of(found) < 100 + 600 * 4200
    read_program(body)
    with contextlib.suppress(FormatError):
        assert all(read_loader_cache(body).values())


def efi(data: bytes) -> None:
    """An EFI program as firmware reads it, and as a unified kernel image; a section that is told lies where it is told to lie."""
    with contextlib.suppress(FormatError):
        program = read_pe(data[:PE_HEAD_BYTES], size=len(data))
        assert program.end >= program.headers_bytes
        assert all(section.size <= 2**32 for section in program.sections)
    with contextlib.suppress(FormatError):
        found = read_unified_kernel(
            lambda: io.BytesIO(data),
            size=len(data),
            unpack=lambda stream, size: read_initrd(stream, size=size, wanted=lambda _: False, limits=LIMITS),
        )
        assert (found.kernel is None) or (found.kernel_fault is None)
        assert (found.initrd is None) or (found.initrd_fault is None)
        assert isinstance(found.command_line, str)


# -- databases -----------------------------------------------------------------------------------------------------


def bolt(data: bytes) -> None:
    try:
        database = open_bolt(data)
        read_database(data)
    except FormatError:
        return
    database.check()


def packages(data: bytes) -> None:
    """Databases of packages that are text: what is listed has a name and a package URL."""
    for read in (
        lambda data: read_dpkg_status(data)[0],
        read_apk_installed,
        lambda data: (read_pacman_desc(data),),
    ):
        with contextlib.suppress(FormatError):
            for package in read(data):
                assert package.name
                assert package_url(package, "debian", "12").startswith("pkg:") or not package.name.strip("/ ")
    assert database_path(_text(data)).strip()


_LOG_MARK = b"\x37\x7f\x06"


def rpm(data: bytes) -> None:
    """Databases of rpm, in each backend; behind the mark of a log, the rest is SQLite's write-ahead log."""
    base, mark, log = data.partition(_LOG_MARK)
    for blobs in (
        lambda: bdb_blobs(data, DEFAULT_LIMITS),
        lambda: ndb_blobs(data, DEFAULT_LIMITS),
        lambda: sqlite_blobs(base, mark + log, DEFAULT_LIMITS),
        lambda: [data],
    ):
        with contextlib.suppress(FormatError):
            for blob in blobs():
                with contextlib.suppress(FormatError):
                    assert read_rpm_header(blob).name
    with contextlib.suppress(FormatError):
        assert all(each.version for each in read_rpm_database(base, mark + log))


def with_meta_checksums(data: bytes, _: random.Random) -> bytes:
    """Make the sums of both meta pages right, in the order of bytes that their magic number shows."""
    out = bytearray(data)
    order = "big" if out[16:20] == bytes.fromhex("ED0CDAED") else "little"
    size = int.from_bytes(out[24:28], order)
    for start in (16, size + 16):
        if 64 <= len(out) - start:
            out[start + 56 : start + 64] = fnv1a(bytes(out[start : start + 56])).to_bytes(8, order)
    return bytes(out)


# -- documents -----------------------------------------------------------------------------------------------------


def documents(data: bytes) -> None:
    """A document is a manifest, an index, a configuration or refused; never a manifest and an index."""
    kinds = set()
    for parse in (parse_document, Manifest.from_json, ImageIndex.from_json, ImageConfig.from_json):
        try:
            found = parse(data)
        except InvalidImage:
            continue
        assert found.raw == data
        if isinstance(found, ImageIndex):
            with contextlib.suppress(InvalidImage):
                assert set(found.select(Platform("linux", "amd64"))) <= set(found.manifests)
        if isinstance(found, ImageConfig):
            assert len(found.steps()) == len(found.diff_ids)
        else:
            kinds.add(type(found))
    assert len(kinds) <= 1


def signatures(data: bytes) -> None:
    """What is read as one thing is not read as another; bytes that were signed come out as they went in."""
    kinds = 0
    for read in (read_simple_signing, read_bundle, read_statement, read_log_entry, read_log_bundle):
        with contextlib.suppress(FormatError):
            found = read(data)
            kinds += read not in {read_log_entry, read_log_bundle}
            if isinstance(found, SigstoreBundle) and isinstance(found.content, Envelope):
                assert found.content.signatures
                assert found.content.signed_bytes.endswith(found.content.payload)
    with contextlib.suppress(InvalidImage):
        assert ArtifactManifest.from_json(data).layers is not None
    assert kinds <= 1 or b"_type" in data


SCALARS = (
    None, True, False, 0, 1, 2, -1, 2**63 - 1, 2**63, 2**70, 1.5, 1e400, "", "linux", "amd64", "layers", "\ud800", [], {},
    "sha256:" + "a" * 64, "sha512:" + "a" * 128, "sha256:../../x",
    "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws", "application/vnd.oci.image.layer.v1.tar+gzip",
)  # fmt: skip
KEYS = (
    "schemaVersion", "mediaType", "config", "layers", "manifests", "annotations", "artifactType", "digest", "size",
    "platform", "os", "architecture", "variant", "rootfs", "type", "diff_ids", "history", "created_by", "comment",
    "empty_layer", "Env", "Labels", "Layers", "layer\u017f", "fsLayers", "subject", "urls", "data", "created",
)  # fmt: skip


def with_other_values(data: bytes, chance: random.Random) -> bytes:
    """Where the bytes are JSON, put something else in one of its places; the decoder is not instrumented."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return data
    places = []
    pending = [document]
    while pending and len(places) < 1000:
        part = pending.pop()
        inner = list(part.items()) if isinstance(part, dict) else []
        inner = list(enumerate(part)) if isinstance(part, list) else inner
        places.extend((part, key) for key, _ in inner)
        pending.extend(value for _, value in inner)
        if isinstance(part, dict):
            places.append((part, chance.choice(KEYS)))
    if places:
        holder, key = chance.choice(places)
        value = chance.choice([*SCALARS, holder, *(place[0] for place in places[:20])])
        with contextlib.suppress(ValueError, RecursionError):
            # A copy, so that nothing holds itself.
            holder[key] = json.loads(json.dumps(value))
            if isinstance(holder, dict) and chance.random() < 0.2:
                del holder[key]
    try:
        return json.dumps(document).encode()
    except (ValueError, RecursionError):
        return data


# -- text ----------------------------------------------------------------------------------------------------------


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


class _NoFiles:
    """A machine without a file."""

    def search(self, by: str, name: str) -> None:
        return None

    def kind(self, device: str, path: str) -> None:
        return None

    def text(self, device: str, path: str) -> None:
        return None

    def environment(self, device: str, path: str) -> None:
        return None


def grub(data: bytes) -> None:
    """A script runs to its end or to a bound; so does every entry that it defines, and each command line parts."""
    text = _text(data)
    check_grub_script(text)
    kernel_parameters(text)
    leftover_placeholders(text)
    evaluator = Evaluator(_NoFiles(), COMMANDS, Work(3000))
    state = State({name: (Symbol(name),) for name in ("root", "x", "label")})
    try:
        evaluator.run_script(parse_grub_script(text), state, "grub.cfg")
        menu = GrubMenu(evaluator, state)
        for boot in (*menu.default(), *menu.fallbacks()):
            assert "${" in boot.command_line.text or boot.command_line.last("root")
    except GrubBound:
        return


def shell(data: bytes) -> None:
    """A command that is told stands in the script, on a line that it has."""
    text = _text(data)
    script = read_shell_script(text)
    for command in script.commands:
        assert 1 <= command.line <= text.count("\n") + 1


def settings(data: bytes) -> None:
    """Drop-ins of dracut, environment files and units."""
    text = _text(data)
    merged = merge({"/etc/dracut.conf": read_dracut_conf(text)})
    assert isinstance(merged.words("add_dracutmodules"), tuple)
    read_build_parameters(text)
    read_env_file(text)
    exec_commands(read_unit(text))
    assert all(account.name for account in (*read_passwd(text), *read_sysusers(text)))
    read_fstab(text)
    passes(read_stack("login", "auth", lambda _: text), lambda _: True)
    read_dependencies(text), read_builtin(text), read_soft_dependencies(text)
    read_go_modules([GO_MODULES, data, GO_MODULES, data])
    with contextlib.suppress(FormatError):
        read_index(data)


def installation(data: bytes) -> None:
    """What bootc, ostree, systemd-boot and kairos-init read of an image."""
    text = _text(data)
    with contextlib.suppress(FormatError):
        found = read_key_file(text)
        for group, keys in found.groups.items():
            for key in keys:
                with contextlib.suppress(FormatError):
                    found.string(group, key)
                    found.boolean(group, key)
    with contextlib.suppress(FormatError):
        merge_bootc_install([read_bootc_install(text)] * 2, "x86_64")
    assert all(line.kind for line in read_tmpfiles_conf(text).lines)
    accounts = read_sysusers_conf(text)
    assert accounts.users <= accounts.groups
    assert all(read_account_names(text))
    assert all(read_loader_entry(text))
    versions = [version for name in text.split() if (version := go_version(name)) is not None]
    assert not versions or str(max(versions))


def yaml(data: bytes) -> None:
    with contextlib.suppress(FormatError):
        load_yaml(data)
    with contextlib.suppress(FormatError):
        database_paths(parse_config(data), {})
    with contextlib.suppress(FormatError):
        read_build_manifest(data)
    with contextlib.suppress(FormatError):
        read_containerfile("Containerfile", data)
    with contextlib.suppress(FormatError):
        parse_repository(data)
    for version in ("0.10", "1.9", "rancher-1.9.6", "1.25"):
        config = read_cloud_config("a.yaml", data, version=version)
        assert not (config.stages and (config.refusal or config.bound))
        config.written_files()
        config.layout()
    holds(_text(data))


_PAX = (b"path", b"linkpath", b"size", b"GNU.sparse.major", b"GNU.sparse.minor", b"GNU.sparse.map", b"GNU.sparse.name",
        b"GNU.sparse.numblocks", b"GNU.sparse.size", b"GNU.sparse.realsize", b"GNU.sparse.offset",
        b"GNU.sparse.numbytes", b"SCHILY.xattr.", b"ustar\x0000", b"ustar  \0", b"tar\0")  # fmt: skip
_SHELL = (b"if ", b"then\n", b"fi\n", b"do ", b"done\n", b"case x in ", b"esac", b"function f ", b"f() ", b"[[ ", b"]]", b"$((",
          b"<<E\n", b"<<<", b"<(", b"${", b"`", b"select ", b"((", b"command -v ", b"exec ", b"initqueue ")  # fmt: skip

TARGETS = {
    "tar": Target(read=tar, largest=16 * 1024, tokens=_PAX, repair=with_checksums),
    "readers": Target(
        read=readers,
        largest=16 * 1024,
        tokens=(*_PAX, b".wh.", b".wh..wh..opq", b"security.capability", b"system.posix_acl_access", b"user."),
        repair=with_checksums,
    ),
    "members": Target(
        read=members, largest=8 * 1024, tokens=(b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18", bytes(16))
    ),
    "tables": Target(
        read=tables,
        largest=4 * 1024,
        tokens=(b'{"version":1,"entries":[', b'"type":"reg"', b'"type":"chunk"', b'"chunkOffset":', b'"chunkSize":', b'"chunkType":"zeros"',
                b'"offset":', b'"endOffset":', b'"innerOffset":', b'"modtime":"2020-01-01T00:00:00Z"', b"STARGZ", b"GNUlInUx", b"SG\x16\0"),
    ),
    "initrd": Target(
        read=cpio,
        largest=8 * 1024,
        tokens=(b"070701", b"070702", b"TRAILER!!!\0", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd",
                b"\x02\x21\x4c\x18", b"\x89LZO\0", b"]\0\0\x80\0", b"kernel/x86/microcode/GenuineIntel.bin",
                b"usr/lib/dracut/modules.txt", b"squash-root.img"),
    ),
    "bolt": Target(
        read=bolt,
        largest=24 * 1024,
        tokens=(b"\xed\xda\x0c\xed", b"\xed\x0c\xda\xed", b"__storm_metadata", b"Package", b"PackageFile", b'{"ID":1,'),
        repair=with_meta_checksums,
    ),
    "packages": Target(
        read=packages,
        largest=4 * 1024,
        tokens=(b"Package: ", b"Status: install ok installed\n", b"Version: ", b"Source: ", b"\n\n", b"P:", b"V:", b"%NAME%\n", b"%VERSION%\n",
                b"[options]\n", b"DBPath = "),
    ),
    "rpm": Target(
        read=rpm,
        largest=16 * 1024,
        tokens=(b"SQLite format 3\0", b"CREATE TABLE Packages(hnum INTEGER PRIMARY KEY,blob BLOB NOT NULL)", _LOG_MARK + b"\x82", b"RpmP", b"Slot",
                b"BlbS", b"BlbE", b"\x61\x15\x06\0", b"\0\x06\x15\x61", b"\0\0\x03\xe8\0\0\0\x06", b"\0\0\x03\xe9\0\0\0\x06"),
    ),
    "kernel": Target(
        read=kernel,
        largest=16 * 1024,
        tokens=(b"HdrS", b"\x55\xaa", b"ARM\x64", b"RSC\x05", b"MZ", b"PE\0\0", b"zimg", b"Linux version ", b".linux\0\0",
                b".uname\0\0", b"\x7fELF\x02\x01\x01", b"\x7fELF\x01\x02\x01", b"#!/"),
    ),
    "programs": Target(
        read=programs,
        largest=8 * 1024,
        tokens=(b"\x7fELF\x02\x01\x01", b"\x7fELF\x01\x02\x01", b"#!/", b"\r\n", b"ld-linux-x86-64.so.2\0", b"$ORIGIN\0", b"libc.so.6\0",
                b"glibc-ld.so.cache1.1", b"ld.so-1.7.0\0"),
    ),
    "documents": Target(
        read=documents, largest=8 * 1024, tokens=tuple(key.encode() for key in KEYS), repair=with_other_values
    ),
    "signatures": Target(
        read=signatures,
        largest=8 * 1024,
        tokens=(b"critical", b"docker-manifest-digest", b"optional", b"dsseEnvelope", b"messageSignature", b"payloadType",
                b"verificationMaterial", b"x509CertificateChain", b"tlogEntries", b"predicateType", b"hashedrekord",
                b"apiVersion", b"payloadHash"),
        repair=with_other_values,
    ),
    "grub": Target(
        read=grub,
        largest=4 * 1024,
        tokens=(b"set ", b"menuentry ", b"submenu ", b"if [ ", b"; then\n", b"elif ", b"fi\n", b"function ", b"for i in ",
                b"source ", b"configfile ", b"linux ", b"initrd ", b"search --no-floppy --label --set=root ", b"unset ",
                b"${", b"@", b"cos-img/filename=", b"root=LABEL="),
    ),
    "shell": Target(read=shell, largest=4 * 1024, tokens=_SHELL),
    "yaml": Target(
        read=yaml,
        largest=4 * 1024,
        tokens=(b"#cloud-config\n", b"stages:\n", b"  rootfs:\n", b"  - ", b"&a ", b"*a", b"<<: ", b"!!binary ", b"%YAML 1.1\n",
                b"---\n", b"...\n", b"|\n", b">\n", b"? ", b"system:\n", b"repositories:\n", b"environment_file: ",
                b"users:\n", b"encoding: gzip+base64\n", b"write_files:\n"),
    ),
    "settings": Target(
        read=settings,
        largest=4 * 1024,
        tokens=(b'+=" ', b"add_dracutmodules", b"install_items", b"[Unit]\n", b"[Service]\n", b"ExecStart=-", b"\\\n",
                b"--add '", b"NAME=", b"$'"),
    ),
    "efi": Target(
        read=efi,
        largest=16 * 1024,
        tokens=(b"MZ", b"PE\0\0", b".linux\0\0", b".initrd\0", b".cmdline", b".osrel\0\0", b".uname\0\0", b".profile",
                b".sdmagic", b"\x64\x86", b"\x64\xaa", b"\x0b\x02", b"\x0b\x01"),
    ),
    "installation": Target(
        read=installation,
        largest=4 * 1024,
        tokens=(b"[composefs]\n", b"[install]\n", b"[install.filesystem.root]\n", b"enabled = ", b'type = "ext4"', b"root-fs-type",
                b"bootloader", b"d /var/", b"L+ ", b"\\x20", b"u! ", b"g ", b"title ", b"uki ", b"efi ", b"-raspi", b"0:0", b"[", b"]"),
    ),
}  # fmt: skip
