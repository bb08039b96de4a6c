"""Names of a package that are imported at their first use (PEP 562).

A package lists them twice: as imports that only type checkers read, and as a table for `deferred_names`.
`tests/test_public_names.py` holds both to each other.
"""

from __future__ import annotations

from importlib import import_module

# Type checkers and editors take this name for true; `typing` itself is not imported for it.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["deferred_names"]


def deferred_names(package: str, modules: Mapping[str, str]) -> Callable[[str], object]:
    """Return the `__getattr__` of a package.

    Args:
        package: its full name.
        modules: the module of each name, relative to the package. Every other name means a module of the package.
    """

    def find(name: str) -> object:
        if name in modules:
            return getattr(import_module(f"{package}.{modules[name]}"), name)
        if not name.startswith("_"):
            try:
                return import_module(f"{package}.{name}")
            except ModuleNotFoundError as fault:
                if fault.name != f"{package}.{name}":
                    raise
        raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name)

    return find
