"""Fixtures for pytest: images by name, and a registry. A `conftest.py` asks for them: `pytest_plugins = ["cosinspect.testing.pytest"]`.

They are no entry point `pytest11`: pytest would import them in every run of an environment, also where nothing is inspected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TypeAlias

import pytest

from cosinspect.testing.built_images import Built, BuiltImage
from cosinspect.testing.derivative import derivative
from cosinspect.testing.entries import Entry
from cosinspect.testing.images import ImageBuilder
from cosinspect.testing.registry.server import Registry

__all__ = ["MakeDerivative", "PushImage", "cosinspect_derivative", "cosinspect_image", "cosinspect_registry"]

MakeDerivative: TypeAlias = "Callable[..., BuiltImage]"
"""The type of the fixture `cosinspect_derivative`: called as `cosinspect.testing.derivative.derivative`."""
PushImage: TypeAlias = "Callable[[Built | Mapping[str, Entry]], str]"
"""The type of the fixture `cosinspect_image`."""


@pytest.fixture
def cosinspect_registry() -> Iterator[Registry]:
    """Serve a registry on a free port of localhost while the test runs."""
    with Registry() as registry:
        yield registry


@pytest.fixture
def cosinspect_image(cosinspect_registry: Registry) -> PushImage:
    """Return a function that pushes an image, or one layer of entries, and returns the image's name."""

    def push(image: Built | Mapping[str, Entry]) -> str:
        built = ImageBuilder().layer(image).build() if isinstance(image, Mapping) else image
        return cosinspect_registry.push(built, "test/image")

    return push


@pytest.fixture(scope="session")
def cosinspect_derivative() -> MakeDerivative:
    """Return the function `derivative`; a derivative of the same arguments is built once in a run."""
    build = cache(derivative)

    def make(
        broken: str | None = None, *, top: Mapping[str, Entry] | None = None, **arguments: str
    ) -> BuiltImage:
        if top:  # a mapping is no key
            return derivative(broken, top=top, **arguments)  # type: ignore[arg-type] # `derivative` requires them
        return build(broken, **arguments)

    return make
