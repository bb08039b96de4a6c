"""What the pages under docs/ show is executed."""

import re
from pathlib import Path

import pytest

from cosign_scenes import DATA, push_image, push_scene
from cosinspect.testing import Registry

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize(
    "code",
    re.findall(r"<!-- python -->\n```python\n(.*?)```", (DOCS / "signatures.md").read_text(), re.DOTALL),
)
def test_the_python_about_signatures_runs(code, capsys):
    pem = (DATA / "keys" / "p256-2.pub").read_bytes()
    with Registry() as registry:
        name = push_image(registry.address)
        push_scene(registry.address, "bundle")
        exec(compile(code, "signatures.md", "exec"), {"pem": pem, "name": name})

    assert capsys.readouterr().out.startswith("Status.YES")
