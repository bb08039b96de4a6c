"""Layers of which every header field is drawn at random: each reader gets a tree, from the cache the same, and says what it refuses.

tests/compat holds the same stacks against the readers themselves.
"""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosinspect.cache.layers import decode_layer, encode_layer
from cosinspect.cache.record import Record
from cosinspect.errors import InvalidLayer
from cosinspect.rootfs.overlay import PARTIAL
from cosinspect.rootfs.rootfs import Rootfs
from cosinspect.rootfs.semantics import Semantics
from stacks import SCALE, layer_of
from wild_layers import STACKS

KEY = b"k" * 32
WILD = settings(deadline=None, max_examples=100 * SCALE, suppress_health_check=list(HealthCheck))


def indexed(layer):
    try:
        return layer.index()
    except InvalidLayer as fault:
        index = layer.salvage(fault)
        assert index.cuts
        return index


def again(index):
    record = Record(b"".join(encode_layer(index, KEY)), KEY)
    return decode_layer(record, index.descriptor, index.diff_id, lambda: index)


def listing(rootfs):
    found = [
        (each.path, each.type, each.mode, each.uid, each.gid, each.size, each.link) for each in rootfs.walk()
    ]
    return found, [(each.kind, each.layer, each.path, each.fatal) for each in rootfs.problems]


@WILD
@given(STACKS, st.sampled_from(list(Semantics)))
def test_every_reader_gets_a_tree_and_from_the_cache_the_same(stack, semantics):
    indexes = [indexed(layer_of(each.data, position=number)) for number, each in enumerate(stack)]
    rootfs = Rootfs(indexes, semantics=semantics)
    tree, problems = listing(rootfs)

    assert (tree, problems) == listing(Rootfs([again(index) for index in indexes], semantics=semantics))
    partial = [each for each in problems if each[0] == PARTIAL]
    assert len(partial) <= semantics.installs
    for path, _, mode, uid, gid, *_ in tree:
        assert all(len(name.encode("utf-8", "surrogateescape")) <= 255 for name in path.split("/"))
        assert 0 <= mode <= 0o7777
        assert max(uid, gid) < 2**32 - 1
