"""The syntax trees of the project's modules, each parsed once for all the rules that read them."""

import ast
from functools import cache


@cache
def tree_of(path):
    """Return the syntax tree of a file; nobody changes it."""
    return ast.parse(path.read_text())


@cache
def nodes_of(path):
    """Return every node of a file, as `ast.walk` orders them."""
    return tuple(ast.walk(tree_of(path)))


def dotted(node):
    """Return the name that an expression is, such as `os.environ`; None for any other expression."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(names)])
