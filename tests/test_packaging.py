"""What other systems read: the package's metadata, the container, the action, the component, the hook. `.ci/build` has the linters."""

import io
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from cosinspect import __version__
from cosinspect.cli import main
from cosinspect.testing.derivative import derivative

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HOME = PROJECT["project"]["urls"]["Source"]
CONTAINERFILE = (ROOT / "Containerfile").read_text()
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
PAGE = (ROOT / "docs" / "packaging.md").read_text()


def example(marker):
    return yaml.safe_load(re.search(rf"<!-- {marker} -->\n```yaml\n(.*?)```", PAGE, re.DOTALL)[1])


def test_one_address_is_named_everywhere():
    urls = PROJECT["project"]["urls"].values()
    labels = re.findall(r'org\.opencontainers\.image\.(?:url|source|documentation)="([^"]*)"', CONTAINERFILE)
    (substitution,) = PROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]
    others = [example("pre-commit")["repos"][0]["repo"], substitution["replacement"].removeprefix("](")]

    assert len(labels) == 3
    assert all(url == HOME or url.startswith(f"{HOME}/") for url in (*urls, *labels, *others))
    used = [step.get("uses", "") for step in example("github")["jobs"]["image"]["steps"]]
    assert f"{HOME.removeprefix('https://github.com/')}@main" in used


def test_the_links_of_the_index_page_lead_to_files_that_there_are():
    (substitution,) = PROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]
    readme = (ROOT / "README.md").read_text()
    relative = [target for target in re.findall(r"\]\(([^)]+)\)", readme) if "://" not in target]

    shown = re.sub(substitution["pattern"], substitution["replacement"], readme)

    links = re.findall(r"\]\(([^)]+)\)", shown)
    assert relative
    assert all("://" in link or link.startswith("#") for link in links)
    assert all((ROOT / target.partition("#")[0]).exists() for target in relative)
    assert all(f"{HOME}/blob/v$HFPR_VERSION/{target}" in links for target in relative)


def test_the_changelog_has_a_section_for_each_release():
    titles = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    releases = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d", title) for title in titles[1:]]

    assert titles[0] == "[Unreleased]"
    assert all(releases)
    assert not releases or releases[0][1] == __version__


def test_the_container_is_built_of_what_is_not_ignored():
    kept = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = re.search(r"^COPY (?!--from)(.*) \./$", CONTAINERFILE, re.MULTILINE)[1].split()
    copied.append(re.search(r"^COPY (cosinspect) cosinspect$", CONTAINERFILE, re.MULTILINE)[1])

    assert set(copied) == kept
    assert all((ROOT / name).exists() for name in copied)
    # What the build reads beside the package.
    read = {"README.md", "pyproject.toml", *PROJECT["project"]["license-files"]}
    assert read <= kept


def test_the_container_writes_to_its_cache_alone_and_is_not_root():
    user, group = re.search(r"^USER (\d+):(\d+)$", CONTAINERFILE, re.MULTILINE).groups()
    cache = re.search(r"COSINSPECT_CACHE=(\S+)", CONTAINERFILE)[1]

    assert int(user) > 0
    assert f"install -d -o {user} -g {group} -m 0770 {cache}\n" in CONTAINERFILE
    assert f"VOLUME {cache}\n" in CONTAINERFILE


@pytest.mark.parametrize(("broken", "status"), [(None, 0), ("kernel-dangling", 1)])
def test_the_action_inspects(broken, status, tmp_path):
    """The step as a runner runs it; the one before it only installs."""
    bin_ = tmp_path / "temp" / "cosinspect" / "bin"
    bin_.mkdir(parents=True)
    (bin_ / "cosinspect").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m cosinspect "$@"\n')
    (bin_ / "cosinspect").chmod(0o755)
    name = derivative(broken).write_layout(tmp_path / "image")
    step = ACTION["runs"]["steps"][1]
    given = {"image": name, "options": "--profile boot --no-cache", "sarif": "os.sarif"}
    inputs = {key: given.get(key, value.get("default")) for key, value in ACTION["inputs"].items()}
    environment = {
        key: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda match: inputs[match[1]], value)
        for key, value in step["env"].items()
    }
    files = {"GITHUB_OUTPUT": "output", "GITHUB_STEP_SUMMARY": "summary"}

    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600,
        env={
            "PATH": "/usr/bin:/bin", "RUNNER_TEMP": str(tmp_path / "temp"), "COSINSPECT_CACHE": "off",
            **environment, **{key: str(tmp_path / value) for key, value in files.items()},
        },
    )  # fmt: skip

    assert done.returncode == status, done.stderr
    assert f"status={status}\n" == (tmp_path / "output").read_text()
    assert (tmp_path / "os.sarif").stat().st_size
    assert (tmp_path / "summary").stat().st_size
    assert ("::error" in done.stdout) is (status == 1)


def test_every_input_of_the_action_is_used_and_none_gets_into_a_script():
    text = (ROOT / "action.yml").read_text()
    assert set(re.findall(r"\$\{\{ inputs\.(\w+) \}\}", text)) == ACTION["inputs"].keys()
    assert not any("${{" in step["run"] for step in ACTION["runs"]["steps"])


def test_the_component_inspects(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = derivative().write_layout(tmp_path / "image")
    text = (ROOT / "templates" / "cosinspect.yml").read_text()
    spec = next(iter(yaml.safe_load_all(text)))["spec"]["inputs"]
    assert set(re.findall(r"\$\[\[ inputs\.(\w+) \]\]", text)) == spec.keys()
    (included,) = example("gitlab")["include"]
    required = {key for key, value in spec.items() if "default" not in value}
    assert required <= included["inputs"].keys() <= spec.keys()

    given = {"image": name, "package": "cosinspect.whl"}
    filled = re.sub(
        r"\$\[\[ inputs\.(\w+) \]\]", lambda match: given.get(match[1]) or spec[match[1]]["default"], text
    )
    job = list(yaml.safe_load_all(filled))[1]["cosinspect"]
    words = shlex.split(job["script"][1])

    assert words[0] == "cosinspect"
    assert 0 == main(words[1:], stdout=io.StringIO(), stderr=io.StringIO())
    for file in (job["artifacts"]["reports"]["junit"], *job["artifacts"]["paths"]):
        assert Path(file).stat().st_size


def test_the_hook_examines_a_configuration(tmp_path):
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert example("pre-commit")["repos"][0]["hooks"][0]["id"] == hook["id"]
    assert re.search(hook["files"], "deploy/cosinspect-server.toml")
    path = tmp_path / "cosinspect-server.toml"
    path.write_text('[[rules]]\nimagse = ["*"]\n')
    err = io.StringIO()

    status = main([*shlex.split(hook["entry"])[1:], str(path)], stdout=io.StringIO(), stderr=err)

    assert (2, True) == (status, "imagse" in err.getvalue())
