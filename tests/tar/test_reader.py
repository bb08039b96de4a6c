"""Archives read by Go's rules, judged by bytes laid out by hand: what every runtime sees, where it fails, what is noted."""

import pytest
from attrs import evolve

from cosinspect.errors import InvalidLayer, LimitExceeded
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.tar.reader import TarStream
from cosinspect.testing import File, Hardlink, Symlink, pax_header, tar_bytes, tar_header
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
)

LARGEST = 2**63 - 1


def read(archive, *, portion=None, limits=DEFAULT_LIMITS):
    """Every header, and the kinds of what was noted."""
    size = portion or max(len(archive), 1)
    stream = TarStream(iter([archive[at : at + size] for at in range(0, len(archive), size)]), limits=limits)
    headers = list(stream)
    return headers, [item.kind for item in stream.irregularities]


def names(archive):
    return [header.name for header in read(archive)[0]]


def noted(archive):
    return read(archive)[1]


def only(archive):
    headers, _ = read(archive)
    assert len(headers) == 1
    return headers[0]


def fails(archive):
    with pytest.raises(InvalidLayer) as raised:
        read(archive)
    return str(raised.value)


# -- formats -------------------------------------------------------------------------------------------------------


def test_every_field_of_a_ustar_header_is_read():
    archive = entry(
        "name", b"12345", mode=0o4755, uid=1000, gid=100, mtime=1_700_000_000, prefix=b"usr/share"
    )
    header = only(archive + END)
    assert ("usr/share/name", "0", 0o4755, 1000, 100, 1_700_000_000, 5) == (
        header.name, header.type, header.mode, header.uid, header.gid, header.mtime, header.size,
    )  # fmt: skip
    assert (0, 512, 5, None, None) == (
        header.offset, header.data, header.stored, header.sparse, header.xattrs,
    )  # fmt: skip


@pytest.mark.parametrize("magic", [b"ustar\x0000", GNU])
def test_devices_are_read_where_the_format_has_them(magic):
    archive = entry("null", typeflag=b"3", major=1, minor=3, magic=magic)
    assert (1, 3) == only(archive + END).device


def test_a_header_of_version_7_has_neither_prefix_nor_device():
    header = only(entry("null", typeflag=b"3", major=1, minor=3, prefix=b"dev", magic=V7) + END)
    assert ("null", (0, 0)) == (header.name, header.device)


def test_a_name_that_fills_its_field_needs_no_nul():
    assert ["n" * 100] == names(entry("n" * 100) + END)


def test_a_prefix_that_fills_its_field_needs_no_nul():
    assert ["p" * 155 + "/" + "n" * 100] == names(entry("n" * 100, prefix=b"p" * 155) + END)


def test_the_prefix_of_star_ends_earlier_for_its_times_are_behind_it():
    changes = {345: b"p" * 131, 476: octal(7), 488: octal(7), 508: b"tar\0"}
    assert ["p" * 131 + "/name"] == names(patched(tar_header("name"), changes) + END)


def test_times_of_star_that_are_no_numbers_are_an_error():
    changes = {476: b"yesterday!!\0", 508: b"tar\0"}
    assert "expected a number" in fails(patched(tar_header("name"), changes) + END)


def test_gnu_times_are_not_a_prefix():
    changes = {345: octal(1_700_000_000), 357: octal(1_700_000_000)}
    assert ["name"] == names(patched(tar_header("name", magic=GNU), changes) + END)


def test_the_prefix_that_old_go_wrote_into_gnu_headers_is_read():
    archive = entry("name", magic=GNU, prefix=b"usr/share")
    assert ["usr/share/name"] == names(archive + END)


def test_bytes_instead_of_gnu_times_that_are_no_text_are_left_out():
    archive = entry("name", magic=GNU, prefix=b"usr/sh\xc3\xa4re")
    assert ["name"] == names(archive + END)


@pytest.mark.parametrize("form", ["pax", "gnu"])
def test_names_and_targets_of_any_length_are_read(form):
    long, target = "d/" * 300 + "file", "../" * 200 + "target"
    archive = tar_bytes({long: Symlink(target), "l": Hardlink(long)}, parents=False, format=form)
    headers, _ = read(archive)
    assert [(long, target), ("l", long)] == [(header.name, header.link) for header in headers]


@pytest.mark.parametrize("form", ["pax", "gnu"])
@pytest.mark.parametrize("value", [0, 8**7 - 1, 8**7, 2**31, 2**32 + 1])
def test_owners_of_any_size_are_read(form, value):
    archive = tar_bytes({"f": File(b"x", uid=value, gid=value)}, format=form)
    header = only(archive)
    assert (value, value) == (header.uid, header.gid)


@pytest.mark.parametrize("value", [0, 1, -1, 8**11, LARGEST, -(2**63)])
def test_times_of_any_64_bits_are_read(value):
    assert value == only(entry(mtime=value) + END).mtime


def test_names_keep_bytes_that_are_not_utf_8():
    assert ["caf\udce9"] == names(entry(b"caf\xe9") + END)


# -- where readers disagree: facts/peers.md 1.4 ---------------------------------------------------------------------


def test_bytes_in_the_prefix_of_a_header_without_magic_are_no_prefix_and_noted():
    archive = entry("vmlinuz", magic=V7, prefix=b"boot") + END
    assert ["vmlinuz"] == names(archive)
    assert ["prefix-without-magic"] == noted(archive)


def test_of_two_pax_headers_the_last_counts_and_it_is_noted():
    archive = pax_header({"path": "first", "mtime": "7"}) + pax_header({"path": "last"}) + entry("file") + END
    assert [("last", 0)] == [(header.name, header.mtime) for header in read(archive)[0]]
    assert ["repeated-pax-header"] == noted(archive)


def test_of_two_long_names_the_last_counts_and_it_is_noted():
    archive = gnu_long(b"first") + gnu_long(b"last") + entry("file") + END
    assert ["last"] == names(archive)
    assert ["repeated-long-name"] == noted(archive)


@pytest.mark.parametrize("order", [1, -1])
def test_a_long_name_wins_over_a_pax_path_in_either_order_and_it_is_noted(order):
    both = [pax_header({"path": "pax"}), gnu_long(b"gnu")][::order]
    archive = b"".join(both) + entry("file") + END
    assert ["gnu"] == names(archive)
    assert ["long-name-over-pax"] == noted(archive)


def test_a_global_header_applies_to_nothing_and_is_noted():
    archive = pax_header({"path": "global", "size": "7"}, typeflag=b"g") + entry("file", b"12") + END
    headers = read(archive)[0]
    assert [("global", "g", 0), ("file", "0", 2)] == [(each.name, each.type, each.size) for each in headers]
    assert ["global-header"] == noted(archive)


@pytest.mark.parametrize("extension", [pax_header({"path": "pax"}), gnu_long(b"gnu")])
def test_a_global_header_parts_an_extended_one_from_its_entry_and_it_is_noted(extension):
    archive = extension + pax_header({"comment": "x"}, typeflag=b"g") + entry("file") + END
    assert ["PaxHeaders.0/entry", "file"] == names(archive)
    assert ["global-header", "dangling-extension"] == noted(archive)


def test_an_empty_pax_path_keeps_the_name_and_is_noted():
    archive = pax_header({"path": ""}) + entry("file") + END
    assert ["file"] == names(archive)
    assert ["empty-pax-path"] == noted(archive)


def test_a_nul_in_a_pax_path_is_an_error():
    assert "malformed PAX" in fails(pax_header({"path": "a\0b"}) + entry("file") + END)


def test_a_regular_file_with_a_slash_stays_one_and_is_noted():
    archive = entry("d/", b"content") + END
    assert [("d/", "0", 7)] == [(header.name, header.type, header.size) for header in read(archive)[0]]
    assert ["slash-on-file"] == noted(archive)


def test_only_the_oldest_type_becomes_a_directory_by_its_slash():
    archive = entry("d/", typeflag=b"\0") + entry("f", b"x", typeflag=b"\0") + END
    assert [("d/", "5"), ("f", "0")] == [(header.name, header.type) for header in read(archive)[0]]
    assert [] == noted(archive)


def test_a_directory_of_the_oldest_type_has_no_content_whatever_its_size():
    archive = tar_header("d/", typeflag=b"\0", size=512) + entry("next") + END
    assert [("d/", "5"), ("next", "0")] == [(header.name, header.type) for header in read(archive)[0]]


@pytest.mark.parametrize("typeflag", [b"7", b"A", b"D", b"V", b"X", b" ", b"\xff"])
def test_an_unknown_type_has_content_and_is_noted(typeflag):
    archive = entry("odd", b"content", typeflag=typeflag) + entry("next") + END
    headers, kinds = read(archive)
    assert [("odd", typeflag.decode("latin-1"), 7), ("next", "0", 0)] == [
        (header.name, header.type, header.size) for header in headers
    ]
    assert ["unknown-type"] == kinds


@pytest.mark.parametrize("checksum", [0, 1, 8**6 - 1])
def test_a_wrong_checksum_is_an_error_and_no_end(checksum):
    archive = entry("good") + tar_header("bad", checksum=checksum) + entry("hidden") + END
    assert "checksum" in fails(archive)


def test_a_lone_block_of_zeros_is_an_error_and_no_end():
    assert "lone block of zeros" in fails(entry("good") + bytes(512) + entry("hidden") + END)


@pytest.mark.parametrize("length", [1, 156, 511])
def test_a_header_that_is_cut_off_is_an_error(length):
    assert "512 bytes" in fails(entry("good") + tar_header("cut")[:length])


def test_an_end_mark_that_is_cut_off_is_an_error():
    assert "end mark" in fails(entry("good") + bytes(700))


@pytest.mark.parametrize("typeflag", [b"1", b"2", b"3", b"4", b"5", b"6"])
def test_content_behind_an_entry_that_has_none_is_an_error(typeflag):
    archive = tar_header("odd", typeflag=typeflag, size=512, linkname="x") + b"c" * 512 + END
    assert "checksum" in fails(archive)


@pytest.mark.parametrize("typeflag", [b"1", b"2", b"3", b"4", b"5", b"6"])
def test_a_size_where_there_is_no_content_hides_nothing_that_comes_next(typeflag):
    archive = tar_header("odd", typeflag=typeflag, size=512, linkname="x") + entry("next") + END
    headers, kinds = read(archive)
    assert [("odd", 0), ("next", 0)] == [(header.name, header.size) for header in headers]
    # GNU tar takes it for content, but not behind a hard link.
    assert ([] if typeflag == b"1" else ["size-without-content"]) == kinds


@pytest.mark.parametrize("typeflag", [b"0", b"\0", b"7", b"S", b"x", b"g", b"L", b"K"])
def test_a_negative_size_is_an_error(typeflag):
    assert "negative size" in fails(tar_header("f", typeflag=typeflag, size=-1, magic=GNU) + END)


def test_a_negative_size_in_the_header_is_an_error_even_under_a_right_one_in_pax():
    archive = pax_header({"size": "3"}) + tar_header("f", size=-1) + padded(b"abc") + END
    assert "negative size" in fails(archive)


def test_a_negative_size_in_pax_is_an_error():
    assert "negative size" in fails(pax_header({"size": "-1"}) + entry("f") + END)


def test_a_negative_size_of_an_entry_without_content_is_none():
    assert [("d", 0)] == [
        (header.name, header.size) for header in read(tar_header("d", typeflag=b"5", size=-1) + END)[0]
    ]


# -- where they agree ----------------------------------------------------------------------------------------------


def test_sizes_in_base_256_are_read():
    size = b"\x80" + bytes(10) + b"\x03"
    assert 3 == only(patched(tar_header("f"), {124: size}) + padded(b"abc") + END).size


def test_a_pax_size_replaces_that_of_the_header():
    archive = pax_header({"size": "3"}) + tar_header("f", size=0) + padded(b"abc") + entry("next") + END
    assert [("f", 3), ("next", 0)] == [(header.name, header.size) for header in read(archive)[0]]


def test_pax_records_replace_what_the_header_says():
    given = {"path": "p", "linkpath": "l", "uid": "70000000", "gid": "-5", "mtime": "1.9", "uname": "u"}
    header = only(pax_header(given) + entry("f", typeflag=b"2", linkname="x") + END)
    assert ("p", "l", 70_000_000, -5, 1) == (header.name, header.link, header.uid, header.gid, header.mtime)


def test_empty_pax_records_keep_what_the_header_says():
    given = {"linkpath": "", "uid": "", "gid": "", "mtime": "", "size": ""}
    archive = pax_header(given) + entry("f", b"abc", linkname="x", uid=1, gid=2, mtime=3) + END
    header = only(archive)
    assert ("x", 1, 2, 3, 3) == (header.link, header.uid, header.gid, header.mtime, header.size)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1.999999999999", 1),
        ("1.", 1),
        ("-1", -1),
        ("-1.0", -1),
        ("-1.5", -2),
        ("-0.5", -1),
        ("-0.000000001", -1),
        ("-0.0000000009", 0),  # less than a nanosecond
        (str(LARGEST), LARGEST),
    ],
)
def test_pax_times_are_whole_seconds_rounded_down(text, expected):
    assert expected == only(pax_header({"mtime": text}) + entry() + END).mtime


@pytest.mark.parametrize("key", ["mtime", "atime", "ctime"])
@pytest.mark.parametrize("text", [".5", "1.x", "1.5.5", "1.-5", "1e9", "now", "1_0", str(LARGEST + 1), " 1"])
def test_pax_times_that_are_none_are_an_error(key, text):
    assert f"PAX record '{key}'" in fails(pax_header({key: text}) + entry() + END)


@pytest.mark.parametrize("key", ["uid", "gid", "size"])
@pytest.mark.parametrize("text", ["1.0", "0x1", "one", "1_0", str(LARGEST + 1), " 1", "\N{SUPERSCRIPT TWO}"])
def test_pax_numbers_that_are_none_are_an_error(key, text):
    assert f"PAX record '{key}'" in fails(pax_header({key: text}) + entry() + END)


def test_extended_attributes_are_handed_out_as_written():
    given = {
        "SCHILY.xattr.user.a": b"\0\xff",
        "SCHILY.xattr.user.empty": b"",
        "LIBARCHIVE.xattr.user.b": b"eA",
    }
    assert {"user.a": "\0\udcff", "user.empty": ""} == only(pax_header(given) + entry() + END).xattrs


def test_an_extended_header_counts_for_one_entry():
    archive = (
        pax_header({"path": "p", "mtime": "7", "SCHILY.xattr.user.a": "x"}) + entry() + entry("next") + END
    )
    assert [("p", 7, {"user.a": "x"}), ("next", 0, None)] == [
        (header.name, header.mtime, header.xattrs) for header in read(archive)[0]
    ]


def test_an_empty_long_name_takes_back_the_one_before():
    archive = gnu_long(b"first") + entry("././@LongLink", typeflag=b"L", magic=GNU) + entry("file") + END
    assert ["file"] == names(archive)


def test_a_long_name_ends_at_its_first_nul():
    assert ["seen"] == names(gnu_long(b"seen\0hidden") + entry("file") + END)


@pytest.mark.parametrize(
    ("body", "typeflag"), [(b"not a record\n", b"x"), (b"not a record\n", b"g"), (b"5 a=\n7", b"x")]
)
def test_malformed_pax_headers_are_an_error(body, typeflag):
    assert "malformed PAX" in fails(extended(body, typeflag) + entry() + END)


@pytest.mark.parametrize("at", [100, 108, 116, 124, 136, 329, 337])
def test_a_number_that_is_none_is_an_error_whatever_the_entry(at):
    for typeflag in (b"0", b"5", b"x", b"g", b"L"):
        assert "expected a number" in fails(patched(tar_header("f", typeflag=typeflag), {at: b"zzz"}) + END)


def test_device_numbers_of_version_7_are_never_looked_at():
    assert ["f"] == names(patched(tar_header("f", magic=V7), {329: b"zzz", 337: b"zzz"}) + END)


# -- checksums -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signed", [False, True])
def test_both_sums_of_bytes_are_taken_for_a_checksum(signed):
    block = patched(tar_header(b"caf\xe9"), {}, signed=signed)
    assert ["caf\udce9"] == names(block + END)


def test_a_block_of_the_largest_ascii_bytes_has_its_true_checksum():
    block = tar_header(b"\x7f" * 100, linkname=b"\x7f" * 100, prefix=b"\x7f" * 155)
    filled = patched(block, {265: b"\x7f" * 64, 500: b"\x7f" * 12})
    assert ["\x7f" * 155 + "/" + "\x7f" * 100] == names(filled + END)


@pytest.mark.parametrize("field", [b"%06o\0 ", b"%07o\0", b"%07o ", b"  %05o\0", b"%06o\0\0"])
def test_the_checksum_is_octal_in_any_of_its_spellings(field):
    block = tar_header("f")
    total = sum(block[:148]) + 8 * 32 + sum(block[156:])
    assert ["f"] == names(block[:148] + (field % total).ljust(8, b"\0") + block[156:] + END)


def test_a_checksum_in_base_256_is_none():
    block = tar_header("f")
    total = sum(block[:148]) + 8 * 32 + sum(block[156:])
    assert "checksum" in fails(block[:148] + b"\x80" + total.to_bytes(7, "big") + block[156:] + END)


# -- the end -------------------------------------------------------------------------------------------------------


def test_a_whole_archive_has_nothing_to_note():
    assert [] == noted(entry("f", b"x") + END)
    assert [] == noted(entry("f", b"x") + END + bytes(10240))


@pytest.mark.parametrize("end", [b"", bytes(512)])
def test_a_missing_end_mark_is_accepted_and_noted(end):
    archive = entry("f", b"x") + end
    assert ["f"] == names(archive)
    assert ["missing-end"] == noted(archive)


@pytest.mark.parametrize("padding", [0, 1, 510])
def test_missing_padding_at_the_end_is_accepted_and_noted(padding):
    archive = tar_header("f", size=1) + b"x" + bytes(padding)
    assert ["f"] == names(archive)
    assert ["missing-padding"] == noted(archive)


def test_an_empty_archive_has_no_entries():
    assert ([], ["missing-end"]) == read(b"")
    assert ([], []) == read(END)


@pytest.mark.parametrize("size", [1, 512, 513, 2**40, LARGEST])
def test_content_that_is_cut_off_is_an_error(size):
    archive = tar_header("f", size=size) + bytes(min(size - 1, 600))
    assert "middle of a file's content" in fails(archive)


def test_an_extended_header_that_is_cut_off_is_an_error():
    assert "ends in the middle" in fails(pax_header({"path": "p" * 600})[:-600])


def test_an_extended_header_without_an_entry_is_noted():
    archive = entry("f") + gnu_long(b"nobody") + END
    assert ["f"] == names(archive)
    assert ["dangling-extension"] == noted(archive)


def test_bytes_behind_the_end_are_read_to_their_end_and_noted():
    archive = entry("f") + END + entry("hidden")
    pieces = iter([archive[:1536], archive[1536:], bytes(512)])
    stream = TarStream(pieces)
    assert ["f"] == [header.name for header in stream]
    assert ["data-after-end"] == [item.kind for item in stream.irregularities]
    assert next(pieces, None) is None


# -- sparse files --------------------------------------------------------------------------------------------------

STRETCHES = ((512, 512), (2048, 100), (4096, 0))
SPARSE = {
    "old": old_gnu_sparse(b"f", STRETCHES, 4096, b"d" * 612),
    "0.0": pax_sparse("0.0", b"f", STRETCHES, 4096, b"d" * 612),
    "0.1": pax_sparse("0.1", b"f", STRETCHES, 4096, b"d" * 612),
    "1.0": pax_sparse("1.0", b"f", STRETCHES, 4096, b"d" * 612),
}


@pytest.mark.parametrize("version", SPARSE)
def test_a_sparse_file_has_the_name_and_size_of_the_file_and_is_noted(version):
    archive = SPARSE[version] + entry("next") + END
    headers, kinds = read(archive)
    assert [("f", 4096, 612, STRETCHES), ("next", 0, 0, None)] == [
        (header.name, header.size, header.stored, header.sparse) for header in headers
    ]
    assert b"d" * 612 == archive[headers[0].data : headers[0].data + 612]
    assert ["sparse-type" if version == "old" else "sparse"] == kinds


@pytest.mark.parametrize(
    "archive", [old_gnu_sparse(b"f", (), 2**32, b""), pax_sparse("1.0", b"f", (), 2**32, b"")]
)
def test_a_sparse_file_may_be_nothing_but_a_hole(archive):
    header = only(archive + END)
    assert (2**32, 0, ()) == (header.size, header.stored, header.sparse)


@pytest.mark.parametrize("count", [4, 5, 25, 26, 100])
def test_an_old_sparse_map_goes_on_in_further_blocks(count):
    stretches = tuple((number * 1024, 512) for number in range(count))
    header = only(old_gnu_sparse(b"f", stretches, count * 1024, b"d" * 512 * count) + END)
    assert stretches == header.sparse


def test_an_old_sparse_map_may_go_on_with_nothing():
    archive = old_gnu_sparse(b"f", ((0, 5),), 10, b"abcde", extra=3) + entry("next") + END
    assert ["f", "next"] == names(archive)


@pytest.mark.parametrize("count", [100, 1000])
def test_a_map_of_version_1_0_takes_as_many_blocks_as_it_needs(count):
    stretches = tuple((number * 10_000_000, 1) for number in range(count))
    archive = pax_sparse("1.0", b"f", stretches, count * 10_000_000, b"d" * count) + entry("next") + END
    headers, _ = read(archive)
    assert stretches == headers[0].sparse
    assert "next" == headers[1].name


@pytest.mark.parametrize("version", SPARSE)
@pytest.mark.parametrize(
    ("stretches", "size", "stored"),
    [
        (((0, 11),), 10, 11),  # beyond the file
        (((5, 5), (0, 5)), 10, 10),  # descending
        (((0, 5), (4, 5)), 10, 10),  # overlapping
        (((0, 5),), 10, 4),  # less stored than mapped
        (((0, 5),), 10, 6),  # more
    ],
)
def test_a_sparse_map_that_contradicts_itself_is_an_error(version, stretches, size, stored):
    make = old_gnu_sparse if version == "old" else (lambda *rest: pax_sparse(version, *rest))
    assert "does not fit" in fails(make(b"f", stretches, size, b"d" * stored) + END)


@pytest.mark.parametrize("magic", [b"ustar\x0000", V7])
def test_an_old_sparse_file_in_another_dialect_is_an_error(magic):
    assert "not GNU's" in fails(entry("f", typeflag=b"S", magic=magic) + END)


@pytest.mark.parametrize(
    "given",
    [
        {"GNU.sparse.major": "2", "GNU.sparse.minor": "0"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "1"},
        {"GNU.sparse.minor": "0", "GNU.sparse.map": "0,3"},
        {"GNU.sparse.major": "0"},
        {"GNU.sparse.size": "10", "GNU.sparse.name": "other"},
        {"GNU.sparse.map": "", "GNU.sparse.size": "10"},
    ],
)
def test_a_version_of_sparse_files_that_nobody_knows_is_an_ordinary_file(given):
    header = only(pax_header(given) + entry("f", b"abc") + END)
    assert ("f", 3, None) == (header.name, header.size, header.sparse)


@pytest.mark.parametrize(
    "given",
    [
        {"GNU.sparse.map": "0,3"},  # how many is not said
        {"GNU.sparse.map": "0,3", "GNU.sparse.numblocks": "2"},
        {"GNU.sparse.map": "0,3", "GNU.sparse.numblocks": "-1"},
        {"GNU.sparse.map": "0", "GNU.sparse.numblocks": "1"},
        {"GNU.sparse.map": "0,x", "GNU.sparse.numblocks": "1"},
        {"GNU.sparse.map": "0,3,", "GNU.sparse.numblocks": "1"},
        {"GNU.sparse.map": "0,3", "GNU.sparse.numblocks": "1", "GNU.sparse.size": "x"},
        {"GNU.sparse.map": "0,3", "GNU.sparse.numblocks": "1", "GNU.sparse.size": "-3"},
    ],
)
def test_a_malformed_map_in_pax_records_is_an_error(given):
    fails(pax_header(given) + entry("f", b"abc") + END)


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"\n",
        b"x\n",
        b"-1\n",
        b"1\n0\n",
        b"1\n0\nx\n",
        b"1\0\n0\n3\n",
        b"1\n0\n3\0\n",
        b" 1\n0\n3\n",
        b"9" * 30,
    ],
)
def test_a_malformed_map_in_the_content_is_an_error(lines):
    given = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "10"}
    fails(pax_header(given) + entry("f", padded(lines) + b"abc") + END)


def test_numbers_of_a_map_in_the_content_may_have_any_number_of_zeros_before_them():
    given = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "10"}
    body = padded(b"0" * 3000 + b"1\n7\n3\n") + b"abc"
    assert ((7, 3),) == only(pax_header(given) + entry("f", body) + END).sparse


@pytest.mark.parametrize("typeflag", [b"1", b"2", b"5"])
def test_an_entry_without_content_cannot_be_sparse(typeflag):
    given = {"GNU.sparse.map": "0,0", "GNU.sparse.numblocks": "1"}
    assert "does not fit" in fails(pax_header(given) + entry("f", typeflag=typeflag, linkname="x") + END)


# -- bounds --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typeflag", [b"x", b"g", b"L", b"K"])
def test_an_extended_header_beyond_its_bound_is_not_read(typeflag):
    limits = evolve(DEFAULT_LIMITS, pax_bytes=1000)
    with pytest.raises(LimitExceeded) as raised:
        read(tar_header("x", typeflag=typeflag, size=1001), limits=limits)
    assert ("pax_bytes", 1000) == (raised.value.limit, raised.value.bound)


@pytest.mark.parametrize("size", [2**20 + 1, 2**40, LARGEST])
def test_the_bound_is_that_of_go(size):
    with pytest.raises(LimitExceeded):
        read(tar_header("x", typeflag=b"L", size=size))
    assert "ends in the middle" in fails(tar_header("x", typeflag=b"L", size=2**20))


def test_an_old_sparse_map_without_an_end_is_an_error():
    archive = old_gnu_sparse(b"f", (), 10, b"", extra=3000)
    assert "without an end" in fails(archive + END)


def test_a_map_in_the_content_without_an_end_is_an_error():
    given = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "10"}
    assert "without an end" in fails(pax_header(given) + entry("f", b"0" * 2**21) + END)


def test_a_map_of_more_entries_than_fit_is_an_error():
    given = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "10"}
    assert "impossible length" in fails(
        pax_header(given) + entry("f", padded(b"9000000000000000000\n")) + END
    )


# -- the flow of bytes ---------------------------------------------------------------------------------------------

EVERYTHING = b"".join(
    [
        entry("d/", typeflag=b"5"),
        entry("a", b"1" * 700),
        pax_header({"path": "p" * 700, "SCHILY.xattr.user.x": "y"}),
        entry("b", b"2"),
        gnu_long(b"g" * 700),
        entry("c", b"3" * 512),
        *SPARSE.values(),
        entry("l", typeflag=b"2", linkname="t"),
        END,
    ]
)


@pytest.mark.parametrize("portion", [1, 7, 100, 511, 512, 513, 1024, 5000])
def test_how_the_bytes_arrive_makes_no_difference(portion):
    assert read(EVERYTHING) == read(EVERYTHING, portion=portion)


def test_empty_pieces_make_no_difference():
    pieces = [b"", EVERYTHING[:700], b"", b"", EVERYTHING[700:], b""]
    assert read(EVERYTHING)[0] == list(TarStream(iter(pieces)))


@pytest.mark.parametrize("portion", [1, 100, 512, 10_000])
def test_content_can_be_read_in_part_and_the_rest_is_passed_over(portion):
    archive = entry("a", b"0123456789" * 100) + entry("b", b"xyz") + END
    stream = TarStream(iter([archive[at : at + portion] for at in range(0, len(archive), portion)]))
    headers = iter(stream)
    assert "a" == next(headers).name
    start = b""
    while len(start) < 15:
        start += stream.read(15 - len(start))
    assert b"012345678901234" == start
    assert "b" == next(headers).name
    assert b"xyz" == b"".join(iter(lambda: stream.read(2), b""))
    assert b"" == stream.read(1)
    assert next(headers, None) is None


def test_reading_content_that_is_cut_off_is_an_error():
    stream = TarStream(iter([tar_header("a", size=10) + b"12345"]))
    next(iter(stream))
    assert b"12345" == stream.read(100)
    with pytest.raises(InvalidLayer, match="middle of a file"):
        stream.read(100)


@pytest.mark.parametrize("portion", [100, 512, 4096])
def test_an_input_that_can_seek_is_passed_over_and_reads_the_same(portion):
    archive = entry("a", b"x" * 5000) + entry("b", b"y" * 10) + entry("c", b"z" * 50_000) + END
    at = 0

    def pieces():
        nonlocal at
        while at < len(archive):
            piece = archive[at : at + portion]
            at += len(piece)
            yield piece

    def seek(size):
        nonlocal at
        passed = min(size, len(archive) - at)
        at += passed
        return passed

    assert read(archive)[0] == list(TarStream(pieces(), seek=seek))


@pytest.mark.parametrize("missing", [1, 400, 511, 512])
def test_an_input_that_can_seek_is_no_longer_than_it_is(missing):
    archive = (tar_header("a", size=2049) + bytes(2049 + 511))[:-missing]
    at = 0

    def pieces():
        nonlocal at
        piece, at = archive[at : at + 512], min(at + 512, len(archive))
        while piece:
            yield piece
            piece, at = archive[at : at + 512], min(at + 512, len(archive))

    def seek(size):
        nonlocal at
        passed = min(size, len(archive) - at)
        at += passed
        return passed

    stream = TarStream(pieces(), seek=seek)
    if missing > 511:
        with pytest.raises(InvalidLayer, match="middle of a file"):
            list(stream)
    else:
        assert ["a"] == [header.name for header in stream]
        assert ["missing-padding"] == [item.kind for item in stream.irregularities]


def test_an_error_and_a_note_say_where_they_are():
    archive = entry("good", b"x") + entry("d/", b"y") + tar_header("bad", checksum=1)
    stream = TarStream(iter([archive]))
    with pytest.raises(InvalidLayer, match="byte 2048 of the uncompressed layer"):
        list(stream)
    assert [("slash-on-file", 1024, "d/")] == [
        (item.kind, item.offset, item.path) for item in stream.irregularities
    ]
