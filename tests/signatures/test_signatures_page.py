"""What docs/signatures.md shows is executed."""

import io
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from cosign_scenes import DATA, REPOSITORY, push_scene
from cosinspect.checks import find_check
from cosinspect.cli import main
from cosinspect.limits import DEFAULT_LIMITS

PAGE = (Path(__file__).parents[2] / "docs" / "signatures.md").read_text()
COMMANDS = re.search(r"```sh\n(.*?)```", PAGE, re.DOTALL)[1].replace("\\\n", "").splitlines()


@pytest.fixture
def name(registry):
    for scene in ("bundle", "keyless"):
        push_scene(registry.address, scene)
    push_scene(registry.address, "bundle-elsewhere", "org/signatures")
    return f"{registry.address}/{REPOSITORY}:v1"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_find_signatures(command, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COSIGN_PUBLIC_KEY", (DATA / "keys" / "p256-1.pub").read_text())
    for key, file in {"p256-1": "cosign.pub", "rsa": "old.pub", "p256-2": "new.pub"}.items():
        shutil.copy(DATA / "keys" / f"{key}.pub", file)
    shutil.copy(DATA / "keyless" / "trusted_root.json", "trusted_root.json")
    address = name.partition("/")[0]
    text = command.replace("quay.io/org/os:v1", name).replace("docker.io", address)
    out, err = io.StringIO(), io.StringIO()

    main([*shlex.split(text)[1:], "--platform", "linux/amd64", "--format", "json"], stdout=out, stderr=err)

    assert "" == err.getvalue()
    assert json.loads(out.getvalue())["signatures"]["verified"]


@pytest.mark.parametrize("code", re.findall(r"<!-- python -->\n```python\n(.*?)```", PAGE, re.DOTALL))
def test_the_python_runs(code, name, capsys):
    pem = (DATA / "keys" / "p256-2.pub").read_bytes()

    exec(compile(code, "signatures.md", "exec"), {"pem": pem, "name": name})

    assert capsys.readouterr().out.startswith("Status.YES")


def test_the_checks_and_the_bound_are_those_there_are():
    assert f"more than {DEFAULT_LIMITS.signatures} signatures" in PAGE
    for check in re.findall(r"COS\d{3}", PAGE):
        assert find_check(check) is not None
