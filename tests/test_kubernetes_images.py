"""Where objects name images: the kinds that are known, pointers that lead back, and whatever else an object may hold."""

import json

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


def test_every_kind_that_is_known_is_tried_here():
    others = {("upgrade.cattle.io", "Plan")} | {
        ("elemental.cattle.io", kind) for kind in ("ManagedOSImage", "ManagedOSVersion", "SeedImage")
    }
    assert {(each.group, each.kind) for each in BUILTIN} == OBJECTS.keys() | others


@pytest.mark.parametrize("kind", OBJECTS)
def test_every_container_of_a_workload_counts(kind):
    found = ImageFields().find(*kind, OBJECTS[kind])

    assert sorted(each.name for each in found) == ["a", "b", "c", "d", "first"]
    for each in found:
        assert jsonpath.JSONPointer(each.pointer).resolve(OBJECTS[kind]) == each.name


@pytest.mark.parametrize(
    ("kind", "spec", "name"),
    [
        ("ManagedOSImage", {"osImage": "quay.io/org/os:v1"}, "quay.io/org/os:v1"),
        ("ManagedOSImage", {"managedOSVersionName": "v1"}, None),
        ("ManagedOSVersion", {"metadata": {"upgradeImage": "quay.io/org/os:v1"}}, "quay.io/org/os:v1"),
        ("SeedImage", {"baseImage": "quay.io/org/iso:v1"}, "quay.io/org/iso:v1"),
    ],
)
def test_elemental_s_kinds(kind, spec, name):
    found = ImageFields().find("elemental.cattle.io", kind, {"spec": spec})

    assert [each.name for each in found] == ([name] if name else [])


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("quay.io/org/os", "quay.io/org/os:v2"),
        ("quay.io/org/os:v1", "quay.io/org/os:v2"),
        ("registry.example:5000/org/os", "registry.example:5000/org/os:v2"),
    ],
)
def test_a_plan_s_version_is_the_tag(image, name):
    plan = {"spec": {"upgrade": {"image": image}, "version": "v2"}}

    (found,) = ImageFields().find("upgrade.cattle.io", "Plan", plan)

    assert (found.name, found.pinnable) == (name, False)


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
        if each.pinnable:
            assert jsonpath.JSONPointer(each.pointer).resolve(json.loads(json.dumps(body))) == each.name
