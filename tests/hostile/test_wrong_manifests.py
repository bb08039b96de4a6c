"""Every field of a good manifest wrong in turn, pushed under its new digest: never a pass, always the right error."""

import json

import pytest

from cosinspect import CosinspectError, inspect
from cosinspect.errors import ContentError, InvalidManifest, SizeMismatch, UnsupportedMediaType
from cosinspect.testing.derivative import derivative

GOOD = derivative()
FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
ZEROS = "sha256:" + "0" * 64

FIELDS = {
    "no config": (("config",), None, InvalidManifest),
    "no layers": (("layers",), None, InvalidManifest),
    "no schemaVersion": (("schemaVersion",), None, InvalidManifest),
    "schemaVersion 1": (("schemaVersion",), 1, UnsupportedMediaType),
    "schemaVersion a word": (("schemaVersion",), "2", InvalidManifest),
    "layers no list": (("layers",), {}, InvalidManifest),
    "manifests too": (("manifests",), [], InvalidManifest),
    "another mediaType": (("mediaType",), "application/vnd.oci.image.index.v1+json", InvalidManifest),
    "config no image's": (
        ("config", "mediaType"),
        "application/vnd.cncf.helm.config.v1+json",
        UnsupportedMediaType,
    ),
    "config digest": (("config", "digest"), ZEROS, CosinspectError),
    "config digest of another kind": (("config", "digest"), "md5:" + "0" * 32, InvalidManifest),
    "config digest a path": (("config", "digest"), "sha256:../../../etc/passwd", InvalidManifest),
    "config size less": (("config", "size"), 1, SizeMismatch),
    "config size more": (("config", "size"), 10**6, SizeMismatch),
    "config size negative": (("config", "size"), -1, InvalidManifest),
    "config size huge": (("config", "size"), 2**62, CosinspectError),
    "config size a fraction": (("config", "size"), 1.5, InvalidManifest),
    "layer digest": (("layers", 1, "digest"), ZEROS, CosinspectError),
    "layer size less": (("layers", 1, "size"), 1, SizeMismatch),
    "layer size more": (("layers", 1, "size"), 10**9, SizeMismatch),
    "layer foreign": (("layers", 1, "mediaType"), FOREIGN, UnsupportedMediaType),
    "layer no tar": (("layers", 1, "mediaType"), "text/plain", UnsupportedMediaType),
    "layer without a type": (("layers", 1, "mediaType"), None, InvalidManifest),
    "a layer less": (("layers", 1), None, InvalidManifest),
}


def image_of(document):
    return GOOD.with_manifest(json.dumps(document).encode())


@pytest.mark.parametrize("field", FIELDS)
def test_a_wrong_field_is_never_a_pass(tmp_path, field):
    path, value, error = FIELDS[field]
    document = json.loads(GOOD.manifest)
    at = document
    for key in path[:-1]:
        at = at[key]
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    name = image_of(document).write_layout(tmp_path)

    with pytest.raises(error):
        inspect(name)


def test_layers_in_another_order_are_told(tmp_path):
    document = json.loads(GOOD.manifest)
    document["layers"].reverse()
    name = image_of(document).write_layout(tmp_path)

    with pytest.raises(ContentError):
        inspect(name)
