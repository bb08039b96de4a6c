"""Options that change what passes: --strict, --skip, --platform all."""

import io
import json

import pytest

from cosinspect.cli import main
from cosinspect.testing import image_index
from cosinspect.testing.derivative import derivative


def run(*argv):
    out, err = io.StringIO(), io.StringIO()
    status = main([str(word) for word in argv], stdout=out, stderr=err)
    return status, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    kinds = (None, "no-login", "kernel-dangling")
    return {kind: derivative(kind).write_layout(tmp_path_factory.mktemp("image")) for kind in kinds}


# -- strict ----------------------------------------------------------------------------------------------------------


def test_a_warning_fails_only_if_strict(images):
    assert 0 == run(images["no-login"])[0]

    status, out, err = run(images["no-login"], "--strict")

    assert (1, "") == (status, err)
    assert out.startswith(f"FAIL  {images['no-login']} 1 warning, which strict forbids\n")
    assert "What fails (1)\n  COS072 login-missing" in out


def test_strict_is_in_the_document_and_in_every_format(images):
    document = json.loads(run(images["no-login"], "--strict", "--format", "json")[1])

    assert (True, "fail") == (document["strict"], document["verdict"])
    for form in ("sarif", "junit", "github", "markdown", "html"):
        assert 1 == run(images["no-login"], "--strict", "--format", form)[0]


def test_an_image_without_warnings_passes_strictly(images):
    assert 0 == run(images[None], "--strict")[0]


def test_a_policy_may_be_strict(images, tmp_path):
    (tmp_path / "strict.toml").write_text('name = "house"\nstrict = true\n')

    assert 1 == run(images["no-login"], "--policy", tmp_path / "strict.toml")[0]
    assert 1 == run("scan", images["no-login"], "--strict", "--workers", "1", "--quiet")[0]


# -- skip ------------------------------------------------------------------------------------------------------------


def test_a_skipped_check_is_waived_with_its_reason(images):
    status, out, err = run(images["kernel-dangling"], "--skip", "COS011=the kernel comes later")

    assert (0, "") == (status, err)
    assert "the kernel comes later" in out
    assert 0 == run(images["no-login"], "--strict", "--skip", "COS072=lab only")[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("COS090", "--skip: expected the id of a check and a reason, such as COS090='no cosign in the lab', found 'COS090'"),
        ("COS090=", "expected the id of a check and a reason"),
        ("=reason", "expected the id of a check and a reason"),
        ("COS9O0=typing error", "there is no check 'COS9O0'; did you mean"),
        ("cosign-missing=a name", "did you mean"),
        ("COS090=\x07\x07\x07bell", "expected the id of a check and a reason"),
    ],
)  # fmt: skip
def test_a_wrong_skip_is_refused(images, given, message):
    status, out, err = run(images[None], "--skip", given)

    assert (2, "") == (status, out)
    assert message in err


# -- all platforms -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    built = image_index(derivative(architecture="amd64"), derivative("kernel-dangling", architecture="arm64"))
    return built.write_layout(tmp_path_factory.mktemp("index"))


def test_every_platform_of_an_index_is_checked_and_the_worst_counts(index, tmp_path):
    status, out, err = run(index, "--platform", "all", "-o", "-", "-o", tmp_path / "os.json")

    assert (1, "") == (status, err)
    assert out.startswith("PASS")
    assert "\n\nFAIL" in out
    found = {path.name: json.loads(path.read_text()) for path in tmp_path.iterdir()}
    assert {"os-linux-amd64.json": "pass", "os-linux-arm64.json": "fail"} == {
        name: each["verdict"] for name, each in found.items()
    }


def test_an_image_without_an_index_is_checked_once(images):
    assert run(images[None], "--platform", "all")[1].count("PASS") == run(images[None])[1].count("PASS")


def test_only_check_knows_all(images):
    status, _, err = run("ls", images[None], "--platform", "all")
    assert 2 == status
    assert "--platform: expected a platform such as linux/amd64" in err


def test_a_pass_by_waivers_says_what_waivers_accept(images):
    """Not `PASS image cannot boot`: a waiver accepts the loss."""
    status, text, _ = run(
        images["kernel-dangling"], "--skip", "COS011=the kernel comes from the network", "--no-cache"
    )
    assert 0 == status
    headline = " ".join(text.partition("\n\n")[0].split())  # a long name wraps
    assert headline.endswith("cannot boot or install, which waivers accept")
