"""Whatever a cloud-config holds, every version of yip's reading ends, in bounded time, with stages or a reason."""

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosinspect.formats.yip.document import read_document
from cosinspect.formats.yip.go_yaml import Budget
from cosinspect.formats.yip.schema import DOCUMENT, yip
from yip_documents import document

VERSIONS = ["0.9.2", "0.10", "v0.0.0-20220321143540-2617d71ea02a", "0.11.5", "1.0", "1.9.3", "rancher-1.4.10"]
VERSIONS += ["rancher-1.9.6", "1.10", "1.15", "1.17", "1.21", "1.22", "1.25", "7.0"]
SIGNS = st.sampled_from(
    [
        *"{}[]:,&*!|>'\"%@`#?- \n\t\r\0",
        "stages:",
        "boot:",
        "- ",
        "#cloud-config\n",
        "<<",
        "&a ",
        "*a",
        "!!int ",
        "---\n",
        "...\n",
    ]
)
TEXTS = st.one_of(
    st.binary(max_size=200), st.lists(SIGNS, max_size=40).map(lambda signs: "".join(signs).encode())
)


def is_sound(text, version):
    found = read_document(text, yip(version))
    assert (found.value is None) == bool(found.refusals or found.bound)
    if found.value is not None:
        stages = found.value.get("stages") or {}
        assert all(isinstance(step, dict) for steps in stages.values() for step in steps or ())


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.sampled_from(VERSIONS))
def test_arbitrary_bytes_end_in_stages_or_a_reason(text, version):
    is_sound(text, version)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**9), st.sampled_from(VERSIONS))
def test_documents_that_are_nearly_right_end_in_stages_or_a_reason(seed, version):
    is_sound(document(seed), version)


def laughs(levels, key):
    lines = ["x: &a0 [" + ", ".join(["b"] * 10) + "]"]
    lines += [
        f"y{level}: &a{level} [" + ", ".join([f"*a{level - 1}"] * 10) + "]" for level in range(1, levels)
    ]
    return "\n".join([*lines, f"{key} *a{levels - 1}"]).encode()


HOSTILE = {
    "deep": b"stages: " + b"[" * 50_000,
    "aliases": laughs(9, "name:"),
    "aliases in a list": b"l: &l ["
    + b"a, " * 2000
    + b"]\nstages: {boot: ["
    + b"{commands: *l}, " * 2000
    + b"]}",
    "merges": b"a0: &a0 {b: c}\n"
    + b"".join(b"a%d: &a%d {<<: *a%d}\n" % (n, n, n - 1) for n in range(1, 5000))
    + b"<<: *a4999\n",
    "keys": b"stages: {boot: [{" + b",".join(b"k%d: 1" % n for n in range(50_000)) + b"}]}",
    "repeated keys": b"stages: {boot: [{" + b"name: a, " * 30_000 + b"}]}",
    "tags": b"stages: {boot: [{commands: [" + b"! a, " * 30_000 + b"]}]}",
    "itself": b"stages: &s {boot: [{name: x, after: [{name: y}]}], *s : *s}",
    "long number": b"stages: {boot: [{files: [{permissions: " + b"9" * 500_000 + b"}]}]}",
    "users": b"#cloud-config\nusers: [" + b"{name: a}, " * 20_000 + b"]",
}


@pytest.mark.parametrize("version", ["0.10", "1.9", "rancher-1.9.6", "1.25"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_documents_take_no_time(name, version):
    start = time.process_time()
    read_document(HOSTILE[name], yip(version))
    assert time.process_time() - start < 20


def test_the_values_of_many_documents_are_bounded_together():
    budget = Budget(50_000)
    text = b"stages: {boot: [{commands: [" + b"a, " * 20_000 + b"]}]}"
    bounds = [read_document(text, yip("1.9"), budget=budget).bound for _ in range(3)]
    assert ["", ""] == bounds[:2]
    assert "expected at most" in bounds[2]


@pytest.mark.parametrize("version", ["", "x", "1", "latest", "rancher-", "v"])
def test_what_is_no_version_is_refused(version):
    with pytest.raises(ValueError, match="a version of yip"):
        yip(version)


def test_a_version_has_the_fields_of_those_before_it():
    known = [
        yip(version).type(DOCUMENT).fields["stages"].of.of.fields.keys()
        for version in ("0.10", "1.0", "1.15", "1.25")
    ]
    assert all(older < newer for older, newer in pairwise(known))
    assert "modules" not in yip("rancher-1.9.6").type(DOCUMENT).fields["stages"].of.of.fields
