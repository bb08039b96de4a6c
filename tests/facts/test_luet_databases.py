"""luet's databases in images: wherever they may be, whole, damaged, covered up, and what only has their name."""

import json
import lzma
from pathlib import Path

import pytest
from attrs import evolve

from cosinspect import open_image
from cosinspect.errors import ContentError, FormatError
from cosinspect.facts.luet_databases import READS, find_databases, luet_config
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.testing import Directory, File, ImageBuilder, Opaque, Symlink, Whiteout

DATA = Path(__file__).parents[1] / "data/luetdb"
EXPECTED = json.loads((DATA / "expected.json").read_text())["files"]
# The odd values of one are judged one by one in the tests of the format.
READABLE = sorted({name for name, item in EXPECTED.items() if "installed" in item} - {"odd-values.db"})
DEFAULT = "var/cache/luet/luet.db"


def database(name="luet-0.20.6-minimal"):
    return lzma.decompress((DATA / f"{name}.db.xz").read_bytes())


def find(tmp_path, *layers, env=(), limits=DEFAULT_LIMITS):
    """Find the databases of an image with these layers."""
    builder = ImageBuilder(env=env)
    for layer in layers:
        builder = builder.layer(layer, parents=False)
    with open_image(builder.build().write_layout(tmp_path)) as image:
        return find_databases(image.read_rootfs(READS), image.config, limits=limits)


# -- places ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "var/cache/luet/luet.db",
        "var/luet/db/luet.db",
        "var/db/luet/luet.db",
        "usr/local/luet.db",
        "luet.db",
        "opt/a/b/c/luet.db",
    ],
)
def test_a_database_is_found_wherever_it_is(tmp_path, path):
    (found,) = find(tmp_path, {"etc/hosts": ""}, {path: database()})

    assert (f"/{path}", 1, ()) == (found.path, found.layer, found.problems)
    assert 17 == len(found.database.packages)


def test_an_image_without_a_database_has_none(tmp_path):
    assert () == find(tmp_path, {"etc/luet/luet.yaml": "", "var/cache/luet/repos/x": ""})


@pytest.mark.parametrize("name", ["LUET.db", "luet.db.bak", "my-luet.db"])
def test_a_file_of_another_name_is_none(tmp_path, name):
    assert () == find(tmp_path, {f"var/cache/luet/{name}": database()})


CONFIG = "system:\n  database_path: /srv/packages\n"


def test_the_place_that_luet_yaml_names_comes_first(tmp_path):
    layer = {"etc/luet/luet.yaml": CONFIG, "srv/packages/luet.db": database(), DEFAULT: database()}

    assert ["/srv/packages/luet.db", f"/{DEFAULT}"] == [item.path for item in find(tmp_path, layer)]


def test_without_a_configuration_the_usual_place_comes_first(tmp_path):
    layer = {"srv/packages/luet.db": database(), "a/luet.db": database(), DEFAULT: database()}

    paths = [item.path for item in find(tmp_path, layer)]

    assert [f"/{DEFAULT}", "/a/luet.db", "/srv/packages/luet.db"] == paths


def test_the_environment_of_the_image_goes_before_its_luet_yaml(tmp_path):
    layer = {
        "etc/luet/luet.yaml": CONFIG,
        "srv/packages/luet.db": database(),
        "var/db/other/luet.db": database(),
    }

    found = find(tmp_path, layer, env=["PATH=/bin", "LUET_SYSTEM__DATABASE_PATH=/var/db/other", "EMPTY"])

    assert ["/var/db/other/luet.db", "/srv/packages/luet.db"] == [item.path for item in found]


@pytest.mark.parametrize("text", ["system: [\n", "- a list\n", "\xff\xfe", "a: " + "[" * 5000])
def test_a_luet_yaml_that_cannot_be_read_hides_no_database(tmp_path, text):
    (found,) = find(tmp_path, {"etc/luet/luet.yaml": text, DEFAULT: database()})

    assert f"/{DEFAULT}" == found.path


def test_a_luet_yaml_that_is_too_large_hides_no_database(tmp_path):
    image = ImageBuilder().layer({"etc/luet/luet.yaml": "#" * 500, "luet.db": ""}).build()
    limits = evolve(DEFAULT_LIMITS, parsed_file_bytes=100)

    with open_image(image.write_layout(tmp_path), limits=limits) as opened:
        (found,) = find_databases(opened.read_rootfs(READS), opened.config)

    assert "/luet.db" == found.path


def test_a_path_that_leads_through_links_is_one_database(tmp_path):
    layer = {
        "etc/luet/luet.yaml": "system:\n  database_path: /data\n",
        "data": Symlink("srv/store"),
        "srv/store/luet.db": database(),
    }

    assert ["/srv/store/luet.db"] == [item.path for item in find(tmp_path, layer)]


def test_a_link_called_luet_db_leads_to_the_database(tmp_path):
    layer = {DEFAULT: Symlink("../../../srv/packages.bolt"), "srv/packages.bolt": database()}

    assert ["/srv/packages.bolt"] == [item.path for item in find(tmp_path, layer)]


def test_a_link_elsewhere_called_luet_db_leads_to_the_database_too(tmp_path):
    layer = {"opt/luet.db": Symlink("../srv/packages.bolt"), "srv/packages.bolt": database()}

    assert ["/srv/packages.bolt"] == [item.path for item in find(tmp_path, layer)]


@pytest.mark.parametrize("entry", [Directory(), Symlink("nowhere"), Symlink("luet.db"), Symlink("/")])
def test_what_is_no_file_is_no_database(tmp_path, entry):
    assert () == find(tmp_path, {DEFAULT: entry})


# -- layers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cover",
    [
        {DEFAULT: Whiteout()},
        {"var/cache/luet": Whiteout()},
        {"var/cache": Opaque()},
        {"var": "a file"},
        {"var/cache/luet": Symlink("/tmp")},
    ],
)
def test_a_database_that_a_later_layer_takes_away_is_gone(tmp_path, cover):
    assert () == find(tmp_path, {DEFAULT: database()}, cover)


def test_of_two_layers_the_upper_database_counts(tmp_path):
    (found,) = find(tmp_path, {DEFAULT: database()}, {DEFAULT: database("luet-0.20.6-uninstalled")})

    assert 1 == found.layer
    expected = EXPECTED["luet-0.20.6-uninstalled.db"]["installed"]
    assert len(expected) == len(found.database.packages)


# -- contents --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", READABLE)
def test_a_database_lists_what_luet_wrote(tmp_path, name):
    (found,) = find(tmp_path, {DEFAULT: database(name.removesuffix(".db"))})

    expected = [
        (package["category"], package["name"], package["version"], tuple(package["files"] or ()))
        for package in EXPECTED[name]["installed"]
    ]
    assert found.database is not None
    assert expected == [
        (each.category, each.name, each.version, tuple(each.files)) for each in found.database.packages
    ]
    assert (f"/{DEFAULT}", 0) == (found.path, found.layer)


@pytest.mark.parametrize("name", [name for name, item in EXPECTED.items() if "reader_error" in item])
def test_a_damaged_database_is_told_and_lists_nothing(tmp_path, name):
    (found,) = find(tmp_path, {DEFAULT: database(name.removesuffix(".db"))})

    assert found.database is None
    (problem,) = found.problems
    assert problem.startswith(tuple(f"unreadable: {kind}: " for kind in EXPECTED[name]["reader_error"]))


def test_what_is_mended_by_the_older_copy_is_read_and_told(tmp_path):
    (found,) = find(tmp_path, {DEFAULT: database("bad-meta-newest-bitflip")})

    assert 22 == len(found.database.packages)
    assert found.problems


def test_one_damaged_database_does_not_hide_another(tmp_path):
    first, second = find(tmp_path, {DEFAULT: database("bad-trunc-half"), "srv/luet.db": database()})

    assert first.database is None
    assert 17 == len(second.database.packages)


@pytest.mark.parametrize("content", [b"not a database\n", b"\0" * 70000, b"\x7fELF", database()[:100]])
def test_a_file_that_is_no_database_is_unreadable(tmp_path, content):
    (found,) = find(tmp_path, {DEFAULT: content})

    assert found.database is None
    assert found.problems[0].startswith("unreadable: ")


def test_an_empty_file_is_what_luet_starts_from(tmp_path):
    (found,) = find(tmp_path, {DEFAULT: ""})

    assert found.database is None
    assert ("the file is empty; luet makes a new database of it",) == found.problems


def test_a_database_of_another_program_is_told(tmp_path):
    (found,) = find(tmp_path, {DEFAULT: database("foreign-bolt")})

    assert () == found.database.packages
    assert "a bolt database of another program, not luet's" in found.problems


def test_a_database_that_luet_spoilt_is_told_and_read(tmp_path):
    (found,) = find(tmp_path, {DEFAULT: database("luet-0.20.6-then-0.30.0")})

    assert found.database.packages
    assert any("luet lists nothing, the records are all there" in problem for problem in found.problems)


def test_a_database_beyond_the_bound_is_told(tmp_path):
    limits = evolve(DEFAULT_LIMITS, database_bytes=1000)

    (found,) = find(tmp_path, {DEFAULT: database()}, limits=limits)

    assert found.database is None
    assert "unreadable: expected at most 1000 bytes" in found.problems[0]


def test_a_layer_that_changed_in_between_is_an_error_and_no_finding(tmp_path):
    image = ImageBuilder().layer({DEFAULT: database()}, compression="none").build()
    with open_image(image.write_layout(tmp_path)) as opened:
        rootfs = opened.read_rootfs()  # nothing is kept, so that the database takes a second pass
        (blob,) = (tmp_path / "blobs/sha256").glob(image.layers[0].removeprefix("sha256:"))
        content = bytearray(blob.read_bytes())
        content[-1] ^= 1
        blob.write_bytes(content)

        with pytest.raises(ContentError):
            find_databases(rootfs, opened.config)


# -- luet.yaml -------------------------------------------------------------------------------------------------------


def config_of(tmp_path, layer):
    with open_image(ImageBuilder().layer(layer, parents=False).build().write_layout(tmp_path)) as image:
        return luet_config(image.read_rootfs(READS))


def test_the_configuration_is_read_through_links(tmp_path):
    layer = {"etc": Symlink("usr/etc"), "usr/etc/luet/luet.yaml": File(CONFIG, mode=0o600)}

    assert "/srv/packages" == config_of(tmp_path, layer).database_path


@pytest.mark.parametrize("entry", [Directory(), Symlink("nowhere")])
def test_what_is_no_file_is_no_configuration(tmp_path, entry):
    assert config_of(tmp_path, {"etc/luet/luet.yaml": entry}) is None


def test_a_configuration_that_is_none_is_refused(tmp_path):
    with pytest.raises(FormatError):
        config_of(tmp_path, {"etc/luet/luet.yaml": "system: [\n"})
