"""luet.yaml, and the places of the database that follow from it."""

import pytest
from attrs import evolve

from cosinspect.errors import FormatError
from cosinspect.formats.luet.config import (
    DATABASE_PATHS,
    LuetConfig,
    LuetRepository,
    database_paths,
    parse_config,
    parse_repository,
)
from cosinspect.limits import DEFAULT_LIMITS

DERIVATIVE = """
logging:
  color: false
general:
  debug: false
repositories:
- name: "cos"
  description: "cOS official"
  type: "docker"
  enable: true
  cached: true
  priority: 1
  verify: false
  urls:
  - "registry.example/releases-green"
- {name: other, type: http, arch: arm64, reference: 2022-repository.yaml, urls: [a, b]}
"""


def test_a_derivatives_configuration_leaves_the_system_as_it_is():
    config = parse_config(DERIVATIVE)

    assert LuetConfig() == evolve(config, repositories=())
    assert (config.database_engine, config.database_path, config.rootfs) == ("boltdb", "/var/cache/luet", "/")


def test_repositories_are_in_the_order_of_the_file():
    first, second = parse_config(DERIVATIVE).repositories

    assert first == LuetRepository(
        name="cos",
        type="docker",
        urls=("registry.example/releases-green",),
        enable=True,
        priority=1,
        cached=True,
        description="cOS official",
    )
    assert second == LuetRepository(
        name="other", type="http", urls=("a", "b"), arch="arm64", reference="2022-repository.yaml"
    )


def test_a_repository_of_the_architecture_needs_not_be_enabled():
    enabled, foreign = parse_config(DERIVATIVE).repositories

    assert (enabled.enabled_for("amd64"), foreign.enabled_for("amd64"), foreign.enabled_for("arm64")) == (
        True,
        False,
        True,
    )
    assert not LuetRepository().enabled_for("")


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "{}", "system:\n", "system: {database_path: }\nrepositories:\n"]
)
def test_what_says_nothing_leaves_luets_own_values(text):
    assert LuetConfig() == parse_config(text)


def test_keys_count_in_any_case():
    config = parse_config("System:\n  Database_Path: /db\n  ROOTFS: /mnt\n  database_ENGINE: memory\n")

    assert (config.database_path, config.rootfs, config.database_engine) == ("/db", "/mnt", "memory")


def test_values_are_converted_as_viper_does():
    config = parse_config(
        "repositories:\n  name: 5\n  enable: 'true'\n  priority: '0x10'\n  urls: a,b\n  verify: 1\n"
    )

    assert config.repositories == (
        LuetRepository(name="5", enable=True, priority=16, urls=("a", "b"), verify=True),
    )
    assert config.problems == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("system: 5", "system is not a mapping"),
        ("system: {rootfs: [a]}", "system.rootfs is not a text"),
        ("repositories: 5", "repositories is not a list of mappings"),
        ("repositories: [{name: a}, b]", "repositories[1] is not a mapping"),
        ("repositories: [{enable: maybe}]", "repositories[0].enable is not true or false"),
        ("repositories: [{priority: high}]", "repositories[0].priority is not a number"),
        ("repositories: [{priority: .inf}]", "repositories[0].priority is not a number"),
        ("repositories: [{urls: [[a]]}]", "repositories[0].urls is not a list of texts"),
        ("repositories: [{urls: {a: b}}]", "repositories[0].urls is not a list of texts"),
        ("repos_confdir: {a: b}", "repos_confdir is not a list of texts"),
        ("system: {}\nsystem: {}", "line 2: the key 'system' is repeated, the last one counts"),
    ],
)
def test_what_luet_cannot_read_is_told_and_its_own_value_kept(text, problem):
    config = parse_config(text)

    assert config.problems == (problem,)
    assert LuetConfig() == evolve(config, problems=(), repositories=())


@pytest.mark.parametrize("text", ["- a", "text", "5"])
def test_what_is_no_mapping_is_no_configuration(text):
    with pytest.raises(FormatError) as raised:
        parse_config(text)

    assert raised.value.kind == "structure"


def test_a_file_beyond_the_limit_is_refused():
    with pytest.raises(FormatError) as raised:
        parse_config("a: 1", limits=evolve(DEFAULT_LIMITS, parsed_file_bytes=3))

    assert raised.value.kind == "limit"


def test_a_repository_file_has_one_repository_of_low_priority():
    repository = parse_repository("name: r\ntype: disk\nurls: [/r]\nenable: true\n")

    assert repository == LuetRepository(name="r", type="disk", urls=("/r",), enable=True, priority=9999)


@pytest.mark.parametrize(
    "text", ["", "name: r\ntype: disk", "type: disk\nurls: [/r]", "name: r\nurls: [/r]", "[]"]
)
def test_a_repository_file_that_luet_skips_is_refused(text):
    with pytest.raises(FormatError) as raised:
        parse_repository(text)

    assert raised.value.kind == "structure"


# Where the database is


def test_the_known_places_follow_the_default():
    assert database_paths(LuetConfig(), {}) == DATABASE_PATHS
    assert DATABASE_PATHS == ("/var/cache/luet/luet.db", "/var/luet/db/luet.db", "/var/db/luet/luet.db")


@pytest.mark.parametrize(
    ("rootfs", "directory", "path"),
    [
        ("/", "/var/cache/luet", "/var/cache/luet/luet.db"),
        ("/mnt", "/var/cache/luet", "/mnt/var/cache/luet/luet.db"),
        ("/", "relative/db", "/relative/db/luet.db"),
        (".", "db", "/db/luet.db"),
        ("", "", "/luet.db"),
        ("/", "/", "/luet.db"),
        ("//", "//x//", "/x/luet.db"),
        ("/../..", "/../../etc", "/etc/luet.db"),
        ("/mnt", "../x/./y/..", "/x/luet.db"),
    ],
)
def test_the_configured_place_is_below_the_root_and_comes_first(rootfs, directory, path):
    first, *others = database_paths(LuetConfig(rootfs=rootfs, database_path=directory), {})

    assert path == first
    assert [known for known in DATABASE_PATHS if known != path] == others


def test_the_environment_comes_before_the_file():
    config = LuetConfig(database_path="/file", rootfs="/file-root")
    environment = {"LUET_SYSTEM__DATABASE_PATH": "/env", "LUET_SYSTEM__ROOTFS": "/root", "PATH": "/bin"}

    assert database_paths(config, environment)[0] == "/root/env/luet.db"


def test_an_empty_variable_is_none():
    environment = {
        "LUET_SYSTEM__DATABASE_PATH": "",
        "LUET_SYSTEM__DATABASE_ENGINE": "",
        "LUET_SYSTEM__ROOTFS": "",
    }

    assert database_paths(LuetConfig(database_path="/file"), environment)[0] == "/file/luet.db"


@pytest.mark.parametrize(
    ("engine", "environment"),
    [("memory", {}), ("BoltDB", {}), ("boltdb", {"LUET_SYSTEM__DATABASE_ENGINE": "memory"})],
)
def test_another_engine_has_no_file_but_an_earlier_luet_may_have_had_one(engine, environment):
    config = LuetConfig(database_engine=engine, database_path="/db")

    assert database_paths(config, environment) == DATABASE_PATHS
