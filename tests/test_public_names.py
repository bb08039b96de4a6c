"""What is exported is what is there, sorted, documented and typed."""

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import cosinspect
import cosinspect.errors
import cosinspect.report.report

MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(cosinspect.__path__, "cosinspect.")
    if not info.name.endswith("__main__")
)


@pytest.mark.parametrize("name", ["cosinspect", *MODULES])
def test_all_is_sorted_and_true(name):
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", None)
    if exported is None:
        return
    assert len(set(exported)) == len(exported)
    for item in exported:
        assert hasattr(module, item), f"{name}.{item}"


@pytest.mark.parametrize("name", ["cosinspect", *MODULES])
def test_public_things_are_documented(name):
    module = importlib.import_module(name)
    assert module.__doc__
    for item in getattr(module, "__all__", ()):
        thing = getattr(module, item)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert inspect.getdoc(thing), f"{name}.{item}"


DEFERRED = [
    name
    for name in ("cosinspect", *MODULES)
    if "_MODULES" in vars(importlib.import_module(name))
    and hasattr(importlib.import_module(name), "__path__")
]


@pytest.mark.parametrize("name", DEFERRED)
def test_type_checkers_see_the_public_names_where_they_are(name):
    """A package imports a name at its first use; the imports that only type checkers read say the same."""
    package = importlib.import_module(name)
    read = ast.parse(Path(package.__file__).read_text())
    only = next(node for node in read.body if isinstance(node, ast.If))
    assert ast.unparse(only.test) == "TYPE_CHECKING"
    seen = {alias.name: node.module for node in only.body for alias in node.names}
    assert seen == {item: f"{name}.{module}" for item, module in package._MODULES.items()}
    assert sorted(seen) == sorted(package.__all__)


def test_the_package_has_its_public_names_and_its_modules_and_nothing_else():
    for name in cosinspect.__all__:
        module = importlib.import_module(f"cosinspect.{cosinspect._MODULES[name]}")
        assert getattr(cosinspect, name) is getattr(module, name)
    assert set(cosinspect.__all__) <= set(dir(cosinspect))
    public = {name for name, thing in vars(cosinspect).items() if not inspect.ismodule(thing)}
    assert {name for name in public if not name.startswith("_")} <= {*cosinspect.__all__, "TYPE_CHECKING"}
    assert cosinspect.errors is importlib.import_module("cosinspect.errors")
    for name in ("nothing", "_nothing", "__path_hooks__"):
        with pytest.raises(AttributeError, match=name):
            getattr(cosinspect, name)


def test_every_error_descends_from_one_root_and_is_drawn():
    drawing = cosinspect.errors.__doc__ or ""
    for name in cosinspect.errors.__all__:
        assert issubclass(getattr(cosinspect.errors, name), cosinspect.errors.CosinspectError)
        assert name in drawing


def test_the_package_of_reports_exports_what_plugins_and_programs_import():
    assert set(cosinspect.report.__all__) == set(cosinspect.report.report.__all__)
