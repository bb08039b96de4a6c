"""Errors as values: each survives the way to another process, and nobody changes one that others hold."""

import ast
import copy
import importlib
import inspect
import pickle
import pkgutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cosinspect
from cosinspect.errors import CosinspectError, InvalidLayer
from parsed_modules import nodes_of

for info in pkgutil.walk_packages(cosinspect.__path__, "cosinspect."):
    if not info.name.endswith("__main__"):
        importlib.import_module(info.name)


def descendants(kind):
    return {kind}.union(*(descendants(each) for each in kind.__subclasses__()))


KINDS = sorted(descendants(CosinspectError), key=lambda kind: (kind.__module__, kind.__qualname__))
VALUES = {
    "status": st.integers(100, 599),
    "codes": st.lists(st.text()).map(tuple),
    "mistakes": st.lists(st.text()).map(tuple),
    "limit": st.text(),
    "bound": st.integers() | st.floats(allow_nan=False),
    "kind": st.text(),
    "offset": st.none() | st.integers(),
    "where": st.none() | st.text(),
    "remedy": st.none() | st.text(),
}


@st.composite
def errors(draw, kind):
    parameters = inspect.signature(kind).parameters.values()
    keywords = {each.name: draw(VALUES[each.name]) for each in parameters if each.kind is each.KEYWORD_ONLY}
    return kind(draw(st.text()), **keywords)


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.__name__) for kind in KINDS])
@pytest.mark.parametrize("way", [lambda fault: pickle.loads(pickle.dumps(fault)), copy.copy, copy.deepcopy])
@settings(max_examples=20, deadline=None)
@given(st.data())
def test_every_error_is_the_same_in_another_process(kind, way, data):
    fault = data.draw(errors(kind))
    if isinstance(fault, InvalidLayer):
        fault = fault.in_layer(3, "etc/x")

    again = way(fault)

    assert (type(again), again.args, vars(again), str(again)) == (
        type(fault),
        fault.args,
        vars(fault),
        str(fault),
    )


def test_a_place_is_given_to_a_copy():
    fault = InvalidLayer("a message", where="byte 5", remedy="build it again")

    placed = fault.in_layer(2, None).but(where="layer 2, byte 5")

    assert ("byte 5", None) == (fault.where, fault.layer)
    assert ("layer 2, byte 5", 2, "build it again") == (placed.where, placed.layer, placed.remedy)


@pytest.mark.parametrize(
    "path", sorted(Path(cosinspect.__file__).parent.rglob("*.py")), ids=lambda path: path.stem
)
def test_nobody_changes_an_error_that_was_caught(path):
    caught = {node.name for node in nodes_of(path) if isinstance(node, ast.ExceptHandler)}
    for node in nodes_of(path):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                assert target.value.id not in caught, f"{path}:{node.lineno}"
