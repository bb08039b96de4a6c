"""A layer read in runs of common entries has the index that one entry after the other gives."""

import re

import pytest
from attrs import evolve
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cosinspect.errors import CosinspectError, InvalidLayer
from cosinspect.globs import path_expression
from cosinspect.layer.indexing import Indexing
from cosinspect.layer.ledger import Ledger
from cosinspect.layer.retain import Retain
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.oci.documents import OCI_LAYER, Descriptor, Digest
from cosinspect.tar.reader import TarStream
from cosinspect.testing import tar_header
from raw_tar import extended, padded, patched, records
from stacks import SCALE

DESCRIPTOR = Descriptor(OCI_LAYER, Digest("sha256", "0" * 64), 0)
SCRIPT = b"#!/bin/sh -e\n" + b"true\n" * 150
NAMES = [
    "a", "a/", "a/x", "a/b", "a/b/", "a/b/x", "a/b/lib.so.1", "./a/x", "./a/y", "./", ".", "./a/b/z", "top", "lib.so",
    "a/.x", "a/.wh.x", ".wh.top", "a/.wh..wh..opq", "a//x", "a/../b", "../c", "/a/x", "/", "/.", "//a", ".//a", "a/x/", "a/b//", "",
    "a/\u00e9", "d/e/f/g", "d/e/", "l/x", "x" * 99, "x" * 100, f"a/b/{'y' * 96}",
]  # fmt: skip
PATTERNS = ["a/x", "a/*/x", "**/z", "**/top", "d/**", "l/x", "a/.x", "{top,b}"]
ENTRIES = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from([b"0"] * 6 + [b"5", b"5", b"2", b"1", b"3", b"\0", b"7"]),
        st.sampled_from([b"", b"1", SCRIPT, b"\x7fELF" + bytes(600)]),
        st.sampled_from([0o644, 0o644, 0o755, 0o4755, 0o100644]),
        st.sampled_from([(0, 0), (0, 0), (7, 5), (2**32 - 1, 0), (2**40, 1)]),
        st.sampled_from([0, 0, 0, 1, 2]),  # what is odd about it
    ),
    min_size=1,
    max_size=8,
)


def archive_of(made):
    parts = []
    for name, kind, content, mode, (uid, gid), odd in made:
        body = content if kind in (b"0", b"\0", b"7") else b""
        link = "a/x" if kind in b"12" else ""
        if odd == 1:
            parts.append(extended(records((b"mtime", b"3.5"))))
        size = len(body) + (odd == 2 and kind in b"52")
        fields = {"typeflag": kind, "mode": mode, "uid": uid, "gid": gid, "size": size, "linkname": link}
        parts.append(tar_header(name, **fields, mtime=len(name)) + padded(body))
    return b"".join(parts) + bytes(1024)


class Sink:
    def __init__(self, found):
        self.write = found.append

    def end(self):
        self.write(b"end")

    def confirm(self, verified):
        raise AssertionError(verified)


def everything(archive, portion, limits, least):
    """All that a pass over an archive leaves behind."""
    pieces = [archive[at : at + portion] for at in range(0, len(archive), portion)]
    stream = TarStream(iter(pieces), limits=limits)
    ledger = Ledger(limits)
    followed = {}

    def follow(entry):
        return Sink(followed.setdefault(entry, [])) if entry.path in ("a/y", "a/b") else None

    retain = Retain(PATTERNS, limits=limits)
    work = Indexing(stream, retain, limits=limits, follow=follow, least=least, ledger=ledger)
    fault = ""
    try:
        work.run()
    except CosinspectError as error:
        fault = error.message
    bodies = {entry: b"".join(parts) for entry, parts in followed.items()}
    place = stream.position if not fault else None
    return work.index(DESCRIPTOR, DESCRIPTOR.digest, 0), fault, bodies, ledger._taken, work.metadata, place


@settings(deadline=None, max_examples=500 * SCALE, suppress_health_check=list(HealthCheck))
@given(ENTRIES, st.sampled_from([512, 700, 2048, 1 << 20]), st.sampled_from([0, 1, 700]))
@example([("a/x", b"0", SCRIPT, 0o644, (0, 0), 0)] * 3, 1 << 20, 0)
@example([("a/b/", b"5", b"", 0o755, (0, 0), 0), ("a/b/x", b"0", b"1", 0o644, (0, 0), 0), ("a", b"2", b"", 0o777, (0, 0), 0),
          ("a/b/z", b"0", b"1", 0o644, (0, 0), 0)], 1 << 20, 0)  # fmt: skip
def test_an_index_is_the_same_in_runs_and_entry_by_entry(made, portion, least):
    # The first entries teach the reader what is common; all of them come twice, the second time in another directory.
    archive = archive_of(
        [*made, *((f"d/{name}" if name[:1] not in ("/", ".") else name, *rest) for name, *rest in made)]
    )
    in_runs = everything(archive, portion, DEFAULT_LIMITS, least)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TarStream, "run", lambda *_: [])
        one_by_one = everything(archive, portion, DEFAULT_LIMITS, least)

    assert one_by_one == in_runs


PLAIN = [(f"d/{number}", b"0", b"1", 0o644, (0, 0), 0) for number in range(20)]


@pytest.mark.parametrize(
    "bounds",
    [
        {"entries": 19},
        {"entries": 20},
        {"metadata_characters": 60},
        {"path_bytes": 3},
        {"path_depth": 1},
        {"directories": 1},
        {"index_bytes": 5000},
        {"retained_bytes": 5},
        {"retained_file_bytes": 0},
        {"program_characters": 300},
    ],
)
def test_bounds_are_the_same_in_runs(bounds):
    archive = archive_of(
        [*PLAIN, *((name, kind, SCRIPT, 0o755, *rest) for name, kind, _, _, *rest in PLAIN[:3])]
    )
    limits = evolve(DEFAULT_LIMITS, **bounds)
    in_runs = everything(archive, 1 << 20, limits, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TarStream, "run", lambda *_: [])
        one_by_one = everything(archive, 1 << 20, limits, 0)

    assert one_by_one[1] == in_runs[1]
    if not one_by_one[1]:
        assert one_by_one == in_runs


def test_common_files_do_come_in_runs():
    stream = TarStream(iter([archive_of(PLAIN)]))
    assert stream.following().name == "d/0"
    run = stream.run(1 << 20)
    assert [f"d/{number}" for number in range(1, 20)] == [name for name, *_ in run]
    for entry in run:
        stream.enter(entry)
        assert stream.read(10) == b"1"
    assert stream.following() is None


def test_a_time_before_the_epoch_is_no_size():
    negative = (-512).to_bytes(12, "big", signed=True)
    early = patched(tar_header("a"), {136: negative}, signed=False)
    wrong = patched(tar_header("b"), {124: negative}, signed=False)
    stream = TarStream(iter([tar_header("z") + early + tar_header("c") + wrong]))

    assert stream.following().name == "z"
    assert [-512, 0] == [entry[4] for entry in stream.run(10)]
    with pytest.raises(InvalidLayer, match="a negative size"):
        stream.following()


GLOBS = st.lists(
    st.sampled_from(["a", "b", "*", "?", "**", "{a,b}", "a*", "[ab]", "[", ""]), min_size=1, max_size=4
).map("/".join)


@settings(max_examples=500 * SCALE)
@given(st.lists(GLOBS, max_size=4), st.lists(st.sampled_from(["a", "b", "ab", "["]), min_size=1, max_size=5))
def test_a_file_that_matches_is_in_a_directory_of_which_it_is_known(patterns, names):
    retain = Retain(patterns)
    if any(re.fullmatch(path_expression(pattern), "/".join(names)) for pattern in patterns):
        assert retain.wants("/".join(names), 1)
        assert names[-1] in retain.names or retain.may_want("/".join(names[:-1]))


def test_directories_without_a_wanted_file_are_told():
    retain = Retain(["usr/lib/*/x.conf", "**/luet.db", "etc/**", "boot/vmlinuz*"])
    wanted = ["usr/lib/any", "etc", "etc/deep/er", "boot"]
    assert wanted == [
        path for path in ["usr", "usr/lib", "usr/share/a", "", "b", *wanted] if retain.may_want(path)
    ]
