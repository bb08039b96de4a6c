"""The configuration: every mistake at once with its place, and nothing admitted that does not say so in full words."""

import pytest

from cosinspect.errors import InvalidConfiguration
from cosinspect.oci.reference import Reference
from cosinspect.server.configuration import Mode, Otherwise, parse_configuration

BASE = "[listen]\nplain_http = true\n"


def parsed(text, tmp_path):
    return parse_configuration(text, directory=tmp_path)


def test_the_least_there_can_be_denies_all_doubt(tmp_path):
    found = parsed(f"{BASE}[[rules]]\n", tmp_path)

    doubt = found.admission
    assert {doubt.pending, doubt.undecided, doubt.unmatched, doubt.unlisted} == {Otherwise.DENY}
    assert found.rules[0].mode is Mode.ENFORCE
    assert found.notifications is found.harbor is None


def test_every_mistake_is_told_with_its_line(tmp_path):
    text = """[listen]
adress = "127.0.0.1:0"
[inspections]
workers = 0
platform = "x"
[[rules]]
registry = ["quay.io"]
[[rules]]
mode = "enforced"
registries = []
[[kinds]]
kind = "X"
images = ["$.a["]
[admission]
pending = "yes"
[harbor]
token_file = "nowhere"
"""
    with pytest.raises(InvalidConfiguration) as caught:
        parsed(text, tmp_path)

    told = [each.partition(":")[0] for each in caught.value.mistakes]
    assert told == [
        "line 2, listen.adress",
        "line 4, inspections.workers",
        "line 5, inspections.platform",
        "line 7, rules[0].registry",
        "line 9, rules[1].mode",
        "line 13, kinds[0].images",
        "line 15, admission.pending",
        "line 17, harbor.token_file",
    ]


@pytest.mark.parametrize(
    ("rule", "name", "namespace", "fits"),
    [
        ("", "quay.io/org/os:v1", "any", True),
        ('registries = ["quay.io"]', "quay.io/org/os:v1", "", True),
        ('registries = ["quay.io"]', "docker.io/org/os:v1", "", False),
        ('registries = ["docker.io"]', "alpine", "", True),
        ('registries = ["index.docker.io"]', "alpine", "", True),
        ('registries = ["quay.io:0443"]', "QUAY.IO/org/os:v1", "", True),
        ('registries = ["*.io:443"]', "quay.io:0443/org/os:v1", "", True),
        ('registries = ["[0::1]:5000"]', "[::1]:5000/org/os:v1", "", True),
        ('registries = ["[::1]:5000"]', "[::2]:5000/org/os:v1", "", False),
        ('registries = ["quay"]', "quay/os:v1", "", False),
        ('repositories = ["org/*"]', "quay.io/org/deep/os:v1", "", True),
        ('repositories = ["org/*"]', "quay.io/other/os:v1", "", False),
        ('repositories = ["ORG/*"]', "quay.io/org/os:v1", "", False),
        ('namespaces = ["fleet-*"]', "quay.io/org/os:v1", "fleet-one", True),
        ('namespaces = ["fleet-*"]', "quay.io/org/os:v1", "default", False),
        ('namespaces = ["fleet-*"]', "quay.io/org/os:v1", "", False),
    ],
)
def test_which_images_a_rule_speaks_of(tmp_path, rule, name, namespace, fits):
    found = parsed(f"{BASE}[[rules]]\n{rule}\n", tmp_path)

    assert (found.rule(Reference.parse(name), namespace) is not None) is fits


def test_paths_are_relative_to_the_configuration(tmp_path):
    for name in ("fleet.toml", "cosign.pub", "mine.toml"):
        (tmp_path / name).touch()
    text = (
        BASE + '[[rules]]\nprofile = "mine.toml"\npolicies = ["fleet.toml"]\nverify_keys = ["cosign.pub"]\n'
    )

    (rule,) = parsed(text, tmp_path).rules

    assert rule.profile == str(tmp_path / "mine.toml")
    assert rule.policies == (str(tmp_path / "fleet.toml"),)
    assert rule.verify_keys == (str(tmp_path / "cosign.pub"),)
