"""The recipes of CONTRIBUTING.md: each step that is missing is a sentence that names the file to change."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from catalogue import PAGE as CHECKS_PAGE
from cosinspect.checks import CATALOGUE
from cosinspect.checks.base import Check
from cosinspect.compression.codecs import Compression, detect
from cosinspect.oci.reference import FORMS, Transport
from cosinspect.profiles.fingerprints import fingerprints
from cosinspect.profiles.operations import operations
from cosinspect.profiles.tables import generation_tables
from cosinspect.render import RENDERERS
from cosinspect.testing.derivative import BREAKAGES, DEGRADATIONS
from sources.test_source_contract import PLACES

ROOT = Path(__file__).parents[1]
PACKAGE, TESTS = ROOT / "cosinspect", ROOT / "tests"
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
README = (ROOT / "README.md").read_text()


def modules(folder):
    return sorted(path for path in (PACKAGE / folder).rglob("*.py") if path.name != "__init__.py")


def name_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def named_in(path):
    """Modules, and names in modules, that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)


def reached(starts, paths):
    """Those of the modules that the starting files import, directly or through each other."""
    known = {name_of(path): path for path in paths}
    found, waiting = set(), list(starts)
    while waiting:
        new = {name for name in named_in(waiting.pop()) if name in known} - found
        found |= new
        waiting += (known[name] for name in new)
    return found


def test_every_file_that_the_recipes_name_exists():
    for name in re.findall(r"`((?:cosinspect|tests|docs)/[\w./]+)`", PAGE):
        if "NAME" not in name:
            assert (ROOT / name).exists(), f"CONTRIBUTING.md names {name}, which does not exist"


@pytest.mark.parametrize("path", modules("checks"), ids=lambda path: path.stem)
def test_a_check_is_in_the_catalogue(path):
    known = {item.id for item in CATALOGUE}
    for item in vars(importlib.import_module(name_of(path))).values():
        if isinstance(item, Check):
            assert item.id in known, (
                f"{path.name} defines {item.id} {item.name}, which is not in CATALOGUE: add it in cosinspect/checks/__init__.py"
            )


def test_a_check_has_an_id_of_its_own():
    ids = [item.id for item in CATALOGUE]
    assert len(ids) == len(set(ids)), "two checks of CATALOGUE have the same id"


@pytest.mark.parametrize("item", CATALOGUE, ids=lambda item: item.id)
def test_a_check_has_a_breakage_and_a_section(item):
    broken = {check for each in (*BREAKAGES.values(), *DEGRADATIONS.values()) for check in each.checks}
    elsewhere = re.search(
        rf"\b{item.id}\b",
        "".join(path.read_text() for path in TESTS.rglob("test_*.py") if path.name != Path(__file__).name),
    )
    assert item.id in broken or elsewhere, (
        f"nothing makes {item.id} fail: add a breakage in cosinspect/testing/derivative, or a test that names it"
    )
    assert f"## {item.id} {item.name}" in CHECKS_PAGE.read_text(), (
        f"docs/checks.md has no section on {item.id}: run python -m tests.generated"
    )


@pytest.mark.parametrize("path", modules("formats"), ids=lambda path: path.stem)
def test_a_format_is_fuzzed_and_tried_with_arbitrary_bytes(path):
    paths = modules("formats")
    fuzzed = reached([TESTS / "fuzz" / "targets.py"], paths)
    tried = reached((TESTS / "property").glob("*.py"), paths)
    assert name_of(path) in fuzzed, f"no target of tests/fuzz/targets.py reads {path.name}"
    assert name_of(path) in tried, f"no property test in tests/property reads {path.name}"


def renderers():
    for path in modules("render"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and any(
                isinstance(each, ast.FunctionDef)
                and each.name == "render"
                and "report" in [argument.arg for argument in each.args.args]
                for each in node.body
            ):
                yield path, node.name


def test_an_output_is_in_renderers():
    """The text of `render/__init__.py`, because some renderers are imported at their first use."""
    text = (PACKAGE / "render" / "__init__.py").read_text()
    for path, name in renderers():
        assert re.search(rf"\b{name}\b", text), (
            f"{path.name} has {name}, which is not in RENDERERS of cosinspect/render/__init__.py"
        )


@pytest.mark.parametrize("name", RENDERERS)
def test_an_output_has_a_row_and_tests(name):
    assert f"| `{name}` |" in (ROOT / "docs" / "reports.md").read_text(), (
        f"docs/reports.md has no row on the format {name}"
    )
    assert (TESTS / "render" / f"test_{name}.py").exists(), f"there is no tests/render/test_{name}.py"


def places(path):
    """Classes of a module that have the methods of a source."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            methods = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
            if methods >= {"resolve", "open", "open_range", "close"}:
                yield node.name


def test_a_source_is_opened_by_its_transport():
    opening = (PACKAGE / "image" / "opening.py").read_text()
    # Sources of registries are opened by a module of their own, which is imported at its first use.
    opening += (PACKAGE / "sources" / "registry" / "endpoints.py").read_text()
    for path in modules("sources"):
        for name in places(path):
            assert re.search(rf"\b{name}\b", opening), (
                f"{path.name} has the source {name}, which cosinspect/image/opening.py does not use"
            )


@pytest.mark.parametrize("transport", Transport, ids=lambda each: each.value)
def test_a_transport_is_named_where_users_look(transport):
    assert transport in FORMS, (
        f"FORMS of cosinspect/oci/reference.py has no form of the transport {transport.value}"
    )
    form = "quay.io/" if transport is Transport.DOCKER else f"{transport.value}:"
    assert form in README, f"the README does not name the transport {transport.value}"
    assert transport in {each for each, _ in PLACES.values()}, (
        f"PLACES of tests/sources/test_source_contract.py has no source of the transport {transport.value}"
    )


UNREAD = {Compression.LZO}
"""Recognised, and refused by name: no wheel reads it."""


@pytest.mark.parametrize("kind", Compression, ids=lambda kind: kind.value)
def test_a_compression_has_a_sample(kind):
    samples = (TESTS / "compression" / "test_codecs.py").read_text()
    listed = re.search(r"^MEMBERS = \{(.*?)^\}", samples, re.DOTALL | re.MULTILINE)[1]
    assert kind in UNREAD or f"Compression.{kind.name}:" in listed, (
        f"MEMBERS of tests/compression/test_codecs.py has no sample of {kind.value}"
    )


def test_a_compression_is_detected():
    source = (PACKAGE / "compression" / "codecs.py").read_text()
    body = source[source.index("def detect(") : source.index("class _Codec")]
    for kind in Compression:
        assert f"Compression.{kind.name}" in body, (
            f"detect in cosinspect/compression/codecs.py does not know {kind.value}"
        )
    assert detect(b"\0" * 6) is None


@pytest.mark.parametrize("name", generation_tables())
def test_a_generation_has_fingerprint_rows_and_a_line(name):
    table = generation_tables()[name]
    assert name in repr(fingerprints()), f"{name} has no fingerprint in cosinspect/profiles/fingerprints.toml"
    rows = any({name, *table.operations} & set(need.generations) for need in operations())
    assert rows or table.carries, f"{name} has no rows in cosinspect/profiles/operations.toml"
    assert f"`{name}`" in (ROOT / "docs" / "generations.md").read_text(), (
        f"docs/generations.md has no row on {name}"
    )
