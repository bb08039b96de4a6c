"""The policy for Kyverno in docs/attestation.md: which Plans its first rule denies, by the expression that is printed."""

import re
from pathlib import Path

import pytest
import yaml

PAGE = (Path(__file__).parents[2] / "docs/attestation.md").read_text()


def policy():
    block = re.search(r"```yaml\n(.*?)```", PAGE[PAGE.index("## Enforced by Kyverno") :], re.DOTALL)
    return yaml.safe_load(block[1])


@pytest.mark.parametrize(
    ("image", "denied"),
    [
        ("quay.io/org/os", True),
        ("quay.io:5000/org/os", True),
        ("os", True),
        ("quay.io/org/os:v1", False),
        ("quay.io:5000/org/os:v1", False),
        ("os:v1", False),
        ("quay.io/org/os@sha256:" + "0" * 64, False),
        ("quay.io/org/os:v1@sha256:" + "0" * 64, False),
    ],
)
def test_a_plan_without_a_tag_of_its_own_is_denied(image, denied):
    conditions = policy()["spec"]["rules"][0]["validate"]["deny"]["conditions"]["any"]
    for condition in conditions:
        expression = re.search(r"regex_match\('(.*?)'", condition["key"])[1]
        assert bool(re.search(expression, image)) is denied


def test_nothing_is_rewritten():
    (images,) = policy()["spec"]["rules"][1]["verifyImages"]
    assert (images["mutateDigest"], images["verifyDigest"], images["required"]) == (False, False, True)
