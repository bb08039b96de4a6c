"""A policy is refused as a whole, with every mistake and where it is."""

import contextlib
import itertools
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosinspect.errors import InvalidPolicy
from cosinspect.policy import load_policy
from cosinspect.policy.quantities import VersionRange, parse_size
from stacks import SCALE

GOOD = """
name = "fleet"
required = ["upgrade"]

[levels]
COS033 = "error"

[[files]]
id = "FLEET001"
name = "root-login-allowed"
path = "/etc/ssh/sshd_config"
contains = '^PermitRootLogin no'

[[waivers]]
check = "COS034"
reason = "known, PLAT-12"
expires = 2027-03-31
"""


def load(directory, text):
    path = directory / "policy.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_policy(path)


def mistakes(directory, text):
    with pytest.raises(InvalidPolicy) as told:
        load(directory, text)
    return told.value.mistakes


def test_a_good_one(tmp_path):
    policy = load(tmp_path, GOOD)
    assert ("fleet", ["FLEET001"], 1) == (
        policy.name,
        [item.id for item in policy.checks],
        len(policy.waivers),
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('name = "fleet"', "", "the document: expected the key name, it is missing"),
        ('"upgrade"', '"fly"', "line 3, required: expected boot or install or"),
        ('COS033 = "error"', 'COS033 = "grave"', "line 6, levels.COS033: expected error or warning or note"),
        ("path =", "pth =", "line 11, files[0].pth: there is no such key; did you mean path?"),
        ('"/etc/ssh', '"etc/ssh', "line 11, files[0].path: expected"),
        ("'^PermitRootLogin no'", "'('", "line 12, files[0].contains: expected a regular expression"),
        ("'^PermitRootLogin no'", "7", "line 12, files[0].contains: expected"),
        ('"FLEET001"', '"COS010"', "line 9, files[0].id: expected"),
        ('"root-login-allowed"', '"Root Login"', "line 10, files[0].name: expected"),
        ("contains =", "exists = false\ncontains =", "files[0].contains: expected nothing to be asked"),
        ("contains =", "mode = '9'\ncontains =", "files[0].mode: expected"),
        ("contains =", "max_size = 'big'\ncontains =", "files[0].max_size: expected a size such as"),
        ("2027-03-31", '"soon"', "line 17, waivers[0].expires: expected"),
        ("2027-03-31", "2027-03-31T10:00:00", "line 17, waivers[0].expires: expected a day"),
        ('"known, PLAT-12"', '""', "line 16, waivers[0].reason: expected"),
        ("[[files]]", "[files]", "files: expected"),
        ("[[waivers]]", "[[waiver]]", "waiver: there is no such key; did you mean waivers?"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path, old, new, expected):
    assert old in GOOD
    told = mistakes(tmp_path, GOOD.replace(old, new, 1))
    assert any(expected in each for each in told), told


def test_all_mistakes_are_told_at_once(tmp_path):
    text = GOOD.replace('"upgrade"', '"fly"').replace("path =", "pth =").replace("2027-03-31", "1")
    assert 3 <= len(mistakes(tmp_path, text))


def test_two_rules_with_one_id(tmp_path):
    text = GOOD + '[[labels]]\nid = "FLEET001"\nname = "other"\nlabel = "x"\n'
    assert any("FLEET001 belongs to another rule" in each for each in mistakes(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name = ", "expected TOML"),
        (b"\xff", "not UTF-8"),
        (b"#" * (1 << 20) + b"##", "expected at most 1048576 bytes"),
        ("a = " + "[" * 5000, "expected TOML"),
        ("a = " + "9" * 5000, "expected TOML"),
    ],
)
def test_what_is_no_document(tmp_path, text, expected):
    with pytest.raises(InvalidPolicy, match=expected):
        load(tmp_path, text)


@pytest.mark.parametrize("path", ["absent.toml", ".", "nul\0.toml"])
def test_what_cannot_be_read(tmp_path, path):
    with pytest.raises(InvalidPolicy, match="cannot be read"):
        load_policy(f"{tmp_path}/{path}")


# -- anything ----------------------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.one_of(
        st.text(max_size=8),
        st.integers(-5, 10**6),
        st.booleans(),
        st.dates(),
        st.datetimes(),
        st.floats(allow_nan=False),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=4,
)
KEYS = st.sampled_from(
    [
        "id",
        "name",
        "level",
        "summary",
        "why",
        "remedy",
        "capabilities",
        "path",
        "exists",
        "optional",
        "type",
        "mode",
        "max_mode",
        "uid",
        "gid",
        "contains",
        "lacks",
        "max_size",
        "package",
        "version",
        "label",
        "matches",
        "max_compressed",
        "max_layer",
        "max_layers",
        "max_unpacked",
        "check",
        "reason",
        "expires",
    ]
)
TABLES = st.lists(st.dictionaries(KEYS, VALUES, max_size=6) | VALUES, max_size=3)
DOCUMENTS = st.dictionaries(
    st.sampled_from(
        ["name", "required", "levels", "files", "packages", "labels", "sizes", "waivers", "other"]
    ),
    TABLES | VALUES,
    max_size=6,
)


def as_toml(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_toml(key)} = {as_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(as_toml(each) for each in value) + "]"
    if isinstance(value, str):
        return (
            '"'
            + "".join(f"\\U{ord(letter):08x}" for letter in value if not "\ud800" <= letter <= "\udfff")
            + '"'
        )
    if isinstance(value, float):
        return f"{value:f}"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


@given(DOCUMENTS)
@settings(max_examples=400 * SCALE, deadline=None)
def test_any_document_is_a_policy_or_refused(tmp_path_factory, document):
    text = "".join(f"{key} = {as_toml(value)}\n" for key, value in document.items())
    tomllib.loads(text)
    with contextlib.suppress(InvalidPolicy):
        load(tmp_path_factory.getbasetemp(), text)


@given(st.binary(max_size=300))
@settings(max_examples=400 * SCALE, deadline=None)
def test_any_bytes_are_a_policy_or_refused(tmp_path_factory, data):
    with contextlib.suppress(InvalidPolicy):
        load(tmp_path_factory.getbasetemp(), data)


@given(st.text(max_size=20))
def test_any_size_is_one_or_refused(text):
    try:
        assert parse_size(text) >= 0
    except ValueError as fault:
        told = str(fault)
    else:
        return
    assert "expected a size" in told


@given(st.text(alphabet="0123456789.~+-:<>=!, aZ", max_size=20), st.text(max_size=12))
def test_any_range_is_one_or_refused(text, version):
    try:
        VersionRange.parse(text).holds(version)
    except ValueError as fault:
        told = str(fault)
    else:
        return
    assert "expected" in told


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1 bytes", 1), ("1kB", 1000), ("1.5 GiB", 3 * 2**29), ("800 MB", 800_000_000), ("2 TiB", 2 * 1024**4)],
)
def test_sizes(text, expected):
    assert expected == parse_size(text)


def test_versions_are_in_debians_order():
    """deb-version(7): a tilde is before the end, letters before other signs."""
    order = ["1.0~rc1", "1.0", "1.0-1", "1.0-2", "1.0.1", "1.10", "2"]
    for lower, higher in itertools.pairwise(order):
        assert VersionRange.parse(f"<{higher}").holds(lower)
        assert not VersionRange.parse(f"<{lower}").holds(higher)
        assert VersionRange.parse(f">={lower}, <{higher}").holds(lower)
