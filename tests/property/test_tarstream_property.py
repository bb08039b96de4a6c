"""Archives of every kind, honest, odd and damaged: our reader and Go's see the same entries and fail at the same one."""

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from cosinspect.errors import CosinspectError, InvalidLayer, LimitExceeded
from cosinspect.tar.header import parse_decimal, parse_number, parse_pax_records
from cosinspect.tar.reader import TarStream
from cosinspect.testing import (
    Device,
    Directory,
    Fifo,
    File,
    Hardlink,
    Opaque,
    Symlink,
    Whiteout,
    tar_bytes,
    tar_header,
)
from go_judge import go_reads, needs_go, we_read
from raw_tar import GNU, V7, extended, gnu_long, old_gnu_sparse, padded, patched, pax_sparse, records

TYPES = [bytes([kind]) for kind in b"0123456\0S7gxLKADMVX"]
MAGICS = [b"ustar\x0000", GNU, V7, b"ustar 00", b"ustar\0  "]
# Offset and length of the fields that something depends on.
FIELDS = [
    (0, 100), (100, 8), (108, 8), (116, 8), (124, 12), (136, 12), (156, 1), (157, 100), (257, 8), (329, 8), (337, 8),
    (345, 12), (357, 12), (345, 155), (386, 24), (410, 24), (476, 12), (482, 1), (483, 12), (488, 12), (508, 4),
]  # fmt: skip
NUMBERS = [
    b"0000000\0", b"00000017", b"        ", b"-0000001", b"+7\0", b"7_7\0", b"12 34\0", b"9\0", b"\x001 \x002",
    b"777777777777", b"00000001000\0", b"00000000012 ", b"\x80\0\0\0\0\0\0\1", b"\xff" * 12, b"\xff" * 8, b"\x80" + b"\xff" * 11,
    b"\xc0" + bytes(11), b"\x80\0\0\0\x7f" + b"\xff" * 7, b"\x80\0\0\0\x80" + bytes(7), b"\xff\xff\xff\xff\x80" + bytes(7),
    b"\xff\xff\xff\xff\x7f" + b"\xff" * 7, b"tar\0",
]  # fmt: skip
KEYS = [
    b"path", b"linkpath", b"uname", b"gname", b"uid", b"gid", b"size", b"mtime", b"atime", b"ctime", b"comment",
    b"SCHILY.xattr.user.x", b"SCHILY.xattr.", b"GNU.sparse.major", b"GNU.sparse.minor", b"GNU.sparse.map",
    b"GNU.sparse.numblocks", b"GNU.sparse.size", b"GNU.sparse.realsize", b"GNU.sparse.name", b"GNU.sparse.offset",
    b"GNU.sparse.numbytes", b"k\0ey", b"\xe9",
]  # fmt: skip
VALUES = [
    b"", b"0", b"1", b"2", b"-1", b"+5", b"1.5", b"-1.5", b"-0.5", b"1.x", b"1_0", b" 1", b"512", b"0" * 50 + b"512",
    b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808", b"a/b", b"d/", b"x\0y", b"0,10", b"0,10,20,10",
    b"0,10,20", b"1,1", b"a=b", b"\xff", "\N{ARABIC-INDIC DIGIT SEVEN}".encode(),
]  # fmt: skip

names = st.sampled_from([b"a", b"d/", b"d/f", b"x" * 100, b"caf\xe9", b"../up", b"/abs", b""])
small = st.sampled_from([0, 1, 10, 511, 512, 513, 1024])


@st.composite
def headers(draw, typeflag=None, size=None):
    """A header whose checksum is nearly always right, and whose fields hold what they like."""
    block = tar_header(
        draw(names),
        typeflag=draw(st.sampled_from(TYPES)) if typeflag is None else typeflag,
        mode=draw(st.sampled_from([0o644, 0o4755])),
        mtime=draw(st.sampled_from([0, -1, 2**40])),
        size=draw(small) if size is None else size,
        linkname=draw(st.sampled_from([b"", b"t", b"l" * 100])),
        major=draw(st.sampled_from([0, 1, -5])),
        prefix=draw(st.sampled_from([b"", b"", b"pre", b"p\xc3", b"q" * 155])),
        magic=draw(st.sampled_from(MAGICS)),
    )
    changes = {}
    for at, length in draw(st.lists(st.sampled_from(FIELDS), max_size=draw(st.sampled_from([0, 0, 1, 2])))):
        if draw(st.booleans()):
            changes[at] = draw(st.sampled_from(NUMBERS))[:length]
        else:
            changes[at + draw(st.integers(0, length - 1))] = draw(st.binary(min_size=1, max_size=1))
    block = patched(block, changes, signed=draw(st.integers(0, 19)) == 7)
    if draw(st.integers(0, 39)) == 7:
        return block[:148] + b"0000000\0" + block[156:]
    return block


@st.composite
def entries(draw):
    size = draw(small)
    typeflag = draw(st.sampled_from(TYPES))
    block = draw(headers(typeflag, size))
    has_content = typeflag not in b"123456" or draw(st.integers(0, 3)) == 3
    return block + padded(b"c" * size) if has_content else block


@st.composite
def extensions(draw):
    body = records(*draw(st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES)), max_size=4)))
    if body and draw(st.integers(0, 7)) == 7:
        at = draw(st.integers(0, len(body) - 1))
        body = body[:at] + draw(st.sampled_from([b"\0", b"\n", b" ", b"=", b"0", b"9"])) + body[at + 1 :]
    typeflag = b"g" if draw(st.integers(0, 7)) == 7 else b"x"
    if draw(st.integers(0, 3)) == 3:
        return draw(headers(typeflag, len(body))) + padded(body)
    return extended(body, typeflag)


long_names = st.builds(
    gnu_long, st.sampled_from([b"", b"long/name", b"n" * 700, b"d/", b"a\0b"]), st.sampled_from([b"L", b"K"])
)


@st.composite
def sparse_files(draw):
    stretches, at, stored = [], 0, 0
    for gap, length in draw(st.lists(st.tuples(small, small), max_size=draw(st.sampled_from([3, 6, 30])))):
        stretches.append((at + gap, length))
        at += gap + length
        stored += length
    size = max(0, at + draw(st.sampled_from([0, 0, 0, 100, -1])))
    content = b"s" * max(0, stored + draw(st.sampled_from([0, 0, 0, 0, 1, -1])))
    version = draw(st.sampled_from(["old", "0.0", "0.1", "1.0"]))
    if version == "old":
        out = old_gnu_sparse(b"sparse", stretches, size, content, extra=draw(st.sampled_from([0, 0, 2])))
    else:
        out = pax_sparse(version, b"sparse", stretches, size, content)
    if draw(st.integers(0, 3)) == 3:
        at = draw(st.integers(0, min(len(out), 3000) - 1))
        block = at - at % 512
        changed = out[:at] + draw(st.sampled_from([b"\0", b"\n", b"0", b"9", b",", b"\xff"])) + out[at + 1 :]
        head = changed[block : block + 512]
        return changed[:block] + (patched(head, {}) if block in (0, 1024) else head) + changed[block + 512 :]
    return out


honest = st.builds(
    tar_bytes,
    st.dictionaries(
        st.sampled_from(
            ["a", "usr/bin/x", "d/" * 80 + "f", "caf\udce9", "n" * 200, "etc/\N{GREEK SMALL LETTER PI}"]
        ),
        st.one_of(
            st.builds(
                File,
                st.binary(max_size=600),
                uid=st.sampled_from([0, 2**31]),
                mtime=st.sampled_from([0, 2**40, -1]),
            ),
            st.sampled_from(
                [
                    Directory(),
                    Symlink("t" * 150),
                    Hardlink("a"),
                    Device("block", 8, 2**20),
                    Fifo(),
                    Whiteout(),
                    Opaque(),
                ]
            ),
        ),
        max_size=4,
    ),
    format=st.sampled_from(["pax", "gnu"]),
    end_blocks=st.just(0),
)
noise = st.one_of(st.just(bytes(512)), st.binary(min_size=1, max_size=600))
pieces = st.one_of(
    entries(), entries(), extensions(), extensions(), long_names, sparse_files(), sparse_files(), honest
)


@st.composite
def archives(draw):
    parts = draw(st.lists(pieces, min_size=1, max_size=5))
    if draw(st.integers(0, 15)) == 7:
        parts.insert(draw(st.integers(0, len(parts))), draw(noise))
    whole = b"".join(parts) + bytes(512 * draw(st.sampled_from([2, 2, 2, 0, 1, 3])))
    if draw(st.integers(0, 9)) == 7:
        whole = whole[: draw(st.integers(0, len(whole)))]
    return whole


@pytest.mark.compat
@needs_go
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(archives(), st.sampled_from([1 << 20, 512, 700, 1]))
def test_go_sees_the_same_entries_and_fails_where_we_fail(archive, portion):
    judged, own = go_reads(archive), we_read(archive, portion=portion)
    event(f"{min(len(judged.entries), 3)} entries or more, {'error' if judged.error else 'end'}")
    assert judged.agrees(own), (judged, own)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=3000), archives()))
def test_arbitrary_bytes_raise_only_what_is_promised(archive):
    try:
        for header in TarStream(iter([archive])):
            assert header.stored >= 0
            assert header.size >= 0
            assert 0 <= header.offset < header.data <= len(archive)
    except (InvalidLayer, LimitExceeded):
        pass


@settings(max_examples=200, deadline=None)
@given(archives(), st.integers(1, 2000))
def test_how_an_archive_arrives_makes_no_difference(archive, portion):
    assert we_read(archive, portion=len(archive) + 1) == we_read(archive, portion=portion)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_records_or_none(body):
    assert isinstance(parse_pax_records(body), dict | None)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.binary(min_size=1), st.binary())))
def test_written_records_are_read_back(pairs):
    pairs = [(key, value) for key, value in pairs if not {b"=", b"\0"} & {bytes([byte]) for byte in key}]
    expected = {_text(key): _text(value) for key, value in pairs}
    assert expected == parse_pax_records(records(*pairs))


def _text(raw):
    return raw.decode("utf-8", "surrogateescape")


@settings(max_examples=300, deadline=None)
@given(st.integers(-(2**63), 2**63 - 1))
def test_every_number_of_64_bits_is_read_in_base_256_and_in_decimals(value):
    field = bytearray(value.to_bytes(12, "big", signed=True))
    field[0] |= 0x80
    assert value == parse_number(bytes(field))
    assert value == parse_decimal(str(value))


@settings(max_examples=300, deadline=None)
@given(st.binary(min_size=8, max_size=12))
def test_a_number_is_one_of_64_bits_or_none(field):
    value = parse_number(field)
    assert value is None or -(2**63) <= value < 2**63


@settings(max_examples=100, deadline=None)
@given(entries())
def test_a_header_says_where_its_content_is(raw):
    stream = TarStream(iter([raw]))
    try:
        for header in stream:
            content = b"".join(iter(lambda: stream.read(1 << 20), b""))
            assert raw[header.data : header.data + header.stored] == content
    except CosinspectError:
        return


def headers_of(archive, portion):
    """Everything a reader says of an archive that comes in portions."""
    stream = TarStream(iter([archive[at : at + portion] for at in range(0, len(archive), portion)]))
    found, fault = [], ""
    try:
        found.extend((header, stream.read(1 << 20), stream.position) for header in stream)
    except (InvalidLayer, LimitExceeded) as error:
        fault = str(error)
    return found, fault, stream.irregularities


COMMON = tar_bytes({"d": Directory(), "d/f": File("x" * 600), "l": Symlink("d/f")}, end_blocks=0)
OF_KIND = {COMMON[at + 156 : at + 157]: COMMON[at : at + 512] for at in (0, 512, 512 * 4)}
assert OF_KIND.keys() == {b"5", b"0", b"2"}, "headers, and no content"
uncommon = st.lists(
    st.tuples(
        names,
        st.sampled_from([b"0", b"2", b"5", b"\0", b"1", b"7"]),
        st.sampled_from([0, 0, 1, 512, 1024]),  # believed of files only: what follows is a header or content
        st.just([]) | st.lists(st.tuples(st.sampled_from(FIELDS), st.sampled_from(NUMBERS)), max_size=2),
        st.sampled_from([0, 0, 0, 0, 0, 1]),  # by how much the checksum is wrong
    ),
    min_size=1,
    max_size=4,
)


def extended_by(made):
    """An archive with entries that have the owner and tail of the first, and a field or two of something else."""
    archive = COMMON
    for name, kind, size, fields, wrong in made:
        block = bytearray(OF_KIND.get(kind, OF_KIND[b"0"]))
        block[:100] = name.ljust(100, b"\0")
        block[124:136] = b"%011o\0" % size
        block[156:157] = kind
        for (at, width), value in fields:
            block[at : at + width] = value[:width].ljust(width, b"\0")
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % (sum(block) + wrong)
        archive += bytes(block) + (padded(b"c" * size) if kind in b"0\x007" else b"")
    return archive + bytes(1024)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(uncommon, st.sampled_from([512, 700, 1 << 20]))
@example([(b"a", b"5", 512, [], 0), (b"hidden", b"0", 0, [], 0), (b"b", b"0", 0, [], 0)], 1 << 20)
@example([(b"a", b"2", 512, [], 0), (b"hidden", b"0", 0, [], 0), (b"b", b"0", 0, [], 0)], 1 << 20)
@example([(b"a", b"0", 1, [], 0), (b"b", b"0", 513, [], 0), (b"c", b"0", 0, [], 0)], 1 << 20)
@example([(b"a/", b"0", 512, [], 0), (b"b", b"0", 0, [], 0)], 1 << 20)
@example([(b"a", b"0", 0, [], 1)], 1 << 20)
@example([(b"caf\xe9", b"0", 0, [], 0)], 1 << 20)
@example([(b"a", b"0", 0, [((108, 8), b"00000017")], 0)], 1 << 20)
@example([(b"a", b"0", 0, [((345, 155), b"prefix")], 0)], 1 << 20)
@example([(b"a", b"1", 512, [], 0), (b"hidden", b"0", 0, [], 0)], 1 << 20)
def test_the_short_way_for_common_entries_says_what_the_long_one_says(made, portion):
    archive = extended_by(made)

    short = headers_of(archive, portion)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TarStream, "run", lambda *_: [])
        long = headers_of(archive, portion)

    assert long == short
