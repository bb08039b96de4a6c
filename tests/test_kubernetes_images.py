"""Where objects name images: the kinds that are known, pointers that lead back, and whatever else an object may hold."""

import json
import time

import jsonpath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosinspect.errors import InvalidObject
from cosinspect.kubernetes_images import BUILTIN, ImageField, ImageFields, path_of

POD = {
    "initContainers": [{"image": "first"}],
    "containers": [{"image": "a"}, {"name": "without"}, {"image": "b"}],
    "ephemeralContainers": [{"image": "c"}],
    "volumes": [{"image": {"reference": "d"}}, {"emptyDir": {}}],
}
OBJECTS = {
    ("", "Pod"): {"spec": POD},
    ("", "PodTemplate"): {"template": {"spec": POD}},
    **{
        (group, kind): {"spec": {"template": {"spec": POD}}}
        for group, kind in (
            ("", "ReplicationController"),
            ("apps", "Deployment"),
            ("apps", "ReplicaSet"),
            ("apps", "StatefulSet"),
            ("apps", "DaemonSet"),
            ("batch", "Job"),
        )
    },
    ("batch", "CronJob"): {"spec": {"jobTemplate": {"spec": {"template": {"spec": POD}}}}},
}


ELEMENTAL = (
    "ManagedOSImage",
    "ManagedOSVersion",
    "ManagedOSVersionChannel",
    "SeedImage",
    "MachineRegistration",
)


def pinnable(found):
    """Whether a digest can be written in its place."""
    return not found.unpinnable and "@" not in found.written


def test_every_kind_that_is_known_is_tried_here():
    others = {
        ("upgrade.cattle.io", "Plan"),
        ("operator.kairos.io", "NodeOp"),
        ("operator.kairos.io", "NodeOpUpgrade"),
        ("build.kairos.io", "OSArtifact"),
        *(("elemental.cattle.io", kind) for kind in ELEMENTAL),
    }
    assert {(each.group, each.kind) for each in BUILTIN} == OBJECTS.keys() | others


@pytest.mark.parametrize("kind", OBJECTS)
def test_every_container_of_a_workload_counts(kind):
    found = ImageFields().find(*kind, OBJECTS[kind])

    assert sorted(each.name for each in found) == ["a", "b", "c", "d", "first"]
    for each in found:
        assert jsonpath.JSONPointer(each.pointer).resolve(OBJECTS[kind]) == each.name


def found_in(group, kind, spec):
    """What stands in each object: the name, or the name and why it is not complete or not looked at."""
    named = ImageFields().find(group, kind, {"spec": spec})
    return [
        each.name
        if not (each.unresolved or each.ignored)
        else (each.name, "unresolved" if each.unresolved else "ignored")
        for each in named
    ]


OWN = "quay.io/org/upgrader"
# What controllers/managedosimage_controller.go of elemental-operator makes of each.
OPERATOR = [
    ("ManagedOSImage", {"osImage": "quay.io/org/os:v1"}, ["quay.io/org/os:v1"]),
    ("ManagedOSImage", {"managedOSVersionName": "v1"}, []),
    ("ManagedOSImage", {"osImage": "quay.io/org/os:v1", "upgradeContainer": {"image": f"{OWN}:v9"}}, [f"{OWN}:v9"]),
    ("ManagedOSImage", {"osImage": "quay.io/org/os:v1", "upgradeContainer": {"image": OWN}}, [f"{OWN}:v1"]),
    ("ManagedOSImage", {"osImage": "r:5000/org/os:v1", "upgradeContainer": {"image": OWN}}, [f"{OWN}:v1"]),
    ("ManagedOSImage", {"osImage": "quay.io/org/os", "upgradeContainer": {"image": OWN}}, [f"{OWN}:latest"]),
    ("ManagedOSImage", {"managedOSVersionName": "a", "upgradeContainer": {"image": OWN}}, [(OWN, "unresolved")]),
    ("ManagedOSImage", {"osImage": "quay.io/org/os:v1", "prepare": {"image": OWN}}, ["quay.io/org/os:v1", f"{OWN}:v1"]),
    ("ManagedOSVersion", {"type": "container", "metadata": {"upgradeImage": "quay.io/org/os:v1"}}, ["quay.io/org/os:v1"]),
    ("ManagedOSVersion", {"type": "iso", "metadata": {"uri": "quay.io/org/iso:v1"}}, [("quay.io/org/iso:v1", "ignored")]),
    ("ManagedOSVersionChannel", {"type": "custom", "options": {"image": OWN}}, [(OWN, "ignored")]),
    ("ManagedOSVersionChannel", {"type": "json", "options": {"uri": "https://example.org/versions"}}, []),
    ("ManagedOSVersionChannel", {"upgradeContainer": {"image": f"{OWN}:v9"}}, [f"{OWN}:v9"]),
    ("ManagedOSVersionChannel", {"upgradeContainer": {"image": OWN}}, [(OWN, "unresolved")]),
    ("SeedImage", {"baseImage": "https://example.org/os.iso"}, [("https://example.org/os.iso", "ignored")]),
    ("SeedImage", {"type": "iso", "baseImage": "quay.io/org/iso:v1"}, [("quay.io/org/iso:v1", "ignored")]),
    ("SeedImage", {"type": "raw", "baseImage": "quay.io/org/os:v1"}, ["quay.io/org/os:v1"]),
    (
        "MachineRegistration",
        {"config": {"elemental": {"install": {"system-uri": "oci:quay.io/org/os:v1"}}}},
        ["quay.io/org/os:v1"],
    ),
    ("MachineRegistration", {"config": {"elemental": {"install": {"system-uri": "dir:/"}}}}, []),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "spec", "names"), OPERATOR)
def test_elemental_s_kinds(kind, spec, names):
    assert names == found_in("elemental.cattle.io", kind, spec)


@pytest.mark.parametrize("kind", ["NodeOp", "NodeOpUpgrade"])
def test_kairos_operator_s_kinds(kind):
    assert ["quay.io/kairos/os:v1"] == found_in("operator.kairos.io", kind, {"image": "quay.io/kairos/os:v1"})


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ({"image": {"ref": "quay.io/kairos/os:v1"}, "artifacts": {"iso": True}}, ["quay.io/kairos/os:v1"]),
        ({"imageName": "quay.io/kairos/os:v1", "iso": True}, ["quay.io/kairos/os:v1"]),
        ({"image": {"buildOptions": {"version": "v1", "baseImage": "ubuntu:24.04"}}}, []),
    ],
)
def test_kairos_builds(spec, names):
    assert names == found_in("build.kairos.io", "OSArtifact", spec)


# What pkg/upgrade/container/container.go of system-upgrade-controller makes of each: a name's own tag or digest stays.
DIGEST = f"sha256:{'a' * 64}"
PLANS = [
    ({"upgrade": {"image": "quay.io/org/os"}, "version": "v2"}, ["quay.io/org/os:v2"]),
    ({"upgrade": {"image": "quay.io/org/os"}, "version": "v1.2+k3s1"}, ["quay.io/org/os:v1.2-k3s1"]),
    ({"upgrade": {"image": "quay.io/org/os:evil"}, "version": "good"}, ["quay.io/org/os:evil"]),
    ({"upgrade": {"image": f"quay.io/org/os@{DIGEST}"}, "version": "v2"}, [f"quay.io/org/os@{DIGEST}"]),
    (
        {"upgrade": {"image": "registry.example:5000/org/os"}, "version": "v2"},
        ["registry.example:5000/org/os:v2"],
    ),
    (
        {"upgrade": {"image": "quay.io/org/os"}, "version": "v2", "channel": "https://c"},
        ["quay.io/org/os:v2"],
    ),
    ({"upgrade": {"image": "quay.io/org/os"}, "channel": "https://c"}, [("quay.io/org/os", "unresolved")]),
    ({"upgrade": {"image": "quay.io/org/os:v1"}, "channel": "https://c"}, ["quay.io/org/os:v1"]),
    ({"upgrade": {"image": "quay.io/org/os"}}, [("quay.io/org/os", "unresolved")]),
    (
        {"upgrade": {"image": "quay.io/org/os"}, "prepare": {"image": "quay.io/org/pre"}, "version": "v2"},
        ["quay.io/org/os:v2", "quay.io/org/pre:v2"],
    ),
]


@pytest.mark.parametrize(("spec", "names"), PLANS)
def test_a_plan_is_what_its_controller_runs(spec, names):
    assert names == found_in("upgrade.cattle.io", "Plan", spec)


def test_a_digest_can_be_written_into_a_plan_and_not_into_what_the_operator_splits():
    plan = {"spec": {"upgrade": {"image": "quay.io/org/os"}, "version": "v2"}}
    (found,) = ImageFields().find("upgrade.cattle.io", "Plan", plan)
    assert (pinnable(found), found.written) == (True, "quay.io/org/os")

    (found,) = ImageFields().find("elemental.cattle.io", "ManagedOSImage", {"spec": {"osImage": "a.b/os:v1"}})
    assert not pinnable(found)


def test_a_list_without_end_is_refused_at_once():
    body = {"spec": {"containers": [{}] * 1_000_000}}
    began = time.process_time()
    with pytest.raises(InvalidObject, match="10000 items"):
        ImageFields().find("", "Pod", body)
    assert time.process_time() - began < 0.5

    fields = ImageFields([ImageField("", "Thing", "$..image")])
    with pytest.raises(InvalidObject, match="200000 values"):
        fields.find("", "Thing", body)


def test_what_the_user_tells_of_a_kind_goes_before_what_is_known():
    fields = ImageFields([ImageField("", "Pod", "$.metadata.annotations.os")])

    found = fields.find("", "Pod", {"spec": POD, "metadata": {"annotations": {"os": "other"}}})

    assert [each.name for each in found] == ["other"]


@pytest.mark.parametrize("text", ["", "spec", "$.a[", "$.a | $.b", "$..[?@.a == ", "/spec/image"])
def test_what_is_no_path_is_a_value_error(text):
    with pytest.raises(ValueError, match="expected"):
        path_of(text)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["spec", "template", "containers", "image", "volumes", "upgrade", "version", "osImage"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=30,
)


@given(body=values, kind=st.sampled_from(sorted({(each.group, each.kind) for each in BUILTIN})))
def test_whatever_an_object_is_images_are_text_where_the_pointer_says(body, kind):
    try:
        found = ImageFields().find(*kind, body)
    except InvalidObject:
        return
    for each in found:
        assert isinstance(each.name, str)
        if pinnable(each):
            assert jsonpath.JSONPointer(each.pointer).resolve(json.loads(json.dumps(body))) == each.written
