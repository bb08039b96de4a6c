"""Records give back what they were made of, or say that they are damaged."""

import contextlib

import attrs
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosinspect.cache.layers import decode_layer, encode_layer
from cosinspect.cache.record import Damaged, Record
from cosinspect.cache.record_writer import RecordWriter
from cosinspect.cache.text import escape, unescape
from cosinspect.cache.trees import decode_tree, encode_tree
from cosinspect.layer.changeset import Cut, LayerEntry, LayerIndex, Marker
from cosinspect.oci.documents import OCI_LAYER, Descriptor, Digest
from cosinspect.rootfs.overlay import merge
from cosinspect.rootfs.semantics import Semantics
from cosinspect.tar.irregularities import Irregularity
from random_stacks import STACKS, index_of
from stacks import SCALE

QUICK = settings(deadline=None, max_examples=200 * SCALE, suppress_health_check=[HealthCheck.too_slow])
KEY = bytes(range(32))
DESCRIPTOR = Descriptor(OCI_LAYER, Digest("sha256", "0" * 64), 0)

# Text as layers have it: bytes that are not UTF-8 as surrogate escapes, zeros in attributes.
TEXT = st.binary(max_size=12).map(lambda data: data.decode("utf-8", "surrogateescape"))
NUMBER = st.integers(0, 2**62)
ENTRY = st.builds(
    LayerEntry, TEXT, st.sampled_from(["file", "dir", "symlink"]), NUMBER, NUMBER, NUMBER, NUMBER, st.integers(-2**62, 2**62),
    TEXT, st.tuples(NUMBER, NUMBER), st.none() | st.dictionaries(TEXT, TEXT, max_size=3), NUMBER, NUMBER, NUMBER,
    st.none() | st.lists(st.tuples(NUMBER, NUMBER), max_size=3).map(tuple), TEXT, TEXT, st.sampled_from(["", "owner", "sparse mode"]),
)  # fmt: skip
MARKER = st.builds(Marker, TEXT, NUMBER, TEXT, st.booleans(), NUMBER)
MARKERS = st.lists(MARKER, max_size=4).map(tuple)
INDEX = st.builds(
    LayerIndex, st.just(DESCRIPTOR), st.just(DESCRIPTOR.digest), st.lists(ENTRY, max_size=6).map(tuple), MARKERS, MARKERS,
    st.lists(st.builds(Irregularity, st.just("kind"), NUMBER, TEXT, TEXT), max_size=3).map(tuple),
    st.dictionaries(NUMBER, st.binary(max_size=20), max_size=3), NUMBER, MARKERS, st.none(), st.lists(ENTRY, max_size=2).map(tuple),
    st.lists(st.builds(Cut, st.sampled_from(["", "ggcr", "containerd"]), NUMBER, st.booleans(), st.just("why")), max_size=2).map(tuple),
)  # fmt: skip


def never():
    raise AssertionError("a record that is whole needs no second reading")


def plain(index):
    """An index as values that can be compared, however it holds them."""
    sequences = ("entries", "whiteouts", "opaques", "nameless", "irregularities", "name_only", "cuts")
    found = {name: list(getattr(index, name)) for name in sequences}
    return {**found, "contents": dict(index.contents), "size": index.uncompressed_size}


def reading(index, again=never):
    data = b"".join(encode_layer(index, KEY))
    return decode_layer(Record(data, KEY), DESCRIPTOR, DESCRIPTOR.digest, again)


@given(TEXT)
@settings(max_examples=1000)
def test_text_comes_back_and_is_utf_8_meanwhile(text):
    assert unescape(escape(text)) == text
    escape(text).encode()


@given(INDEX)
@QUICK
def test_a_layer_comes_back(index):
    assert plain(index) == plain(reading(index))


def look(merged):
    """A tree as values: every node, and which of them share an inode."""
    found, inodes = {}, {}
    waiting = [("", merged.root)]
    while waiting:
        path, node = waiting.pop()
        entry = None if node.entry is None else msgspec.structs.asdict(node.entry)
        shared = None
        if node.inode is not None:
            shared = inodes.setdefault(id(node.inode), path), node.inode.attributes
        found[path] = (entry, node.layer, node.source, shared, node.children is None)
        waiting.extend((f"{path}/{name}", child) for name, child in sorted((node.children or {}).items()))
    return found, [attrs.astuple(problem) for problem in merged.problems]


@given(STACKS, st.sampled_from(list(Semantics)))
@QUICK
def test_a_tree_comes_back(layers, semantics):
    merged = merge([index_of(layer) for layer in layers], semantics)
    data = b"".join(encode_tree(merged, KEY))
    assert look(merged) == look(decode_tree(Record(data, KEY), never))


def test_a_tree_with_names_that_are_not_utf_8_comes_back():
    names = ["caf\udce9", "plain", "caf\udce9/\udcff", "caf\udce9/link"]
    entries = (
        LayerEntry(names[0], "dir", 0o755, 0, 0, 0, 0, "", (0, 0), None, 0, 0, 0, None),
        LayerEntry(names[1], "file", 0o644, 0, 0, 1, 0, "", (0, 0), {"a\udc80": "\x00\udc81"}, 1, 1, 1, None),
        LayerEntry(names[2], "hardlink", 0o644, 0, 0, 1, 0, "plain", (0, 0), None, 2, 2, 1, None),
        LayerEntry(names[3], "symlink", 0o777, 0, 0, 0, 0, "\udcfe/x", (0, 0), None, 3, 3, 0, None),
    )
    index = LayerIndex(DESCRIPTOR, DESCRIPTOR.digest, entries, (), (), (), {}, 0)
    merged = merge([index], Semantics.OVERLAY)
    found = look(merged)
    assert len(found[0]) == 5
    assert found == look(decode_tree(Record(b"".join(encode_tree(merged, KEY)), KEY), never))


def test_only_the_directories_on_the_way_are_decoded():
    layer = [f"d{number}/e/f" for number in range(50)]
    entries = tuple(
        LayerEntry(path, "file", 0o644, 0, 0, 1, 0, "", (0, 0), None, number, number, 1, None)
        for number, path in enumerate(layer)
    )
    merged = merge([LayerIndex(DESCRIPTOR, DESCRIPTOR.digest, entries, (), (), (), {}, 0)])
    data = b"".join(encode_tree(merged, KEY))
    record = Counting(data, KEY)
    root = decode_tree(record, never).root
    assert 0 == record.sections
    assert root.children["d7"].children["e"].children["f"].entry.path == "d7/e/f"
    assert 3 == record.sections


class Counting(Record):
    sections = 0

    def read(self, section):
        self.sections += 1
        return super().read(section)


# -- damage ------------------------------------------------------------------------------------------------------------


@given(INDEX, st.data())
@QUICK
def test_a_damaged_layer_is_told_or_read_again(index, data):
    """Whatever bit is turned, and wherever the file ends, the index is the same in the end."""
    whole = bytearray(b"".join(encode_layer(index, KEY)))
    position = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        del whole[position:]
    else:
        whole[position] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = decode_layer(Record(bytes(whole), KEY), DESCRIPTOR, DESCRIPTOR.digest, lambda: index)
    except Damaged:
        return
    assert plain(index) == plain(found)


@given(STACKS, st.data())
@QUICK
def test_a_damaged_tree_is_told_or_merged_again(layers, data):
    merged = merge([index_of(layer) for layer in layers])
    whole = bytearray(b"".join(encode_tree(merged, KEY)))
    position = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        del whole[position:]
    else:
        whole[position] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = decode_tree(Record(bytes(whole), KEY), lambda: merged)
    except Damaged:
        return
    # Inodes of a directory that is merged again are others than those decoded before.
    ours, theirs = look(merged), look(found)
    assert {path: value[:3] for path, value in ours[0].items()} == {
        path: value[:3] for path, value in theirs[0].items()
    }


@given(st.binary(max_size=200), st.booleans())
@settings(max_examples=2000 * SCALE)
def test_heads_and_sections_that_somebody_made_up_are_damage(data, as_section):
    writer = RecordWriter(KEY)
    head = b"" if as_section else data
    if as_section:
        section = writer.add(data)
        head = msgspec.msgpack.encode((False, [], ("", None, False, 0, 0, 0, None, section), 0))
    whole = b"".join(writer.finish(head))
    merged = merge([])
    with contextlib.suppress(Damaged):
        look(decode_tree(Record(whole, KEY), lambda: merged))
    with contextlib.suppress(Damaged):
        plain(decode_layer(Record(whole, KEY), DESCRIPTOR, DESCRIPTOR.digest, lambda: index_of([])))


@pytest.mark.parametrize("length", [0, 7, 75, 76])
def test_a_file_that_ends_in_its_lead_is_damaged(length):
    whole = b"".join(RecordWriter(KEY).finish(b"head"))
    with pytest.raises(Damaged):
        Record(whole[:length], KEY)


def test_a_record_of_another_key_is_damaged():
    with pytest.raises(Damaged, match="of this key"):
        Record(b"".join(RecordWriter(KEY).finish(b"")), bytes(32))
