"""Image names as containerd reads them: distribution's reference package judges ours (tests/server/references)."""

import json
import random
import re
import subprocess
import tempfile
from pathlib import Path

import pytest

from cosinspect.errors import CosinspectError
from cosinspect.kubernetes_images import ImageFields
from cosinspect.oci.reference import Reference

HOSTS = [
    *(
        "",
        "quay.io/",
        "QUAY.io/",
        "quay.io:443/",
        "quay.io:0443/",
        "quay.io:5000/",
        "localhost/",
        "localhost:5000/",
        "[::1]:5000/",
    ),
    *(
        "docker.io/",
        "index.docker.io/",
        "registry-1.docker.io/",
        "Docker.IO/",
        "a/",
        "A/",
        "a_b/",
        "-a.b/",
        "10.0.0.1/",
    ),
]
PATHS = [
    *(
        "os",
        "org/os",
        "org/sub/os",
        "library/os",
        "org__os",
        "org--os",
        "org..os",
        "Org/os",
        "org/",
        "o.s",
        "a" * 64,
    )
]
TAGS = ["", ":v1", ":V1.2-k3s1", ":", ":-v", ":v1+k3s1", ":" + "t" * 129]
DIGESTS = ["", "", f"@sha256:{'a' * 64}", f"@sha256:{'A' * 64}", "@sha256:abc", "@"]


def names(count):
    draw = random.Random(7)
    every = [f"{h}{p}{t}{d}" for h in HOSTS for p in PATHS for t in TAGS for d in DIGESTS]
    return [*draw.sample(every, min(count, len(every))), "", "/", ":", "a b", "é/os", "a@b/c"]


def judged(asked):
    with tempfile.TemporaryDirectory() as directory:
        source = Path(__file__).parent / "references"
        program = Path(directory) / "references"
        subprocess.run(["go", "build", "-o", program, "."], cwd=source, check=True)
        lines = "".join(json.dumps(name) + "\n" for name in asked)
        found = subprocess.run([program], input=lines, text=True, capture_output=True, check=True).stdout
    return [json.loads(line) for line in found.splitlines()]


def folded(domain):
    """What rules add to the judge's form: one spelling of a host."""
    host = re.sub(r":0*([0-9]+)$", r":\1", domain.lower()).removesuffix(":443")
    return "docker.io" if host in ("index.docker.io", "registry-1.docker.io") else host


@pytest.mark.modules
def test_names_are_what_containerd_makes_of_them():
    asked = names(4000)
    differing = []
    for name, theirs in zip(asked, judged(asked), strict=True):
        try:
            ours = Reference.parse(name).normal
        except CosinspectError:
            # Go's package knows digests of other algorithms; we say which ones we do not.
            if not theirs["error"]:
                differing.append((name, "refused", theirs))
            continue
        if theirs["error"]:
            differing.append((name, str(ours), theirs))
            continue
        path = theirs["path"]
        if folded(theirs["domain"]) == "docker.io" and "/" not in path:
            path = f"library/{path}"
        expected = (folded(theirs["domain"]), path, theirs["tag"] or None, theirs["digest"] or None)
        found = (ours.registry, ours.repository, ours.tag, str(ours.digest) if ours.digest else None)
        if expected != found:
            differing.append((name, found, expected))
    assert [] == differing[:10]


@pytest.mark.modules
def test_a_plan_s_version_is_used_exactly_where_a_name_has_neither_tag_nor_digest():
    """system-upgrade-controller asks IsNameOnly (pkg/upgrade/container/container.go, WithLatestTag)."""
    asked = names(2000)
    for name, theirs in zip(asked, judged(asked), strict=True):
        if theirs["error"] or not name:
            continue
        plan = {"spec": {"upgrade": {"image": name}, "version": "v9+x"}}
        (found,) = ImageFields().find("upgrade.cattle.io", "Plan", plan)
        assert found.name == (f"{name}:v9-x" if theirs["is_name_only"] else name)
