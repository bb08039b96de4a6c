"""A registry with the image that cosign signed."""

import pytest

from cosign_scenes import push_image
from cosinspect.testing import Registry


@pytest.fixture
def registry():
    with Registry() as serving:
        push_image(serving.address)
        yield serving
