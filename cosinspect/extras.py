"""Optional packages: each extra of `pyproject.toml` brings some, and what needs them loads them here."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from cosinspect.errors import MissingPackage

__all__ = ["install_hint", "load_extra", "require_extra"]


def install_hint(extra: str) -> str:
    """Return the command that installs an extra."""
    return f"in a checkout of cosinspect, run pip install '.[{extra}]'"


def load_extra(module: str, extra: str) -> Any:
    """Import a module that needs the packages of an extra.

    Args:
        module: of such a package, or a module of cosinspect that imports one.
        extra: the extra.

    Raises:
        MissingPackage: a package of the extra is not installed.
    """
    try:
        return import_module(module)
    except ImportError as fault:
        package = (fault.name or module).partition(".")[0]
        if package == "cosinspect":  # a mistake of ours, not a package that is missing
            raise
        raise _missing(package, extra) from fault


def require_extra(package: str, extra: str) -> None:
    """Raise an error before the work begins if a package is missing.

    Args:
        package: the name that is imported.
        extra: the extra that brings it.

    Raises:
        MissingPackage: it is not installed.
    """
    if find_spec(package) is None:
        raise _missing(package, extra)


def _missing(package: str, extra: str) -> MissingPackage:
    return MissingPackage(
        f"expected the Python package {package}, it is not installed", remedy=install_hint(extra)
    )
