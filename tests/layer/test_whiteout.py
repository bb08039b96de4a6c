"""The spelling of whiteouts, held to archives that the testing kit writes by itself."""

import io
import tarfile

from hypothesis import given
from hypothesis import strategies as st

from cosinspect.layer.whiteout import NAMELESS, deleted_by, opaque_path, whiteout_path
from cosinspect.testing import Opaque, Whiteout, tar_bytes

NAMES = st.text(alphabet="ab.wh-", min_size=1, max_size=6).filter(lambda name: name not in (".", ".."))
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


def members(tree):
    with tarfile.open(fileobj=io.BytesIO(tar_bytes(tree))) as archive:
        return [member.name for member in archive]


@given(PATHS)
def test_a_whiteout_is_spelled_as_writers_spell_it(path):
    assert members({path: Whiteout()})[-1:] == [whiteout_path(path)]
    if path.rpartition("/")[2] != ".wh..opq":  # whose whiteout is an opaque one
        assert deleted_by(whiteout_path(path)) == path
        assert deleted_by(f"/{whiteout_path(path)}") == f"/{path}"


@given(PATHS)
def test_an_opaque_whiteout_is_spelled_as_writers_spell_it(directory):
    assert members({directory: Opaque()})[-1:] == [opaque_path(directory)]
    assert deleted_by(opaque_path(directory)) == f"{directory}/"


def test_other_names_delete_nothing():
    assert [deleted_by(path) for path in ("a", "d/x", ".wh", "d/x.wh.y", ".wh./x")] == [None] * 5
    assert opaque_path("") == ".wh..wh..opq"
    assert {".wh.", ".wh..", ".wh..."} == NAMELESS
