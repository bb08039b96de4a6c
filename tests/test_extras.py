"""Packages: docs/dependencies.md names them all. Without the optional ones the library works, and a request that needs one is refused with the command that installs it."""

import ast
import importlib.metadata
import io
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from cosinspect.cli import main
from cosinspect.errors import MissingPackage
from cosinspect.extras import install_hint, load_extra, require_extra
from cosinspect.testing.derivative import derivative

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
DISTRIBUTIONS = {
    "jsonpath": "python-jsonpath", "nacl": "pynacl", "re2": "google-re2",
}  # fmt: skip
"""Of packages that are imported by another name."""
FOR_DEVELOPERS = {"all", "bench", "dev", "docs", "fuzz", "test"}


def calls(name):
    """The calls of a function in the package: the file and the call."""
    for path in sorted((ROOT / "cosinspect").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
                yield path, node


def packages(extra):
    """Names of the distributions that an extra brings, those of other extras included."""
    for requirement in EXTRAS[extra]:
        nested = re.match(r"cosinspect\[([\w,]+)\]", requirement)
        if nested:
            for other in nested[1].split(","):
                yield from packages(other)
        else:
            yield re.match(r"[\w-]+", requirement)[0].lower()


def test_every_extra_that_a_message_names_exists():
    named = {node.args[1].value for _, node in calls("load_extra") if isinstance(node.args[1], ast.Constant)}
    named |= {
        node.args[0].value for _, node in calls("install_hint") if isinstance(node.args[0], ast.Constant)
    }

    assert named <= EXTRAS.keys()
    assert named >= EXTRAS.keys() - FOR_DEVELOPERS - {"magic"}, "an extra that no message names is not found"


def test_every_package_that_is_loaded_later_comes_with_its_extra():
    for path, node in calls("load_extra"):
        module, extra = node.args
        if not isinstance(module, ast.Constant) or module.value.startswith("cosinspect."):
            continue
        top = module.value.partition(".")[0]
        distribution = DISTRIBUTIONS.get(top, top)
        assert distribution in {*packages(extra.value)}, f"{path.name}: {module.value}"


def test_all_has_every_extra_for_users():
    (own,) = EXTRAS["all"]
    assert set(re.match(r"cosinspect\[(.*)\]", own)[1].split(",")) == EXTRAS.keys() - FOR_DEVELOPERS


def test_no_text_names_a_package_index_that_does_not_have_the_package():
    """Until there is a release, `pip install cosinspect` finds nothing."""
    places = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for path in (*places, *(ROOT / "cosinspect").rglob("*.py")):
        assert not re.search(r"(?:pip|pipx|uv tool|uvx) install ['\"]?cosinspect", path.read_text()), path


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "jsonpath", None)

    with pytest.raises(MissingPackage) as caught:
        load_extra("jsonpath", "server")
    assert (
        str(caught.value)
        == f"expected the Python package jsonpath, it is not installed; {install_hint('server')}"
    )

    with pytest.raises(MissingPackage, match="no_such_package"):
        require_extra("no_such_package", "server")


def test_a_module_of_ours_that_is_missing_is_a_mistake():
    with pytest.raises(ImportError, match="no_such_module"):
        load_extra("cosinspect.no_such_module", "server")


OPTIONAL = (
    "jinja2",
    "re2",
    "univers",
    "cryptography",
    "jsonpath",
    "sigstore",
    "nacl",
    "fsspec",
    "pyarrow",
)
BLOCKED = f"""
import sys
sys.modules.update(dict.fromkeys({OPTIONAL!r}))
from cosinspect.cli import main
for words in (["demo"], ["checks"], ["--help"], *([command, "--help"] for command in {{commands!r}})):
    status = main(words)
    assert status == 0, (words, status)
"""


def test_without_optional_packages_the_command_works():
    """In a process of its own: none of them is imported where it is not needed."""
    from cosinspect.commands import COMMANDS  # noqa: PLC0415

    script = BLOCKED.format(commands=sorted(COMMANDS))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=600
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert "PASS" in done.stdout


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("jinja2", ["-o", "html=os.html"]),
        ("re2", ["--policy", "policy.toml"]),
        ("univers", ["--policy", "versions.toml"]),
        ("cryptography", ["--verify-key", "cosign.pub"]),
    ],
)
def test_a_request_that_needs_a_missing_package_is_wrong_use(package, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [each for each in sys.modules if each.partition(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "cosinspect.signatures.openssl_keys", raising=False)
    rule = 'id = "FLEET001"\nname = "no-root"\n'
    Path("policy.toml").write_text(f'name = "fleet"\n[[files]]\n{rule}path = "/etc/hosts"\ncontains = "a"\n')
    Path("versions.toml").write_text(
        f'name = "fleet"\n[[packages]]\n{rule}package = "system/a"\nversion = ">1"\n'
    )
    Path("cosign.pub").write_text("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n")
    err = io.StringIO()

    status = main([derivative().write_layout(tmp_path / "image"), *words], stdout=io.StringIO(), stderr=err)

    assert (2, 1) == (status, err.getvalue().count("\n")), err.getvalue()
    assert (
        f"the Python package {package}, it is not installed; in a checkout of cosinspect, run pip install"
        in err.getvalue()
    )


PAGE = (ROOT / "docs" / "dependencies.md").read_text()


def rows(marker):
    text = PAGE[PAGE.index(f"<!-- {marker} -->") :]
    table = re.search(r"((?:^\|.*\|\n)+)", text, re.MULTILINE)[1]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in table.splitlines()[2:]]


def distribution_of(requirement):
    return re.match(r"[\w-]+", requirement)[0]


def test_the_base_is_what_the_page_says():
    assert [distribution_of(each) for each in PROJECT["dependencies"]] == [row[0] for row in rows("base")]
    assert all(len(row) == 3 and all(row) for row in rows("base"))


def test_the_extras_are_what_the_page_says():
    expected = {
        (distribution_of(each), extra)
        for extra, requirements in EXTRAS.items()
        if extra not in FOR_DEVELOPERS
        for each in requirements
        if not each.startswith("cosinspect[")
    }
    found = {(row[0], extra) for row in rows("extras") for extra in re.findall(r"`([a-z]+)`", row[1])}
    assert expected == found
    assert all(len(row) == 4 and all(row) for row in rows("extras"))


@pytest.mark.parametrize(("package", "option"), [("pyarrow", "--parquet"), ("jinja2", "--html")])
def test_a_scan_is_refused_before_it_reads_an_image(package, option, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    out, err = io.StringIO(), io.StringIO()

    status = main(["scan", "oci:/nowhere", option, str(tmp_path / "out")], stdout=out, stderr=err)

    assert (2, "") == (status, out.getvalue())
    assert f"the Python package {package}, it is not installed" in err.getvalue()
    assert not any(tmp_path.iterdir())


def test_the_base_is_as_small_as_the_page_says():
    """The number of packages; their size is measured by hand."""
    found, waiting = {"cosinspect"}, [distribution_of(each) for each in PROJECT["dependencies"]]
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name not in found:
            found.add(name)
            needed = importlib.metadata.requires(name) or ()
            waiting.extend(distribution_of(each) for each in needed if _is_needed_here(each))

    (said,) = re.findall(r"^\| the base \| (\d+) \| \d+ \|$", PAGE, re.MULTILINE)
    assert len(found) <= int(said), sorted(found)  # newer Pythons need fewer


def _is_needed_here(requirement):
    """Whether a requirement has no marker but one that this Python fulfils, as far as packages of the base have them."""
    marker = requirement.partition(";")[2].strip()
    older = re.fullmatch(r'python_version < "3\.(\d+)"', marker.replace("'", '"'))
    return not marker or (older is not None and sys.version_info < (3, int(older[1])))
