"""Each bound of `Limits` from both sides: what just fits is read, what is one more ends in a typed error.

A field without a row fails here, so that no bound is added that nothing holds to. What needs a registry, signatures or an
initrd is tested beside those, and only named here.
"""

import ast
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import attrs
import pytest
import zstandard
from attrs import evolve

import cosinspect
from cosinspect import inspect, open_image
from cosinspect.cache import Cache, open_directory
from cosinspect.deadline import Deadline
from cosinspect.errors import FormatError, LimitExceeded, SymlinkLoop
from cosinspect.formats.text.yaml import load_yaml
from cosinspect.formats.yip.nodes import read_nodes
from cosinspect.layer.retain import Retain
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci.documents import OCI_LAYER
from cosinspect.rootfs.differences import compare_semantics
from cosinspect.rootfs.rootfs import Rootfs
from cosinspect.rootfs.semantics import Semantics
from cosinspect.testing import ImageBuilder, Symlink, digest_of, image_index
from cosinspect.testing.bootfiles import executable
from cosinspect.testing.elf_files import elf_file
from cosinspect.testing.layers import compress
from cosinspect.testing.tar_writer import tar_bytes
from raw_tar import END, entry
from stacks import layer_of

TESTS = Path(__file__).parent


def indexed(archive, **options):
    return lambda _path, limits: layer_of(archive, limits=limits, **options).index()


def merged(built):
    def case(path, limits):
        name = built.write_layout(path)
        with open_image(name, platform="linux/amd64", limits=limits) as image:
            image.read_rootfs()

    return case


def read_differently(_path, limits):
    """Elemental has no opaque whiteouts: it sees three files more than the specification requires."""
    layers = [{"d/a": "1", "d/b": "2", "d/c": "3"}, {"d/.wh..wh..opq": ""}]
    tree = Rootfs([layer_of(tar_bytes(each)).index() for each in layers], limits=limits)
    compare_semantics(tree, Semantics.ELEMENTAL, limits=limits)


def linked(_path, limits):
    tree = Rootfs(
        [layer_of(tar_bytes({"a": Symlink("b"), "b": Symlink("c"), "c": ""})).index()], limits=limits
    )
    tree.resolve("/a")


def parsed(_path, limits):
    load_yaml("key: value", limits=limits)


def window(log):
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=log)
    writer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    archive = tar_bytes({"f": "x"})
    return indexed(archive, blob=writer.compress(archive) + writer.flush())


TWO = ImageBuilder().layer({"a": "1"}).layer({"b": "2"}).build()
SMALL = ImageBuilder().layer({"a": "1"}).build()
ZEROS = tar_bytes({"zeros": bytes(1 << 24)})
ZEROS_BLOB = compress(ZEROS, "zstd")

BOTH_SIDES = {
    "manifest_bytes": (merged(SMALL), len(SMALL.manifest)),
    "config_bytes": (merged(SMALL), len(SMALL.config)),
    "index_depth": (merged(image_index(image_index(SMALL))), 2),
    "layers": (merged(TWO), 2),
    "inflated_bytes": (indexed(ZEROS, blob=compress(ZEROS, "gzip")), len(ZEROS)),
    "inflated_ratio": (indexed(ZEROS, blob=ZEROS_BLOB), -(-len(ZEROS) // len(ZEROS_BLOB))),
    "zstd_window_bytes": (window(28), 1 << 28),
    "entries": (indexed(tar_bytes({"a": "", "b": "", "c": ""})), 3),
    "directories": (indexed(entry("a/b/c/f") + END), 3),
    "path_bytes": (indexed(entry("n" * 90) + END), 90),
    "path_depth": (indexed(entry("a/b/c") + END), 3),
    "pax_bytes": (indexed(tar_bytes({"n" * 300: ""})), None),
    "metadata_characters": (indexed(tar_bytes({f"name{at:02}": "" for at in range(50)})), None),
    "link_hops": (linked, 2),
    "differences": (read_differently, 3),
    "parsed_file_bytes": (parsed, len("key: value")),
}
"""By field: what is read under the limits, and the least bound under which it fits, where that can be said."""

ELSEWHERE = {
    "seconds": "sources/test_bad_days.py",
    "table_bytes": "layer/test_tables.py",
    "chunk_bytes": "layer/test_tables.py",
    "token_bytes": "sources/test_registry_access.py",
    "error_bytes": "sources/test_registry_faults.py",
    "listing_bytes": "sources/test_registry_lists.py",
    "listed": "sources/test_registry_lists.py",
    "listing_pages": "sources/test_registry_lists.py",
    "candidates": "image/test_image.py",
    "signatures": "signatures/test_wrong_signatures.py",
    "signature_bytes": "signatures/test_wrong_signatures.py",
    "database_bytes": "formats/test_bolt.py",
    "cloud_config_bytes": "checks/test_cloud_configs.py",
    "database_records": "formats/test_luet.py",
    "database_values": "formats/test_luet.py",
    "units": "facts/test_unit_tree.py",
    "yaml_nodes": "formats/test_yaml.py",
    "initrd_bytes": "formats/test_initrd_segments.py",
    "initrd_segments": "formats/test_initrd_segments.py",
    "initrd_entries": "formats/test_initrd_segments.py",
    "initrd_body_bytes": "formats/test_initrd_segments.py",
}

HERE = {
    "index_bytes",
    "program_bytes",
    "yaml_events",
    "notes_of_a_kind",
    "program_characters",
    "retained_file_bytes",
    "retained_bytes",
}


OF_A_MODULE = {
    "facts/boot_search.py": {"_MOST_LINKS"},
    "facts/ext2.py": {"_MOST_BLOCKS"},
    "facts/prefetch.py": {"MOST"},
    "formats/text/containerfile.py": {"MAX_BYTES"},
    "rootfs/batches.py": {"_MOST_TEXT"},
    "formats/boot/go_program.py": {"_MAX_TEXT"},
    "formats/boot/grub_evaluator.py": {"MAX_CALLS", "MAX_WORK"},
    "formats/boot/grub_menu.py": {"MAX_SUBMENUS"},
    "formats/boot/grub_state.py": {"MAX_MENU"},
    "formats/boot/grub_syntax.py": {"MAX_DEPTH", "MAX_STATEMENTS"},
    "formats/boot/grub_tokens.py": {"MAX_WORD"},
    "formats/boot/grub_values.py": {"MAX_DEPTH", "MAX_WEIGHT"},
    "formats/boot/module_index.py": {"MAX_ENTRIES", "_MAX_KEY"},
    "formats/boot/pe.py": {"_MOST_SECTIONS"},
    "formats/boot/program.py": {"_MOST_NAMES"},
    "formats/packages/rpm_header.py": {"MOST_BYTES", "MOST_CHARACTERS", "MOST_ENTRIES"},
    "formats/packages/rpm_sqlite.py": {"_MOST_LOOKS"},
    "formats/boot/symbol_versions.py": {"MAX_VERSIONS"},
    "formats/boot/unified_kernel.py": {"_MOST_OPENED", "_MOST_PROBLEMS", "_MOST_PROFILES"},
    "formats/shell/quoting.py": {"MAX_NESTING"},
    "formats/text/accounts.py": {"_MAX_ACCOUNTS"},
    "formats/text/fstab.py": {"MAX_MOUNTS"},
    "formats/text/go_version.py": {"_MOST_CHARACTERS"},
    "formats/text/pam.py": {"MAX_HANDLERS", "_MAX_STATES"},
    "formats/text/problem.py": {"MAX_CHARACTERS", "MAX_PROBLEMS"},
    "formats/toc.py": {"_MOST"},
    "formats/yip/conditions.py": {"MAX_CONDITION"},
    "formats/yip/go_yaml.py": {"MAX_ERRORS", "MAX_NOTES", "MAX_STEPS"},
    "layer/checkpoints.py": {"MOST"},
    "rootfs/usage.py": {"_MOST_NOTED"},
    "compression/xz.py": {"_MOST_BLOCKS", "_MOST_WORKERS"},
    "oci/documents.py": {"_MAX_SIZE"},
    "oci/reference.py": {"_MAX_REPOSITORY"},
}
"""By module: bounds of one file's shape, of what is told, or of what a program of the field takes."""

ROOMS = ("facts", "formats", "layer", "rootfs", "tar", "compression", "image", "oci", "cache")


def named_bounds(path):
    """The constants of a module whose names say that they bound something."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if re.search(r"(^|_)(MAX|MOST|LIMIT)(_|$)", name):
                yield name


def test_what_bounds_the_cost_of_an_image_is_a_field_of_limits():
    """A new constant that bounds something is decided on here: it is a field of `Limits`, or is named here."""
    package = Path(cosinspect.__file__).parent
    found = {}
    for room in ROOMS:
        for path in (package / room).rglob("*.py"):
            names = set(named_bounds(path))
            if names:
                found[str(path.relative_to(package))] = names
    assert OF_A_MODULE == found, (
        "add the bound to cosinspect.limits.Limits; if it is of one file's shape, name it here"
    )


def test_every_bound_has_a_row():
    assert {field.name for field in attrs.fields(Limits)} == {*BOTH_SIDES, *ELSEWHERE, *HERE}


@pytest.mark.parametrize("field", ELSEWHERE)
def test_the_test_that_is_named_is_of_the_bound(field):
    assert field in (TESTS / ELSEWHERE[field]).read_text()


@pytest.mark.parametrize("field", BOTH_SIDES)
def test_what_fits_is_read_and_what_does_not_ends_in_a_typed_error(tmp_path, field):
    case, least = BOTH_SIDES[field]

    def fits(bound):
        limits = evolve(DEFAULT_LIMITS, **{field: bound})
        refused = None
        try:
            case(tmp_path / str(bound), limits)
        except (LimitExceeded, FormatError, SymlinkLoop) as fault:
            refused = fault
        if isinstance(refused, LimitExceeded):
            assert (field, bound) == (refused.limit, refused.bound)
            assert str(bound) in str(refused)
        elif isinstance(refused, FormatError):
            assert "limit" == refused.kind
        return refused is None

    if least is None:
        least = next(bound for bound in range(1, 100_000) if fits(bound))
    assert fits(least)
    assert not fits(least - 1)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_the_ratio_bounds_every_compression(tmp_path, compression):
    blob = compress(ZEROS, compression)
    least = -(-len(ZEROS) // len(blob))

    indexed(ZEROS, blob=blob)(tmp_path, evolve(DEFAULT_LIMITS, inflated_ratio=least))
    with pytest.raises(LimitExceeded) as fault:
        indexed(ZEROS, blob=blob)(tmp_path, evolve(DEFAULT_LIMITS, inflated_ratio=least - 1))
    assert "inflated_ratio" == fault.value.limit


def test_of_one_kind_so_many_irregularities_are_told():
    archive = b"".join(entry("same") for _ in range(10)) + END

    def noted(bound):
        index = layer_of(archive, limits=evolve(DEFAULT_LIMITS, notes_of_a_kind=bound)).index()
        return [item.message for item in index.irregularities if item.kind == "duplicate-entry"]

    assert 9 == len(noted(10))
    assert 4 == len(noted(4))
    assert "left out" in noted(4)[-1]


def many(layers, count):
    builder = ImageBuilder()
    for layer in range(layers):
        builder = builder.layer({f"{layer}-{at}": "" for at in range(count)})
    return builder.build()


def test_memory_is_bounded_for_all_layers_together(tmp_path):
    limits = evolve(DEFAULT_LIMITS, index_bytes=400_000)
    merged(many(1, 500))(tmp_path / "one", limits)
    merged(many(2, 200))(tmp_path / "two", limits)
    twice = many(1, 400)
    blob = twice.blobs[twice.layers[0]]
    same = ImageBuilder()
    for _ in range(2):
        same = same.raw_layer(blob, media_type=f"{OCI_LAYER}+gzip", diff_id=digest_of(twice.tars[0]))
    for name, built in (("layers", many(2, 400)), ("same", same.build())):
        with pytest.raises(LimitExceeded) as fault:
            merged(built)(tmp_path / name, limits)
        assert ("index_bytes", 400_000) == (fault.value.limit, fault.value.bound)
        assert "`index_bytes`" in str(fault.value)


def test_a_layer_that_the_cache_knows_counts_as_well(tmp_path):
    name = many(2, 400).write_layout(tmp_path / "image")
    cache = Cache(open_directory(tmp_path / "cache", trusted=True))
    with open_image(name, cache=cache) as image:
        image.read_rootfs()
    limits = evolve(DEFAULT_LIMITS, index_bytes=400_000)
    with open_image(name, cache=cache, limits=limits) as image, pytest.raises(LimitExceeded):
        image.read_rootfs()


def test_the_yaml_files_of_an_image_are_bounded_together():
    limits = evolve(DEFAULT_LIMITS, yaml_events=1000)
    text = "- a\n" * 300
    load_yaml(text, limits=limits)
    with Deadline(60).running("image"):
        for _ in range(3):
            load_yaml(text, limits=limits)
        for read in (load_yaml, lambda text, limits: read_nodes(text.encode(), limits=limits)):
            with pytest.raises(LimitExceeded) as fault:
                read(text, limits=limits)
            assert "yaml_events" == fault.value.limit
    load_yaml(text, limits=limits)


def test_what_is_noted_of_programs_is_bounded_and_read_again_beyond_that(tmp_path):
    entries = {f"usr/bin/{name}": executable(elf_file(needed=["libc.so.6"])) for name in "abc"}
    name = ImageBuilder().layer(entries).build().write_layout(tmp_path)
    for bound, noted in ((2000, 3), (800, 2), (0, 0)):
        with open_image(name, limits=evolve(DEFAULT_LIMITS, program_characters=bound)) as image:
            rootfs = image.read_rootfs()
            found = rootfs.programs(rootfs.stat(f"/{path}") for path in entries)
            assert noted == len(rootfs.indexes[0].programs)
            assert {("libc.so.6",)} == {program.elf.needed for program in found.values()}
            assert 3 == len(found)


def test_what_is_kept_in_memory_is_bounded_and_read_again_beyond_that():
    for bounds, kept in (
        ({"retained_file_bytes": 100}, [True, False]),
        ({"retained_file_bytes": 99}, [False, False]),
        ({"retained_bytes": 201}, [True, True]),
        ({"retained_bytes": 200}, [True, False]),
    ):
        retain = Retain(["**"], limits=evolve(DEFAULT_LIMITS, **bounds))
        assert kept == [retain.wants("a", 100), retain.wants("b", 101)]

    layer = layer_of(tar_bytes({"a": "x" * 100}), limits=evolve(DEFAULT_LIMITS, retained_bytes=10))
    tree = Rootfs([layer.index(Retain(["**"], limits=layer.limits))], layers=[layer])
    assert b"x" * 100 == tree.read_bytes("/a")


# -- under a limit of memory -------------------------------------------------------------------------------------------

MOST = 768 << 20
"""Bytes of address space: the interpreter with its libraries takes a third of it."""

ATTACKS = {
    "bomb": """
        import gzip
        blob = gzip.compress(bytes(1 << 22)) * 1024
        read(blob, "inflated_bytes", inflated_bytes=2 << 30)
    """,
    "ten-million-entries": """
        import gzip
        blob = gzip.compress(b"".join(tar_header(f"f{at}") for at in range(10_000))) * 1000
        read(blob, "entries", entries=200_000)
    """,
    "a-million-deep": """
        body = b"a/" * 1_000_000
        header = tar_header("././@LongLink", typeflag=b"L", size=len(body))
        read(header + body + bytes(-len(body) % 512) + tar_header("f") + bytes(1024), "path_bytes pax_bytes")
    """,
    "gigabytes-of-pax": """
        read(tar_header("PaxHeaders/f", typeflag=b"x", size=8 << 30) + bytes(1 << 20), "pax_bytes")
    """,
}

PROGRAM = """
import resource
resource.setrlimit(resource.RLIMIT_AS, ({most}, {most}))
from attrs import evolve
from cosinspect.cache import Cache, open_directory
from cosinspect.deadline import Deadline
from cosinspect.errors import LimitExceeded
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.testing.tar_writer import tar_header
from stacks import layer_of

def read(blob, names, **bounds):
    try:
        layer_of(b"", blob=blob, limits=evolve(DEFAULT_LIMITS, **bounds)).index()
    except LimitExceeded as fault:
        assert fault.limit in names.split(), fault.limit
        print("refused")
{attack}
"""


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_ends_in_a_typed_error_within_a_limit_of_memory(attack):
    program = PROGRAM.format(most=MOST, attack=textwrap.dedent(ATTACKS[attack]))
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=TESTS, capture_output=True, text=True, timeout=600, check=False
    )

    assert ("refused\n", "", 0) == (done.stdout, done.stderr, done.returncode)


def test_an_index_without_end_ends_in_a_typed_error(tmp_path):
    built = SMALL
    for _ in range(DEFAULT_LIMITS.index_depth + 1):
        built = image_index(built)

    with pytest.raises(LimitExceeded, match="index"):
        inspect(built.write_layout(tmp_path), platform="linux/amd64")
