"""Odd layers, each unpacked by the code that nodes, elemental and Elemental 3 run: the trees are ours."""

import pytest
from test_readers import ELEMENTAL3, a_node_agrees, elemental_agrees

from odd_layers import ODD_LAYERS

pytestmark = pytest.mark.modules
each = pytest.mark.parametrize("name", ODD_LAYERS)


@each
def test_elemental_writes_the_same_tree(name):
    elemental_agrees(ODD_LAYERS[name])


@each
def test_elemental_3_writes_the_same_tree(name):
    elemental_agrees(ODD_LAYERS[name], ELEMENTAL3)


@each
def test_a_node_shows_the_same_tree(name):
    a_node_agrees(ODD_LAYERS[name])
