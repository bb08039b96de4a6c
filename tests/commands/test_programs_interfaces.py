"""What other programs read of the command: completion scripts, JSON Schemas, the man page."""

import argparse
import io
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from cosinspect.boot.outcome import BootResult
from cosinspect.boot.outcome import Outcome as BootOutcome
from cosinspect.boot.proof import Proof
from cosinspect.cli import main
from cosinspect.commands import COMMANDS
from cosinspect.commands.completion import SHELLS, whole_parser
from cosinspect.commands.schema import SCHEMAS
from cosinspect.commands.settings import long_options
from cosinspect.fleet.record import ScanRecord
from cosinspect.inspection.worker import Outcome
from cosinspect.report.report import Verdict
from cosinspect.testing.derivative import derivative

ROOT = Path(__file__).parents[2]


def run(*argv):
    out, err = io.StringIO(), io.StringIO()
    status = main([str(word) for word in argv], stdout=out, stderr=err)
    return status, out.getvalue(), err.getvalue()


# -- completion ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_names_every_command_and_option(shell):
    status, script, err = run("completion", shell)

    assert (0, "") == (status, err)
    for name in COMMANDS:
        assert name in script
    assert "fail-on" in script


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["che"], {"check", "checks"}),
        (["check", "--plat"], {"--platform"}),
        (["scan", "--fail-on", "n"], {"never"}),
        (["completion", "f"], {"fish"}),
    ],
)
def test_bash_completes(words, expected):
    """Bash runs the script as its programmable completion does, and has the replies."""
    script = run("completion", "bash")[1]
    line = " ".join(["cosinspect", *words])
    program = f"""{script}
COMP_WORDS=(cosinspect {" ".join(words)}); COMP_CWORD={len(words)}; COMP_LINE='{line}'; COMP_POINT={len(line)}
function_name=$(complete -p cosinspect | sed 's/.*-F \\([^ ]*\\).*/\\1/')
$function_name cosinspect '{words[-1]}' '{words[-2] if len(words) > 1 else "cosinspect"}'
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=600, check=True)

    assert expected == {word.strip() for word in done.stdout.split()}


def test_the_whole_parser_has_every_command():
    text = whole_parser().format_help()
    assert all(re.search(rf"^    {name}\s", text, re.MULTILINE) for name in COMMANDS)


# -- schemas ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    name = derivative("kernel-dangling").write_layout(tmp_path_factory.mktemp("image"))
    text = run(name, "--format", "json")[1]
    outcome = Outcome(Verdict.FAIL, "cannot boot", report=text)
    line = ScanRecord.of(name, "sha256:0", "rules", outcome).line()
    older = derivative(generation="G1", top={"etc/more": "x"}).write_layout(tmp_path_factory.mktemp("older"))
    split = derivative(top={"etc/.wh..wh..opq": ""}).write_layout(tmp_path_factory.mktemp("split"))
    booted = BootOutcome(
        BootResult.STUCK, "nothing came", "initrd", "none", Proof(), "tcg", 10.0, 5.0, tail=("last",)
    )

    def printed(*words):
        status, written, err = run(*words, "--format", "json")
        assert status in (0, 1), err
        return json.loads(written)

    return {
        "report": [json.loads(text), printed("check", name, "--from", older)],
        "scan": [json.loads(line)],
        "boot": [booted.to_dict()],
        "diff": [printed("diff", name, older), printed("diff", name), printed("diff", split)],
        "explain": [
            printed("explain", name),
            printed("explain", name, "boot"),
            printed("explain", name, "/boot/vmlinuz"),
            printed("explain", older),
        ],
        "layers": [printed("layers", name)],
        "packages": [printed("packages", name)],
    }


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_holds_for_what_is_written_and_names_every_key(documents, name):
    status, text, err = run("schema", name)
    schema = json.loads(text)

    assert (0, "") == (status, err)
    Draft202012Validator.check_schema(schema)
    for document in documents[name]:
        Draft202012Validator(schema).validate(document)
        assert [] == list(unnamed(document, schema, schema))


def unnamed(value, schema, whole):
    """The keys of a document that a schema does not name."""
    while "$ref" in schema:
        schema = whole["$defs"][schema["$ref"].rpartition("/")[2]]
    options = schema.get("anyOf")
    if options and not (value is None or isinstance(value, str | int | float)):
        objects = [each for each in options if each.get("type") != "null"]
        # The one that the document fits, where a document has one of several forms.
        schema = next(
            each
            for each in objects
            if len(objects) == 1 or Draft202012Validator({**each, "$defs": whole["$defs"]}).is_valid(value)
        )
        while "$ref" in schema:
            schema = whole["$defs"][schema["$ref"].rpartition("/")[2]]
    if isinstance(value, dict):
        for key, inner in value.items():
            known = schema.get("properties", {})
            if key in known:
                yield from unnamed(inner, known[key], whole)
            elif isinstance(schema.get("additionalProperties"), dict):
                yield from unnamed(inner, schema["additionalProperties"], whole)
            elif "properties" in schema:
                yield key
    elif isinstance(value, list):
        for inner in value:
            yield from unnamed(inner, schema.get("items", {}), whole)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_wrong_document_does_not_fit(documents, name):
    schema = json.loads(run("schema", name)[1])
    for document in documents[name]:
        for key in document.keys() & {"schema", "verdict", "image", "images", "result"}:
            wrong = {**document, key: 7}
            assert list(Draft202012Validator(schema).iter_errors(wrong))


def test_the_schemas_are_listed():
    assert list(SCHEMAS) == [line.split()[0] for line in run("schema")[1].splitlines()]
    assert 2 == run("schema", "reprot")[0]
    assert "found 'reprot'; did you mean report?" in run("schema", "reprot")[2]


# -- the man page ----------------------------------------------------------------------------------------------------


def test_the_man_page_has_every_option():
    """`python -m tests.man_page` writes it again."""
    page = (ROOT / "docs" / "cosinspect.1").read_text().replace("\\-", "-")
    for name, command in COMMANDS.items():
        parser = argparse.ArgumentParser()
        command.configure(parser)
        section = page.partition(f"cosinspect {name}")[2]
        assert section, f"{name}: run python -m tests.man_page"
        for option in long_options(parser):
            assert f"--{option}" in section, f"--{option}: run python -m tests.man_page"


@pytest.mark.skipif(shutil.which("man") is None, reason="there is no man")
def test_man_reads_the_page_without_a_warning():
    page = ROOT / "docs" / "cosinspect.1"
    words = ["man", "--warnings", "-l", page]
    environment = {**os.environ, "MANWIDTH": "200", "LC_ALL": "C.UTF-8", "MANPAGER": "cat"}
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=True, env=environment)

    assert "" == done.stderr
    assert "whoever reads the output has gone" in done.stdout
