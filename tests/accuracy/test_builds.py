"""What real binaries made of 29 kinds of tree: the capability `iso` says the same, and the effect says whether the build or the boot fails."""

import pytest

from accuracy.builds import BUILDERS, BUILDS
from accuracy.judges import of_build


@pytest.mark.parametrize("generation", BUILDERS)
@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.name.replace("/", "|"))
def test_an_iso_is_made_where_the_binary_made_one(build, generation):
    assert "" == of_build(build, generation)


def test_there_are_rows_of_both_kinds_for_every_builder():
    for generation in BUILDERS:
        made = [generation in build.made for build in BUILDS]
        assert any(made)
        assert not all(made)
