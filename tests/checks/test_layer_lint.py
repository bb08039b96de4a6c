"""What layers contradict themselves in, each row by its bytes: which check tells, where, and what others do.

The rows are those on which Python's tarfile, Go's archive/tar and GNU tar were seen to differ, and what image-spec's
layer.md forbids or leaves open. The archives are laid out here, block by block.
"""

import os
from pathlib import Path

import pytest

from cosinspect import inspect
from cosinspect.checks import CATALOGUE
from cosinspect.checks.layers import RULINGS
from cosinspect.report.report import Kind
from cosinspect.testing import ImageBuilder, Symlink
from cosinspect.testing.tar_writer import pax_header, tar_header
from raw_tar import END, entry, gnu_long, old_gnu_sparse, pax_sparse

LINT = {"COS002", "COS003", "COS005", "COS006", "COS007", "COS008", "COS009", "COS111"}
BASE = {"d/f": "lower", "usr/lib/x": "lower", "lib": Symlink("usr/lib"), "file": "lower", "t": "lower"}


def directory(name, **fields):
    return tar_header(name, typeflag=b"5", mode=0o755, **fields)


def link(name, target, **fields):
    return tar_header(name, typeflag=b"1", linkname=target, **fields)


ROWS = {
    # The table of tar readers.
    "v7-prefix": ("COS006", tar_header("vmlinuz", prefix=b"boot", magic=bytes(8)), "/vmlinuz"),
    "two-pax": ("COS006", pax_header({"path": "a"}) + pax_header({"path": "b"}) + entry(), None),
    "two-long-names": ("COS006", gnu_long(b"a" * 120) + gnu_long(b"b" * 120) + entry(), None),
    "pax-then-long": ("COS006", pax_header({"path": "a"}) + gnu_long(b"b" * 120) + entry(), "/" + "b" * 120),
    "global-path": ("COS006", pax_header({"path": "all"}, typeflag=b"g") + entry("own"), None),
    "empty-pax-path": ("COS006", pax_header({"path": ""}) + entry("own"), "/own"),
    "pax-path-with-nul": ("COS005", pax_header({"path": "a\0b"}) + entry("own"), None),
    "file-with-slash": ("COS006", tar_header("d2/", typeflag=b"0"), "/d2"),
    "unknown-type": ("COS002", tar_header("odd", typeflag=b"Z"), "/odd"),
    "checksum": ("COS005", entry("before") + tar_header("vmlinuz", checksum=0), "/before"),
    "lone-zero-block": ("COS005", entry("before") + bytes(512) + entry("behind"), "/before"),
    "link-with-size": ("COS006", tar_header("l", typeflag=b"2", linkname="t", size=512), "/l"),
    "negative-size": ("COS005", tar_header("f", size=-1), None),
    "old-sparse": ("COS002", old_gnu_sparse(b"s", ((0, 512),), 512, b"d" * 512), "/s"),
    "pax-sparse": ("COS009", pax_sparse("1.0", b"s", ((0, 512),), 512, b"d" * 512), "/s"),
    # What one layer alone shows.
    "twice": ("COS003", entry("same") + entry("same"), "/same"),
    "dir-over-child": ("COS003", entry("p/c") + entry("p"), "/p"),
    "whiteout-with-content": ("COS009", entry(".wh.t", b"gone"), "/.wh.t"),
    "whiteout-as-directory": ("COS003", directory(".wh.t/"), "/.wh.t"),
    "nested-whiteout": ("COS003", entry(".wh.d") + entry("d/.wh.f"), "/d/f"),
    "whiteout-in-opaque": ("COS003", directory("d/") + entry("d/.wh..wh..opq") + entry("d/.wh.f"), "/d/f"),
    "opaque-root": ("COS003", entry(".wh..wh..opq"), None),
    "aufs": ("COS003", directory(".wh..wh.plnk/") + entry(".wh..wh.plnk/1"), None),
    "symlinked-parent": (
        "COS003",
        tar_header("to", typeflag=b"2", linkname="d") + entry("to/new"),
        "/to/new",
    ),
    "forward-hardlink": ("COS002", link("h", "later") + entry("later"), "/h"),
    "dangling-hardlink": ("COS002", link("h", "nowhere"), "/h"),
    "hardlink-to-directory": ("COS002", directory("e/") + link("h", "e"), "/h"),
    "nameless-whiteout": ("COS002", entry(".wh."), None),
    "escaping-name": ("COS007", entry("../escape"), "/escape"),
    "device-0-0": ("COS008", tar_header("t", typeflag=b"3"), "/t"),
    "overlay-attribute": (
        "COS008",
        pax_header({"SCHILY.xattr.trusted.overlay.opaque": "y"}) + directory("d/"),
        "/d",
    ),
    "user-overlay-attribute": (
        "COS008",
        pax_header({"SCHILY.xattr.user.overlay.redirect": "/x"}) + directory("d/"),
        "/d",
    ),
}

TAILS = {
    "data-after-end": ("COS006", entry("a") + END + entry("hidden")),
    "no-end": ("COS009", entry("a")),
    "half-a-header": ("COS005", entry("a") + tar_header("b")[:100]),
    "half-a-body": ("COS005", entry("a") + entry("b", b"x" * 2000)[:1000]),
}


def lint(tmp_path, archive):
    """Give the findings of the lint checks by check id, and the layer's position is 1."""
    built = ImageBuilder().layer(BASE).raw_layer(archive).build()
    found = inspect(built.write_layout(tmp_path))
    return {result.check: result.findings for result in found.failed if result.check in LINT}


@pytest.mark.parametrize("row", ROWS)
def test_each_row_is_told_by_its_check_with_layer_place_and_remedy(tmp_path, row):
    check, archive, path = ROWS[row]

    found = lint(tmp_path, archive + END)

    assert check in found
    told = [finding for finding in found[check] if path is None or finding.path == path]
    assert told, [finding.path for finding in found[check]]
    for finding in told:
        assert 1 == finding.layer
        assert ";" in finding.message  # what it is; who does what with it
        assert finding.remedy


@pytest.mark.parametrize("row", TAILS)
def test_each_end_is_told_by_its_check(tmp_path, row):
    check, archive = TAILS[row]

    assert check in lint(tmp_path, archive)


@pytest.mark.parametrize("row", [row for row, (check, *_) in ROWS.items() if check in {"COS006", "COS009"}])
def test_what_a_reader_notices_is_told_with_its_byte(tmp_path, row):
    check, archive, _ = ROWS[row]

    found = lint(tmp_path, entry("first") + archive + END)

    places = [line for finding in found[check] for line in finding.evidence if line.startswith("byte ")]
    assert places
    assert all(512 <= int(line.split()[1]) < 512 + len(archive) for line in places)


def test_an_honest_layer_has_nothing_to_tell(tmp_path):
    archive = (
        directory("d/")
        + entry("d/.wh.f")
        + entry("d/new", b"new")
        + link("d/other", "d/new", mode=0o644)
        + pax_header({"path": "n" * 200})
        + entry()
    )

    assert {} == lint(tmp_path, archive + END)


def test_every_ruling_is_of_a_lint_check():
    assert LINT == {ruling.check for ruling in RULINGS.values()}
    assert {item.id for item in CATALOGUE} >= LINT
    assert all(
        (ruling.who and ruling.remedy.endswith(".")) or ")" in ruling.remedy for ruling in RULINGS.values()
    )


def test_an_unreadable_layer_leaves_everything_else_undecided(tmp_path):
    built = ImageBuilder().layer(BASE).raw_layer(entry("a") + tar_header("b", checksum=0) + END).build()
    found = inspect(built.write_layout(tmp_path))

    # elemental does not notice, and installs what comes before the damage.
    assert ["COS005", "COS201"] == [result.check for result in found.failed]
    assert {Kind.OPEN} == {result.kind for result in found.results if result not in found.failed}
    message = found.failed[1].findings[0].message
    assert message.startswith("elemental installs a part of the image and reports success")


def test_an_entry_through_a_lower_layers_link_is_told_as_a_difference(tmp_path):
    built = ImageBuilder().layer(BASE).raw_layer(entry("lib/new", b"new") + END).build()
    found = inspect(built.write_layout(tmp_path))

    told = [finding for result in found.failed if result.check == "COS200" for finding in result.findings]
    assert told
    assert any("through a link" in line for finding in told for line in finding.evidence)
    assert {1} == {finding.layer for finding in told}


PAGE = Path(__file__).parents[2] / "docs/layers.md"


def test_the_page_lists_every_ruling():
    rows = [
        f"| {kind} | {rule.check} | {rule.who} | {rule.remedy} |" for kind, rule in sorted(RULINGS.items())
    ]
    table = "\n".join(["| irregularity | check | what readers do | remedy |", "|---|---|---|---|", *rows])
    before, marker, rest = PAGE.read_text().partition("<!-- rulings -->\n")
    if os.environ.get("COSINSPECT_UPDATE_GOLDEN"):
        PAGE.write_text(f"{before}{marker}{table}\n")

    assert f"{table}\n" == rest
