"""Single values as people see them."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosinspect.report.display import cut, iso_time, printable, size, wrap


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/boot/vmlinuz", "/boot/vmlinuz"),
        ("/größe/日本語/€", "/größe/日本語/€"),
        ("a\nb\rc\td", "a\\nb\\rc\\td"),
        ("\x00\x07\x1b[31m\x7f", "\\x00\\x07\\x1b[31m\\x7f"),
        ("\x85\x9b2J", "\\x85\\x9b2J"),
        ("\u202egnp.exe\u2066", "\\u202egnp.exe\\u2066"),
        ("a\u00a0b\u2028c\u200bd", "a\\xa0b\\u2028c\\u200bd"),
        ("bytes \udcff\udc80", "bytes \\xff\\x80"),
        ("lone \ud800", "lone \\ud800"),
        ("tag \U000e0041", "tag \\U000e0041"),
        ("C:\\n", "C:\\n"),
        ("", ""),
    ],
)
def test_only_what_is_visible_stays(text, shown):
    assert shown == printable(text)


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=[])))
def test_nothing_passes_that_could_move_a_cursor_or_turn_text_around(text):
    shown = printable(text)

    unseen = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert not {unicodedata.category(character) for character in shown} & unseen
    assert text != shown or text.isprintable()


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (412_300_000, "412.3 MB"),
        (5_500_000_000, "5.5 GB"),
        (10**16, "10000.0 TB"),
    ],
)
def test_sizes_are_said_in_decimal_units(count, said):
    assert said == size(count)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_714_564_800, "2024-05-01T12:00:00Z"),
        (-1, "1969-12-31T23:59:59Z"),
        (2**62, f"@{2**62}"),
        (-(2**63), f"@{-(2**63)}"),
    ],
)
def test_times_are_utc_and_what_no_calendar_holds_is_a_number(seconds, said):
    assert said == iso_time(seconds)


@pytest.mark.parametrize(("text", "width", "said"), [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("abcd", 0, "…")])
def test_cut_text_says_that_there_was_more(text, width, said):
    assert said == cut(text, width)


@settings(deadline=None)
@given(st.lists(st.text("abc-/", min_size=1, max_size=40)), st.integers(0, 120))
def test_wrapping_keeps_every_word_whole_and_in_order(words, width):
    lines = wrap(" ".join(words), width)

    assert words == " ".join(lines).split()
    assert all(len(line) <= max(width, 20) or " " not in line for line in lines)
