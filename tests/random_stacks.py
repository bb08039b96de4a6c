"""Stacks of layers that meet at a few paths, for property tests of whatever is made of layers."""

from hypothesis import strategies as st

from cosinspect.layer.changeset import LayerEntry, LayerIndex, Marker
from cosinspect.oci.documents import OCI_LAYER, Descriptor, Digest
from oracle import Item

# Few paths, so that layers meet at them, and a base in which `lib` is a link, so that they meet through it.
POOL = "a a/x a/b a/b/x lib lib/x lib/b lib/b/x t u c c/lib c/lib/x c/lib/b"
PATHS = st.sampled_from([tuple(path.split("/")) for path in POOL.split()])
DIRECTORIES = st.sampled_from([(), ("a",), ("a", "b"), ("lib",), ("lib", "b"), ("c",), ("c", "lib")])
TARGETS = st.sampled_from(
    ["a", "/a", "a/b", "../a", "lib", "/c/lib", "..", "../../..", "t", "lib/b", "c", "u"]
)
BASE = [
    Item("dir", ("a",)),
    Item("file", ("a", "x"), "base"),
    Item("dir", ("a", "b"), mode=0o700),
    Item("file", ("a", "b", "x"), "base"),
    Item("symlink", ("lib",), "a"),
    Item("file", ("t",), "base"),
]
ITEMS = st.one_of(
    st.builds(Item, st.just("dir"), PATHS, mode=st.sampled_from([0o755, 0o700, 0o1777])),
    st.builds(
        Item, st.just("file"), PATHS, st.sampled_from(["1", "2", "3"]), mode=st.sampled_from([0o644, 0o755])
    ),
    st.builds(Item, st.just("symlink"), PATHS, TARGETS),
    st.builds(Item, st.just("hardlink"), PATHS, PATHS.map("/".join)),
    st.builds(Item, st.just("whiteout"), PATHS),
    st.builds(Item, st.just("opaque"), DIRECTORIES),
)
LAYERS = st.lists(ITEMS, max_size=8)
STACKS = st.lists(LAYERS, min_size=1, max_size=4).flatmap(
    lambda layers: st.sampled_from([[BASE, *layers], layers])
)

DESCRIPTOR = Descriptor(OCI_LAYER, Digest("sha256", "0" * 64), 0)


def index_of(layer):
    """The index that a layer of these items has, its contents under the offsets of its entries."""
    entries = []
    contents = {}
    for number, item in enumerate(layer):
        if item.kind in ("whiteout", "opaque"):
            continue
        is_file = item.kind == "file"
        data = item.text.encode() if is_file else b""
        link = item.text if item.kind in ("symlink", "hardlink") else ""
        mode = 0o777 if item.kind == "symlink" else item.mode
        entries.append(
            LayerEntry(
                "/".join(item.path), item.kind, mode, 0, 0, len(data), 0, link, (0, 0), None, number, number, len(data), None
            )
        )  # fmt: skip
        if is_file:
            contents[number] = data
    whiteouts = tuple(Marker("/".join(item.path), 0) for item in layer if item.kind == "whiteout")
    opaques = tuple(Marker("/".join(item.path), 0) for item in layer if item.kind == "opaque")
    return LayerIndex(DESCRIPTOR, DESCRIPTOR.digest, tuple(entries), whiteouts, opaques, (), contents, 0)
