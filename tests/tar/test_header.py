"""The fields of tar headers, read as Go's strconv.go for archive/tar reads them."""

import pytest

from cosinspect.tar.header import (
    is_valid_sparse,
    parse_decimal,
    parse_number,
    parse_octal,
    parse_pax_records,
    parse_text,
)
from raw_tar import records

LARGEST = 2**63 - 1
SMALLEST = -(2**63)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"0000644\0", 0o644),
        (b"0000644 ", 0o644),
        (b"    644\0", 0o644),
        (b"\0\0 644 \0", 0o644),
        (b"777777777777", 8**12 - 1),  # no room for an end
        (b"0000000\0", 0),
        (b"\0" * 8, 0),
        (b" " * 8, 0),
        (b"12\x0034\0\0\0", 0o12),  # a NUL ends it, whatever follows
        (b"12 34\0\0\0", None),
        (b"0000008\0", None),
        (b"-000001\0", None),
        (b"+000001\0", None),
        (b"0o00001\0", None),
        (b"1_00000\0", None),
        (b"\xc2\xb2\0\0\0\0\0\0"[1:].ljust(8, b"\0"), None),  # a superscript digit to str.isdigit
    ],
)
def test_octal_numbers_are_digits_between_blanks_and_nuls(field, expected):
    assert expected == parse_octal(field)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"\x80" + bytes(7), 0),
        (b"\x80" + bytes(6) + b"\x07", 7),
        (b"\xff" * 8, -1),
        (b"\xff" * 12, -1),
        (b"\xff" * 7 + b"\xfe", -2),
        (b"\xbf" + b"\xff" * 7, 2**62 - 1),
        (b"\xc0" + bytes(7), -(2**62)),
        (b"\x80\0\0\0" + b"\x7f" + b"\xff" * 7, LARGEST),
        (b"\x80\0\0\0" + b"\x80" + bytes(7), None),
        (b"\xff\xff\xff\xff" + b"\x80" + bytes(7), SMALLEST),
        (b"\xff\xff\xff\xff" + b"\x7f" + b"\xff" * 7, None),
        (b"\xbf" + b"\xff" * 11, None),
        (b"0000010\0", 8),
    ],
)
def test_a_set_first_bit_means_base_256_in_twos_complement_of_64_bits(field, expected):
    assert expected == parse_number(field)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"name\0\0\0", "name"),
        (b"name\0hidden", "name"),
        (b"full", "full"),
        (b"\0name", ""),
        (b"caf\xc3\xa9", "café"),
        (b"caf\xe9", "caf\udce9"),
    ],
)
def test_text_ends_at_its_first_nul_and_keeps_every_byte(field, expected):
    assert expected == parse_text(field)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("-0", 0),
        ("+7", 7),
        ("-7", -7),
        ("007", 7),
        ("0" * 10_000 + "7", 7),
        ("-" + "0" * 10_000, 0),
        (str(LARGEST), LARGEST),
        (str(LARGEST + 1), None),
        (str(SMALLEST), SMALLEST),
        (str(SMALLEST - 1), None),
        ("9" * 10_000, None),
        ("", None),
        ("+", None),
        ("--7", None),
        (" 7", None),
        ("7 ", None),
        ("7\n", None),
        ("1_000", None),
        ("7.0", None),
        ("0x7", None),
        ("\N{ARABIC-INDIC DIGIT SEVEN}", None),  # a digit to Python
        ("\N{SUPERSCRIPT TWO}", None),
    ],
)
def test_decimals_are_those_of_strconv_parseint(text, expected):
    assert expected == parse_decimal(text)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", {}),
        (records((b"path", b"a/b")), {"path": "a/b"}),
        (records((b"path", b"a"), (b"path", b"b")), {"path": "b"}),
        (records((b"path", b"")), {"path": ""}),
        (records((b"comment", b"a=b=c")), {"comment": "a=b=c"}),
        (records((b"comment", b"two\nlines\n")), {"comment": "two\nlines\n"}),
        (records((b"SCHILY.xattr.user.x", b"\0\xff")), {"SCHILY.xattr.user.x": "\0\udcff"}),
        (records((b"\xe9", b"x")), {"\udce9": "x"}),
        (b"5 a=\n", {"a": ""}),
        (b"7  a=b\n", {" a": "b"}),
        (b"+8 a=bc\n", {"a": "bc"}),
        (b"0" * 40 + b"47 a=b\n", {"a": "b"}),
        (
            records((b"GNU.sparse.offset", b"0"), (b"GNU.sparse.numbytes", b"5")),
            {"GNU.sparse.map": "0,5"},
        ),
    ],
)
def test_good_pax_records_are_read(body, expected):
    assert expected == parse_pax_records(body)


@pytest.mark.parametrize(
    "body",
    [
        b"\0" * 512,
        b"7 a=bc\n ",
        b"8 a=bc\n",  # longer than there is
        b"6 a=bc\n",  # the newline is elsewhere
        b"7 a=bc\0",
        b"4 a=\n",
        b"5 abc",
        b"6 abc\n",  # no equals sign
        b"6 =bc\n",  # no key
        b"-7 a=bc\n",
        b"0 a=bc\n",
        b"0_9 a=bc\n",
        b"7\ta=bc\n",
        b"99999999999999999999 a=bc\n",
        b"5 \n",
        b"10 5 a=\n",
        records((b"path", b"a\0b")),
        records((b"linkpath", b"a\0")),
        records((b"uname", b"\0")),
        records((b"gname", b"\0")),
        records((b"k\0ey", b"x")),
        records((b"GNU.sparse.numbytes", b"5")),
        records((b"GNU.sparse.offset", b"5"), (b"GNU.sparse.offset", b"5")),
        records((b"GNU.sparse.offset", b"0,5")),
    ],
)
def test_malformed_pax_records_are_refused(body):
    assert parse_pax_records(body) is None


def test_a_long_extended_header_takes_time_in_proportion_to_its_length():
    # A search from each record to the far end of the data would take minutes.
    body = b"5 a=\n" * 200_000
    assert parse_pax_records(body) == {"a": ""}


@pytest.mark.parametrize(
    ("found", "size", "stored", "expected"),
    [
        ((), 0, 0, True),
        ((), 100, 0, True),
        (((0, 10),), 10, 10, True),
        (((0, 10), (10, 5)), 20, 15, True),
        (((5, 0), (5, 5)), 20, 5, True),
        (((20, 0),), 20, 0, True),
        ((), -1, 0, False),
        (((-1, 5),), 10, 5, False),
        (((5, -1),), 10, -1, False),
        (((0, 11),), 10, 11, False),
        (((21, 0),), 20, 0, False),
        (((10, 5), (0, 5)), 20, 10, False),
        (((0, 10), (9, 5)), 20, 15, False),
        (((LARGEST, 1),), LARGEST, 1, False),
        (((0, 10),), 10, 9, False),  # less is stored than the map speaks of
        (((0, 10),), 10, 11, False),  # more is stored
    ],
)
def test_a_sparse_map_must_ascend_inside_the_file_and_account_for_what_is_stored(
    found, size, stored, expected
):
    assert expected is is_valid_sparse(found, size, stored)
