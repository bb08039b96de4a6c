"""Images made to cost time or memory, by name: what each is, and the command that meets it.

`tests.hostile.measure` runs each with the default limits and says what it took.
"""

import gzip
import hashlib
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import zstandard
from attrs import frozen

from bolt_files import BoltWriter
from cosinspect.testing import ImageBuilder, Symlink, image_index
from cosinspect.testing.bootfiles import cpio_archive, efi_program, executable
from cosinspect.testing.derivative import KERNEL_VERSION, derivative_of, parts_of
from cosinspect.testing.elf_files import elf_file
from cosinspect.testing.tar_writer import pax_header, tar_header

__all__ = ["ATTACKS", "Attack"]

GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
END = bytes(1024)


@frozen
class Attack:
    """An image, and the command that is run on it.

    Attributes:
        kind: what is attacked.
        write: writes the image below a directory and gives its name.
        command: the words before the name.
        arguments: what follows the name; `{place}` is the directory.
    """

    kind: str
    write: Callable[[Path], str]
    command: tuple[str, ...] = ("check",)
    arguments: tuple[str, ...] = ()


ATTACKS: dict[str, Attack] = {}


def attack(name, kind, *command, arguments=()):
    def keep(write):
        ATTACKS[name] = Attack(kind, write, command or ("check",), arguments)
        return write

    return keep


# -- layers ------------------------------------------------------------------------------------------------------------


def squeezed(pieces):
    """Compress pieces as they come; gives the blob and the digest of what is in it."""
    packer, whole = zlib.compressobj(6, zlib.DEFLATED, 31), hashlib.sha256()
    blob = []
    for piece in pieces:
        whole.update(piece)
        blob.append(packer.compress(piece))
    return b"".join((*blob, packer.flush())), f"sha256:{whole.hexdigest()}"


def image_of(*layers):
    builder = ImageBuilder()
    for pieces in layers:
        blob, diff_id = squeezed(pieces)
        builder = builder.raw_layer(blob, media_type=GZIP, diff_id=diff_id)
    return builder.build()


def counted(count, name, **fields):
    """Headers of entries that differ by a number of eight digits in their names, made quickly."""
    digits = b"%08d" % 0
    block = bytearray(tar_header(name.format("00000000"), **fields))
    at = block.index(digits)
    start = sum(block) - sum(block[148:156]) - sum(block[at : at + 8]) + 256
    for number in range(count):
        text = b"%08d" % number
        block[at : at + 8] = text
        block[148:156] = b"%06o\0 " % (start + sum(text))
        yield bytes(block)


def archive(*parts):
    for part in parts:
        yield from (part,) if isinstance(part, bytes) else part
    yield END


def pax(name, **fields):
    return pax_header({"path": name}) + tar_header("f", **fields)


@attack("entries in two layers", "entries")
def entries_in_two_layers(place):
    return image_of(*(archive(counted(1_000_000, f"{layer}/{{}}")) for layer in "ab")).write_layout(place)


@attack("ten million entries of one name", "entries")
def entries_of_one_name(place):
    many = [tar_header("f") * 10_000] * 1000
    return image_of(archive(many)).write_layout(place)


@attack("one layer of 100,000 entries, 200 times", "entries")
def layers_again(place):
    blob, diff_id = squeezed(archive(counted(100_000, "d/{}")))
    builder = ImageBuilder()
    for _ in range(200):
        builder = builder.raw_layer(blob, media_type=GZIP, diff_id=diff_id)
    return builder.build().write_layout(place)


@attack("20,000 entries, each 900 directories deep", "directories")
def deep_directories(place):
    below = "/".join(["d"] * 900)
    return image_of(archive(pax(f"{at}/{below}/f") for at in range(20_000))).write_layout(place)


@attack("names of 60,000 characters", "names")
def long_names(place):
    long = "n" * 60_000
    return image_of(archive(pax(f"{at}{long}") for at in range(10_000))).write_layout(place)


@attack("500 PAX headers of 1 MB", "PAX headers")
def large_pax(place):
    large = pax_header({"comment": "c" * (1_000_000)}) + tar_header("f")
    return image_of(archive([large] * 500)).write_layout(place)


@attack("300 PAX headers of 20,000 records", "PAX headers")
def many_records(place):
    large = pax_header({f"k{at}": "" for at in range(20_000)}) + tar_header("f")
    return image_of(archive([large] * 300)).write_layout(place)


@attack("200,000 entries with 30 attributes each", "attributes")
def many_attributes(place):
    attributes = {f"SCHILY.xattr.user.a{at}": f"v{at}" for at in range(30)}
    header = pax_header(attributes)
    return image_of(
        archive(part for entry in counted(200_000, "{}") for part in (header, entry))
    ).write_layout(place)


@attack("attributes of 60,000 bytes", "attributes")
def large_attributes(place):
    def entries():
        for at, entry in enumerate(counted(20_000, "{}")):
            yield pax_header({"SCHILY.xattr.user.a": f"{at:05}" + "v" * 60_000})
            yield entry

    return image_of(archive(entries())).write_layout(place)


@attack("sparse maps of 40,000 stretches", "sparse files")
def sparse_maps(place):
    stretches = ",".join(f"{2 * at},0" for at in range(40_000))
    records = {
        "GNU.sparse.numblocks": "40000",
        "GNU.sparse.map": stretches,
        "GNU.sparse.size": "80000",
        "GNU.sparse.name": "f",
    }
    return image_of(archive([pax_header(records) + tar_header("f")] * 500)).write_layout(place)


@attack("40 GiB of zeros, gzip", "decompression")
def gzip_bomb(place):
    member = gzip.compress(bytes(1 << 26), mtime=0)
    header = tar_header("zeros", size=40 << 30)
    blob = gzip.compress(header, mtime=0) + member * 640
    return (
        ImageBuilder()
        .raw_layer(blob, media_type=GZIP, diff_id="sha256:" + "0" * 64)
        .build()
        .write_layout(place)
    )


@attack("zstd windows of 128 MiB, eight layers", "decompression")
def zstd_windows(place):
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=27)
    builder = ImageBuilder()
    for at in range(8):
        raw = tar_header(f"zeros{at}", size=300 << 20) + bytes(300 << 20) + END
        packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        blob = packer.compress(raw) + packer.flush()
        diff_id = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        builder = builder.raw_layer(blob, media_type=ZSTD, diff_id=diff_id)
    return builder.build().write_layout(place)


# -- trees -------------------------------------------------------------------------------------------------------------

DEEP = "/".join(["d"] * 900)


def linked(name, target):
    return pax_header({"linkpath": target}) + tar_header(name, typeflag=b"2")


@attack("a link that is replaced, and deep entries", "links")
def replaced_link(place):
    entries = (part for at in range(30_000) for part in (linked("l", "x"), pax(f"{DEEP}/{at}")))
    return image_of(archive(entries)).write_layout(place)


@attack("a directory that is replaced, and deep entries", "links")
def replaced_directory(place):
    entries = (
        part
        for at in range(20_000)
        for part in (tar_header("l/", typeflag=b"5"), tar_header("l"), pax(f"{DEEP}/{at}"))
    )
    return image_of(archive(entries)).write_layout(place)


@attack("a chain of 35 long links whose end is replaced", "links")
def long_chain(place):
    chain = [linked(f"l{at}", "./" * 2000 + f"l{at + 1}") for at in range(35)]
    entries = (part for at in range(30_000) for part in (linked("l34", "l35"), tar_header(f"l0/{at}")))
    return image_of(archive(chain, tar_header("l35/", typeflag=b"5"), entries)).write_layout(place)


@attack("hard links, each to the one before", "hard links")
def chained_hardlinks(place):
    def entries():
        yield tar_header("h00000000")
        for at in range(1, 300_000):
            yield tar_header(f"h{at:08}", typeflag=b"1", linkname=f"h{at - 1:08}")

    return image_of(archive(entries())).write_layout(place)


@attack("hard links whose targets have 20,000 dots", "hard links")
def dotted_hardlinks(place):
    target = "d/../" * 10_000 + "f"
    link = pax_header({"linkpath": target})
    entries = (link + tar_header(f"h{at}", typeflag=b"1") for at in range(5000))
    return image_of(archive(tar_header("f"), tar_header("d/", typeflag=b"5"), entries)).write_layout(place)


@attack("100,000 opaque directories over 300,000 files", "whiteouts")
def opaques(place):
    lower = archive(counted(300_000, "d/{}/f"))
    upper = archive(counted(100_000, "d/{}/.wh..wh..opq"))
    return image_of(lower, upper).write_layout(place)


@attack("50,000 whiteouts of nothing, 900 directories deep", "whiteouts")
def deep_whiteouts(place):
    entries = (pax(f"{DEEP}/.wh.{at}") for at in range(50_000))
    return image_of(archive(pax(f"{DEEP}/f")), archive(entries)).write_layout(place)


@attack("readers differ on 200,000 paths", "comparison", "check", arguments=("--format", "json"))
def differing(place):
    """Hard links with another mode than their file's, in a second layer."""
    lower = archive(counted(200_000, "d/{}"))
    links = (
        tar_header(f"h/{at:08}", typeflag=b"1", linkname=f"d/{at:08}", mode=0o600) for at in range(200_000)
    )
    return image_of(lower, archive(links)).write_layout(place)


@attack("ls -R of 1,000,000 names", "commands", "ls", arguments=("-R",))
def listed(place):
    return image_of(archive(counted(1_000_000, "d/{}"))).write_layout(place)


@attack("history in 200 layers of 5,000 entries", "commands", "history", arguments=("/d/00000007",))
def history(place):
    return image_of(*(archive(counted(5000, "d/{}")) for _ in range(200))).write_layout(place)


@attack("packages in 1,000,000 names", "commands", "packages")
def packages(place):
    return listed(place)


@attack("explain an image of 1,000,000 names", "commands", "explain", arguments=("COS010",))
def explained(place):
    return listed(place)


@attack("diff of two images of 400,000 names each", "commands", "diff")
def differing_images(place):
    image_of(archive(counted(400_000, "e/{}"))).write_layout(place / "other")
    return image_of(archive(counted(400_000, "d/{}"))).write_layout(place / "one")


# -- documents ---------------------------------------------------------------------------------------------------------


def small():
    return ImageBuilder().layer({"f": "x"}).build()


@attack("a manifest of 4 MiB, nested", "documents")
def nested_manifest(place):
    raw = (
        small().manifest.rstrip()[:-1]
        + b',"annotations":'
        + b'{"a":' * 600_000
        + b"1"
        + b"}" * 600_000
        + b"}"
    )
    return small().with_manifest(raw).write_layout(place)


@attack("a configuration of 4 MiB of history", "documents")
def large_configuration(place):
    def edit(config):
        config["history"] += [{"empty_layer": True} for _ in range(150_000)]

    return ImageBuilder().layer({"f": "x"}).edit_config(edit).build().write_layout(place)


@attack("1000 layers", "documents")
def many_layers(place):
    builder = ImageBuilder()
    for at in range(1000):
        builder = builder.layer({f"f{at}": "x"})
    return builder.build().write_layout(place)


@attack("an index of 900 indexes", "documents")
def wide_index(place):
    return image_index(
        *(image_index(ImageBuilder(platform="linux/s390x").layer({f"{at}": ""}).build()) for at in range(900))
    ).write_layout(place)


# -- files of a derivative ---------------------------------------------------------------------------------------------


def derivative_with(place, *changes, generation="G2"):
    parts = parts_of(generation, "amd64")
    for change in changes:
        change(parts)
    return derivative_of(parts).write_layout(place)


def written(files):
    def change(parts):
        for path, body in files.items():
            parts.write(path, body)

    return change


def yaml_attack(name, files):
    @attack(f"YAML: {name}", "YAML")
    def write(place):
        return derivative_with(place, written(files()))


def yamls(body, count=20):
    return lambda: {f"system/oem/{at:05}_x.yaml": body() if callable(body) else body for at in range(count)}


yaml_attack(
    "20 files of 200,000 values", yamls("stages:\n  boot:\n  - commands: [" + "a," * 200_000 + "b]\n")
)
yaml_attack("20 files of 100,000 stages", yamls("stages:\n  boot:\n" + "  - name: x\n" * 100_000))
yaml_attack(
    "20 files of aliases of aliases",
    yamls(
        "a0: &a0 [x,x,x,x,x,x,x,x]\n"
        + "".join(f"a{at}: &a{at} [{','.join([f'*a{at - 1}'] * 8)}]\n" for at in range(1, 20))
        + "stages: {boot: *a19}\n"
    ),
)
yaml_attack(
    "20 files of 60,000 aliases of one list",
    yamls(
        "x: &x [{name: a, commands: [a, b, c]}]\nstages:\n"
        + "".join(f"  s{at}: *x\n" for at in range(60_000))
    ),
)
yaml_attack(
    "merges",
    yamls(
        "a0: &a0 {k0: 1}\n"
        + "".join(f"a{at}: &a{at} {{<<: *a{at - 1}, k{at}: 1}}\n" for at in range(1, 3000))
    ),
)
yaml_attack(
    "nested 90 deep, wide",
    yamls(
        "stages: "
        + ("[" * 90 + "]" * 90 + ",\n ") * 1
        + "\n"
        + "".join(f"k{at}: " + "[" * 90 + "]" * 90 + "\n" for at in range(2000))
    ),
)
yaml_attack("unclosed flow brackets", yamls("[" * 500_000, 4))
yaml_attack("unclosed block keys", yamls("".join(" " * (at % 2000) + "a:\n" for at in range(20_000)), 4))
yaml_attack("a plain text of 7 MB", yamls("stages: " + "a b " * 1_800_000, 1))
yaml_attack("quoted escapes", yamls('stages: "' + "\\u0061" * 1_000_000 + '"\n', 1))
yaml_attack("20,000 small files", yamls("stages: {boot: [{name: x}]}\n", 20_000))
yaml_attack("anchors without end", yamls("".join(f"- &a{at} x\n" for at in range(300_000)), 3))
yaml_attack("complex keys", yamls("? [a, b]\n: c\n" * 100_000, 3))
yaml_attack("the tag !", yamls("".join(f"- ! x{at}\n" for at in range(200_000)), 3))

PATTERNS = {
    "letters": "a", "backslashes": "\\", "quotes": "'", "double quotes": '"', "substitutions": "$(", "variables": "${a", "braces": "{",
    "parentheses": "(", "assignments": "a=", "lines": "\n", "blanks": " ", "continued lines": "\\\n", "comments": "#", "semicolons": "; ",
    "backticks": "`", "sections": "[a]\n", "units": "a=b\n", "here documents": "<<a\n", "case": "case a in ", "if": "if a\nthen ", "pipes": "a|",
}  # fmt: skip
"""What files of text are filled with: each alone is what some grammar opens, repeats or escapes."""

TEXTS = (
    ".conf", ".cfg", ".sh", ".yaml", ".yml", ".service", ".target", ".env", "passwd", "shadow", "group", "os-release", "ld.so.conf", "fstab", "dracut.conf",
    "modules.dep", "modules.builtin", "modules.softdep", "bootargs.cfg", "grub.cfg", "cos-setup", "cos-immutable-rootfs", "kairos-release", "oem", "pam.d/login", "hooks",
)  # fmt: skip


def filled(pattern, size):
    def change(parts):
        body = pattern * (size // len(pattern))
        for layer in (parts.base, parts.kernel, parts.packages, parts.boot):
            for path, entry in list(layer.items()):
                if isinstance(entry, str) or (path.endswith(TEXTS) and not isinstance(entry, Symlink)):
                    layer[path] = body
        for path, entry in list(parts.initrd.items()):
            if isinstance(entry, str) and path.endswith(TEXTS):
                parts.initrd[path] = body

    return change


def text_attack(name, pattern):
    @attack(f"every text is a MiB of {name}", "texts")
    def write(place):
        return derivative_with(place, filled(pattern, 1 << 20))


for _name, _pattern in PATTERNS.items():
    text_attack(_name, _pattern)


def grub_attack(name, script):
    @attack(f"GRUB: {name}", "GRUB scripts")
    def write(place):
        def change(parts):
            for layer in (parts.base, parts.kernel, parts.packages, parts.boot):
                for path in layer:
                    if path.endswith(("grub.cfg", "bootargs.cfg")):
                        layer[path] = script

        return derivative_with(place, change)


grub_attack(
    "2000 conditions that only the machine knows",
    "".join(f'if [ "$u{at}" = x ]; then set a=${{a}}{at}; else set b=${{b}}{at}; fi\n' for at in range(2000))
    + "menuentry x { linux /boot/vmlinuz $a $b }\n",
)
grub_attack("loops in loops", "for a in 1 2 3 4 5 6 7 8 9; do " * 12 + "set x=${x}y; " + "done; " * 12 + "\n")
grub_attack("while true", "while true; do set a=${a}a; done\n")
grub_attack("a function that calls itself", "function f { f; f; }\nf\n")
grub_attack(
    "variables that double",
    "set a=aaaaaaaaaaaaaaaa\n" + "set a=$a$a\n" * 60 + "menuentry x { linux /boot/vmlinuz $a }\n",
)
grub_attack(
    "100,000 entries of a menu",
    "".join(f"menuentry '{at}' {{ linux /boot/vmlinuz; initrd /boot/initrd }}\n" for at in range(100_000)),
)
grub_attack(
    "a file that sources itself",
    "source /etc/cos/bootargs.cfg\nsource /grub2/grub.cfg\nconfigfile /etc/cos/grub.cfg\n" * 1000,
)
grub_attack("patterns that go back", "if regexp '(a+)+(a+)+(a+)+$' '" + "a" * 3000 + "b'; then set x=1; fi\n")


@attack("an initrd of 700,000 members", "initrd")
def initrd_members(place):
    def change(parts):
        header = bytearray(cpio_archive({"f00000000": ""}))
        at = header.index(b"f00000000")
        end = at + len(b"f00000000\0") + (-(at + 10) % 4)
        member = header[:end]
        body = bytearray()
        for number in range(700_000):
            member[at + 1 : at + 9] = b"%08d" % number
            body += member
        parts.cut = lambda data: data + gzip.compress(bytes(body) + cpio_archive({}), 1)

    return derivative_with(place, change)


@attack("an initrd of 20 GiB of zeros", "initrd")
def initrd_bomb(place):
    def change(parts):
        parts.cut = lambda _: gzip.compress(bytes(1 << 26), mtime=0) * 320

    return derivative_with(place, change)


@attack("an initrd with a member of 3 GiB", "initrd")
def initrd_member(place):
    def change(parts):
        member = b"070701" + b"%08X" * 13 % (1, 0o100644, 0, 0, 1, 0, 3 << 30, 0, 0, 0, 0, 2, 0) + b"f\0"
        parts.cut = lambda _: gzip.compress(member, mtime=0) + gzip.compress(bytes(1 << 26), mtime=0) * 48

    return derivative_with(place, change)


@attack("4000 units that each require all others", "systemd")
def unit_graph(place):
    names = [f"u{at}.service" for at in range(4000)]
    body = "[Unit]\nRequires=" + " ".join(names) + "\n"

    def change(parts):
        for layer in (parts.base, parts.packages, parts.boot):
            for path in layer:
                if path.endswith("default.target") and not isinstance(layer[path], Symlink):
                    layer[path] = body
        parts.top.update({f"etc/systemd/system/{name}": body for name in names[:150]})
        parts.top["etc/systemd/system/multi-user.target"] = body
        parts.step = "COPY units"

    return derivative_with(place, change)


@attack("3000 drop-ins of one unit", "systemd")
def drop_ins(place):
    files = {
        f"etc/systemd/system/multi-user.target.d/{at}.conf": "[Unit]\nWants=" + f"a{at}.service " * 500 + "\n"
        for at in range(3000)
    }
    return derivative_with(place, written(files))


@attack("800 libraries that each need all others", "programs")
def libraries(place):
    names = [f"lib{at}.so" for at in range(800)]
    body = elf_file(needed=names)
    files = {f"usr/lib/{name}": executable(body) for name in names}
    files["usr/bin/mount"] = executable(body)
    files["usr/sbin/init"] = executable(body)
    return derivative_with(place, written(files))


@attack("an ld.so.cache of 15 MiB", "programs")
def loader_cache(place):
    count = 600_000
    head = b"glibc-ld.so.cache1.1" + struct.pack("<II", count, 100) + bytes(20)
    body = head + struct.pack("<iIIIQ", 0x0303, 0, 0, 0, 0) * count + b"lib.so\0" * 100
    return derivative_with(place, written({"etc/ld.so.cache": body}))


@attack("a modules.dep of 15 MiB, and its index", "module indexes")
def module_index(place):
    directory = f"usr/lib/modules/{KERNEL_VERSION}"
    lines = "".join(f"kernel/{at}.ko: kernel/{at + 1}.ko kernel/{at + 2}.ko\n" for at in range(300_000))
    node = struct.pack(">IBB", 0x20000000 | 12, 0, 255)
    trie = (
        struct.pack(">III", 0xB007F457, 0x00020001, 0xE000000C)
        + (b"a" * 200 + b"\0" + b"\0\xff" + struct.pack(">I", 0xE000000C) * 256) * 20
        + node
    )
    return derivative_with(
        place,
        written(
            {
                f"{directory}/modules.dep": lines,
                f"{directory}/modules.dep.bin": trie,
                f"{directory}/modules.builtin": lines,
            }
        ),
    )


@attack("a unified kernel image of 65,535 sections", "PE sections")
def pe_sections(place):
    def change(parts):
        body = bytearray(efi_program("amd64"))
        at = struct.unpack_from("<I", body, 60)[0]
        struct.pack_into("<H", body, at + 6, 65_535)
        section = b".linux\0\0" + struct.pack("<IIIIIIHHI", 1 << 20, 4096, 1 << 20, 512, 0, 0, 0, 0, 0)
        parts.write("boot/EFI/Linux/x.efi", bytes(body) + section * 65_535 + bytes(1 << 20))

    return derivative_with(place, change)


@attack("a luet database of 100 MiB", "bolt pages")
def bolt(place):
    writer = BoltWriter(page_size=4096)
    value = b"x" * 480
    children = []
    for at in range(190):
        first = 10 + at * 130
        writer.leaf(first, *((b"%03d%05d" % (at, number), value) for number in range(1000)))
        children.append((b"%03d" % at, first))
    writer.branch(4, *children)
    writer.leaf(3, (b"Package", writer.bucket(4), 1))
    writer.metas(root=3, mark=30_000)
    body = writer.file()
    return derivative_with(
        place, written({"usr/local/system/luet/luet.db": body, "var/lib/luet/luet.db": body})
    )


@attack("a luet database whose pages are each other's children", "bolt pages")
def bolt_circle(place):
    meta = struct.pack("<QHHIIIIIQQQQQ", 0, 4, 0, 0, 0xED0CDAED, 2, 4096, 0, 3, 0, 2, 20_000, 1)
    value = 0xCBF29CE484222325
    for byte in meta[16:72]:
        value = ((value ^ byte) * 0x100000001B3) & (1 << 64) - 1
    meta += struct.pack("<Q", value)
    pages = [
        meta.ljust(4096, b"\0"),
        (meta[:0] + meta).ljust(4096, b"\0"),
        struct.pack("<QHHI", 2, 16, 0, 0).ljust(4096, b"\0"),
    ]
    for number in range(3, 20_000):
        elements = b"".join(struct.pack("<IIQ", 2000, 0, 3 + (number * 7 + at) % 19_000) for at in range(120))
        pages.append((struct.pack("<QHHI", number, 1, 120, 0) + elements).ljust(4096, b"\0"))
    return derivative_with(
        place,
        written({"usr/local/system/luet/luet.db": b"".join(pages), "var/lib/luet/luet.db": b"".join(pages)}),
    )


# -- reports -----------------------------------------------------------------------------------------------------------


def irregular_layers(place):
    """Names that leave the root, of which each layer may tell a thousand."""
    layers = [
        archive(counted(2000, f"../../{at}/{{}}"), counted(2000, f"l{at}/{{}}"), counted(2000, f"l{at}/{{}}"))
        for at in range(60)
    ]
    return image_of(*layers).write_layout(place)


for _format in ("text", "json", "sarif", "html", "junit", "markdown"):
    attack(f"100,000 findings, written as {_format}", "reports", "check", arguments=("--format", _format))(
        irregular_layers
    )


PATTERNS_THAT_GO_BACK = """
name = "patterns"

[[files]]
id = "SLOW001"
name = "text-found"
path = "/**/*a*a*a*a*a*a*b"
optional = true
lacks = "(a+)+(a+)+(a+)+$"
"""


@attack("a policy whose patterns go back", "patterns", "check", arguments=("--policy", "{place}/policy.toml"))
def policy_patterns(place):
    (place / "policy.toml").write_text(PATTERNS_THAT_GO_BACK)
    body = b"a" * (1 << 20) + b"b"
    names = [tar_header("a" * 90 + f"{at:06}ab", size=len(body)) + body + bytes(511) for at in range(50)]
    return image_of(archive(counted(20_000, "a" * 80 + "{}"), names)).write_layout(place / "image")
