"""Objects that are large on purpose: what is read of them is what counts, in little time."""

import json
import random
import time

import msgspec
import pytest

from cosinspect.errors import InvalidObject
from cosinspect.kubernetes_images import BUILTIN, ImageField, ImageFields
from cosinspect.server import objects
from cosinspect.server.objects import read_object

PLAN = ("upgrade.cattle.io", "Plan")


def read(document, group, kind, fields=None):
    return read_object(msgspec.Raw(json.dumps(document).encode()), group, kind, fields or ImageFields())


def random_object(draw, paths):
    """An object that has some of the paths, with values that are names, nothing, or nonsense, among other things."""
    found = {"spec": {"junk": [{}] * draw.randint(0, 3)}, "metadata": {"labels": {"a": "b"}}}
    for path in paths:
        if draw.random() < 0.4:
            continue
        node, steps = found, path.split(".")
        for number, step in enumerate(steps):
            key, many, _ = step.partition("[*]")
            if number == len(steps) - 1:
                node[key] = draw.choice(["a.example/b:c", "a/b", "", None, 5, "x@sha256:0"])
            elif many:
                node = node.setdefault(key, [{"name": "a"}, {}])[draw.randint(0, 1)]
            else:
                node = node.setdefault(key, {})
    return found


def test_what_is_read_of_a_large_object_names_the_same_images(monkeypatch):
    draw = random.Random(5)
    fields = ImageFields()
    for each in BUILTIN * 20:
        body = random_object(draw, fields.reads(each.group, each.kind))
        found = []
        for small in (1 << 20, 0):
            monkeypatch.setattr(objects, "SMALL", small)
            try:
                found.append(fields.find(each.group, each.kind, read(body, each.group, each.kind)))
            except InvalidObject as fault:
                found.append(str(fault))
        assert found[0] == found[1], (each.kind, body)


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        (PLAN, {"upgrade": {"image": "a.example/b:c"}, "junk": [{}] * 2_000_000}),
        (PLAN, {"upgrade": {"image": [{}] * 2_000_000}}),
        (PLAN, [{}] * 2_000_000),
        (("", "Pod"), {"containers": [{}] * 2_000_000}),
        (("example.org", "Machine"), {"junk": [{}] * 2_000_000}),
    ],
)
def test_a_hostile_object_costs_next_to_nothing(kind, spec):
    raw = msgspec.Raw(msgspec.json.encode({"metadata": {"name": "a"}, "spec": spec}))
    fields = ImageFields([ImageField("example.org", "Machine", "$.spec.image")])
    started = time.process_time()
    try:
        found = [each.name for each in fields.find(*kind, read_object(raw, *kind, fields))]
    except InvalidObject as fault:
        found = [fault.message.partition(" ")[0]]
    assert found in (["a.example/b:c"], ["expected"])
    assert time.process_time() - started < 0.5
