"""`check NEW --from OLD`: both images are named in the report, and mistakes about the older one in the messages."""

import io
import json

import pytest

from cosinspect import cli
from cosinspect.testing.derivative import derivative


@pytest.fixture(scope="module")
def layouts(tmp_path_factory):
    """The directories of two good images."""
    top = tmp_path_factory.mktemp("layouts")
    for generation in ("G4", "G5"):
        (top / generation).mkdir()
        derivative(generation=generation).write_layout(top / generation)
    return top


def run(*words):
    """Run `cosinspect check`, and return the exit status, standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    status = cli.main(["check", *map(str, words), "--no-cache"], stdout=out, stderr=err)
    return status, out.getvalue(), err.getvalue()


def test_every_format_names_the_older_image(layouts):
    status, text, _ = run(layouts / "G5", "--from", layouts / "G4")
    assert 1 == status
    assert "COS281 upgrade-menu-fails  error, breaks upgrade" in text
    assert f"  from        oci:{layouts / 'G4'}" in text

    for name in ("html", "markdown", "sarif", "junit"):
        status, text, _ = run(layouts / "G4", "--from", layouts / "G4", "--format", name)
        assert 0 == status, name
        assert f"oci:{layouts / 'G4'}" in text, name
    _, text, _ = run(layouts / "G4", "--from", layouts / "G4", "--format", "json")
    assert "G4" == json.loads(text)["upgrade_from"]["generation"]


@pytest.mark.parametrize("option", ["--fast", "--trust-toc", "--from-attestation=key.pem"])
def test_an_option_that_reads_less_is_refused(layouts, option):
    status, _, message = run(layouts / "G4", "--from", layouts / "G4", option)
    assert 2 == status
    assert f"--from and {option.partition('=')[0]} exclude each other" in message


def test_a_damaged_older_image_is_named(layouts, tmp_path):
    derivative(generation="G3").write_layout(tmp_path)
    largest = max((tmp_path / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    largest.write_bytes(b"x" * largest.stat().st_size)
    status, _, message = run(layouts / "G4", "--from", tmp_path)
    assert 3 == status
    assert f"oci:{tmp_path}" in message
    assert f"oci:{layouts / 'G4'}" not in message


def test_an_older_image_that_is_not_there_cannot_be_compared(layouts, tmp_path):
    status, _, message = run(layouts / "G4", "--from", tmp_path / "nothing")
    assert 3 == status
    assert str(tmp_path / "nothing") in message
