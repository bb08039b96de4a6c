"""What the image itself brings to verify with: the settings of cosign, and the key that they name."""

import json

import pytest

from cosinspect import inspect
from cosinspect.report.report import Kind, Status
from cosinspect.testing import ImageBuilder, Symlink
from cosinspect.testing.derivative import derivative_of
from cosinspect.testing.derivative.parts import parts_of

KEY = "COSIGN_PUBLIC_KEY_LOCATION"


def report(tmp_path, **files):
    parts = parts_of("G2", "amd64")
    for path, content in files.items():
        parts.write(path.replace("__", "/"), content)
    return inspect(derivative_of(parts).write_layout(tmp_path))


def found(tmp_path, **files):
    (result,) = [item for item in report(tmp_path, **files).results if item.check == "COS093"]
    return result


def test_without_settings_there_is_nothing_to_look_at(tmp_path):
    assert Kind.NOT_APPLICABLE == found(tmp_path, etc__environment="PATH=/bin\n").kind


@pytest.mark.parametrize("path", ["etc__environment", "etc__cos__config"])
def test_the_key_must_be_there(tmp_path, path):
    missing = found(tmp_path / "a", **{path: f"{KEY}=/etc/cosign.pub\n"})
    there = found(tmp_path / "b", **{path: f"{KEY}=/etc/cosign.pub\n", "etc__cosign.pub": "a key"})

    assert (Kind.FAIL, "/etc/cosign.pub") == (missing.kind, missing.findings[0].path)
    assert (Kind.PASS, (f"{KEY}=/etc/cosign.pub (/{path.replace('__', '/')})",)) == (
        there.kind,
        there.evidence,
    )


def test_a_link_to_the_key_will_do_and_one_to_nothing_will_not(tmp_path):
    files = {"etc__environment": f"{KEY}=/etc/cosign.pub\n", "etc__cosign.pub": Symlink("keys/a.pub")}

    assert Kind.FAIL == found(tmp_path / "a", **files).kind
    assert Kind.PASS == found(tmp_path / "b", **files, **{"etc__keys__a.pub": "x"}).kind


@pytest.mark.parametrize("place", ["https://example.com/cosign.pub", "k8s://cos/key", "relative.pub"])
def test_a_key_that_is_no_file_of_the_image_is_only_told(tmp_path, place):
    result = found(tmp_path, etc__environment=f"{KEY}={place}\n")

    assert (Kind.PASS, True) == (result.kind, place in result.evidence[0])


def test_secrets_among_the_settings_are_not_told(tmp_path):
    made = report(
        tmp_path, etc__environment="COSIGN_PASSWORD=canary-1\nCOSIGN_EXPERIMENTAL=1\nCOSIGN_TOKEN=canary-2\n"
    )

    text = json.dumps(made.to_dict())
    assert "COSIGN_PASSWORD is set" in text
    assert "COSIGN_EXPERIMENTAL=1" in text
    assert "canary" not in text


def test_the_environment_of_the_configuration_counts(tmp_path):
    """As the documentation of cOS has it: ENV COSIGN_EXPERIMENTAL=1 in the Dockerfile."""
    image = ImageBuilder(
        platform="linux/amd64", env=("COSIGN_REPOSITORY=raccos/releases-green", "COSIGNED=1")
    )
    made = inspect(image.layer({"etc/os-release": "ID=x\n"}).build().write_layout(tmp_path))

    (result,) = [item for item in made.results if item.check == "COS093"]
    assert ("COSIGN_REPOSITORY=raccos/releases-green (the image's configuration)",) == result.evidence


def test_what_the_image_lacks_takes_verify_from_it(tmp_path):
    made = report(tmp_path, etc__environment=f"{KEY}=/etc/cosign.pub\n")

    verify = next(result for capability, result in made.capabilities.items() if capability.value == "verify")
    assert (Status.NO, ("COS093",)) == (verify.status, verify.because)
