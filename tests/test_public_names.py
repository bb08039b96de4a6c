"""What is exported is what is there, sorted, documented and typed."""

import importlib
import inspect
import pkgutil

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


def test_the_package_exports_exactly_its_public_names():
    public = {
        name
        for name, thing in vars(cosinspect).items()
        if not name.startswith("_") and not inspect.ismodule(thing)
    }
    assert public | {"__version__"} == set(cosinspect.__all__)


def test_every_error_descends_from_one_root_and_is_drawn():
    drawing = cosinspect.errors.__doc__ or ""
    for name in cosinspect.errors.__all__:
        assert issubclass(getattr(cosinspect.errors, name), cosinspect.errors.CosinspectError)
        assert name in drawing


def test_the_package_of_reports_exports_what_plugins_and_programs_import():
    assert set(cosinspect.report.__all__) == set(cosinspect.report.report.__all__)
