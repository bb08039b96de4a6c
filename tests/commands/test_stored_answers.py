"""What the program prints from the cache is what the command prints, byte by byte but for the time."""

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cosinspect
from cosinspect import cli
from cosinspect.cache import answers
from cosinspect.cache.answers import Question, Surroundings
from cosinspect.checks import CATALOGUE
from cosinspect.commands import stored_answers
from cosinspect.testing import Registry
from cosinspect.testing.derivative import derivative

POLICY = """
name = "ours"

[[waivers]]
check = "COS021"
reason = "a waiver of this test"
expires = 2031-01-01
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with two layouts, a profile's file and a policy, which is the working directory."""
    directory = tmp_path_factory.mktemp("place")
    # Python looks for modules here, so that a new file is a new installation.
    (directory / "cache").mkdir()
    derivative(None).write_layout(directory / "good")
    derivative("kernel-dangling").write_layout(directory / "bad")
    before = Path.cwd()
    os.chdir(directory)
    yield directory
    os.chdir(before)


class Screen(io.StringIO):
    """A standard output that may be a terminal."""

    def __init__(self, columns):
        super().__init__()
        self.columns = columns

    def isatty(self):
        return bool(self.columns)


@pytest.fixture(scope="module", autouse=True)
def environment(place):
    """No other variable decides anything here."""
    kept = dict(os.environ)
    for name in answers.VARIABLES:
        os.environ.pop(name, None)
    os.environ.update(HOME=str(place), COSINSPECT_CACHE=str(place / "cache"), TERM="xterm")
    yield
    os.environ.clear()
    os.environ.update(kept)


def ask(words, columns=0):
    os.environ["COLUMNS"] = str(columns or 100)
    return Question.of(words, Surroundings(os.environ, str(Path.cwd()), (str(bool(columns)), "", "utf-8")))


def run(words, columns=0, question=None):
    screen, err = Screen(columns), io.StringIO()
    status = cli.main(words, stdout=screen, stderr=err, question=question)
    return status, screen.getvalue(), err.getvalue()


def untimed(text):
    return re.sub(r'(?<=time=")[0-9.]+(?=")|(?<="seconds": )[0-9.]+|(?<=paths, )[0-9.]+(?= s)', "TIME", text)


def stored(words, columns=0):
    """Inspect, which stores the answer, and return it."""
    run(words, columns, ask(words, columns))
    return ask(words, columns).stored()


FORMATS = ["text", "json", "sarif", "junit", "github", "markdown"]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    name=st.sampled_from(["oci:good", "./bad", "oci:bad:latest", "bad"]),
    form=st.sampled_from([None, *FORMATS]),
    columns=st.sampled_from([0, 60, 83, 120]),
    further=st.sets(
        st.sampled_from(
            [
                "--no-color",
                "-q",
                "--profile=cos",
                "--semantics=oci",
                "--only=COS001,COS021",
                "--policy=p.toml",
            ]
        )
    ),
    explicit=st.booleans(),
)
def test_the_stored_answer_is_what_the_command_prints(place, name, form, columns, further, explicit):
    (place / "p.toml").write_text(POLICY)
    words = [
        *(["check"] if explicit else []),
        name,
        *([f"--format={form}"] if form else []),
        *sorted(further),
    ]
    answer = stored(words, columns)
    status, expected, err = run(words, columns)
    assert "" == err
    assert status == answer.status
    assert untimed(expected) == untimed(answer.text(0.25))
    if form in (None, "text"):
        assert "0 bytes read" in answer.text(0.25)
        assert "0.3 s" not in answer.text(0.04)


@pytest.mark.parametrize("words", [["checks"], ["checks", "COS011"], ["checks", "--format=json"]])
def test_the_list_of_checks_is_stored(words):
    answer = stored(words)
    assert run(words) == (answer.status, answer.text(0.1), "")


def test_an_unknown_check_and_a_plugin_s_are_not_stored(monkeypatch):
    assert stored(["checks", "COS999"]) is None
    monkeypatch.setattr(stored_answers, "installed_checks", lambda: (*CATALOGUE, CATALOGUE[0]))
    assert stored(["checks", "COS012"]) is None


UNSTORED = {
    "an output in a file": ["-o", "report.txt"],
    "requests are printed": ["--debug"],
    "a page has a date": ["--format=html"],
    "signatures can be added": ["--verify-key=key.pem", "--signature-repository=127.0.0.1:1/none/at/all"],
    "layers from the top": ["--fast"],
    "diff ids": ["--no-diff-ids"],
    "tables": ["--trust-toc"],
    "no cache": ["--no-cache"],
}


@pytest.mark.parametrize("why", UNSTORED)
def test_what_may_change_without_notice_is_not_stored(place, why):
    words = ["oci:good", *UNSTORED[why]]
    asked = ask(words)
    before = sorted((place / "cache").rglob("answer/*/*"))
    run(words, question=asked)
    assert before == sorted((place / "cache").rglob("answer/*/*"))


def test_plugins_are_not_stored(monkeypatch):
    monkeypatch.setattr(stored_answers, "installed_checks", lambda: (*CATALOGUE, CATALOGUE[0]))
    assert stored(["oci:good", "--timeout=71"]) is None


def test_what_was_logged_is_not_stored(monkeypatch):
    keep = stored_answers.AnswerRecorder.store

    def store(recorder, *arguments):
        cli.logging.getLogger("cosinspect.sources").warning("the registry warns")
        keep(recorder, *arguments)

    monkeypatch.setattr(stored_answers.AnswerRecorder, "store", store)
    assert stored(["oci:good", "--timeout=72"]) is None


def spoil(path):
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


CHANGES = {
    "the index": lambda place: (place / "changing" / "index.json").write_text("{}"),
    "the manifest": lambda place: [spoil(path) for path in _blobs(place) if b"config" in path.read_bytes()],
    "a settings file here": lambda place: (place / "cosinspect.toml").write_text("profile = 'kairos'"),
    "a settings file of the user": lambda place: (
        (place / ".config" / "cosinspect").mkdir(parents=True),
        (place / ".config" / "cosinspect" / "config.toml").write_text(""),
    ),
    "the settings file that a variable names": lambda place: (place / "named.toml").write_text(
        "[check]\njobs = 2\n"
    ),
    "a policy": lambda place: (place / "changing.toml").write_text(POLICY + "\n"),
    "a file of the image's name": lambda place: (place / "oci:changing").write_text(""),
    "the layout is gone": lambda place: (place / "changing").rename(place / "gone"),
}


def _blobs(place):
    return [
        path for path in (place / "changing" / "blobs" / "sha256").iterdir() if path.stat().st_size < 20_000
    ]


@pytest.mark.parametrize("change", CHANGES)
def test_an_answer_is_not_used_after_a_change(place, change, monkeypatch):
    shutil.rmtree(place / "changing", ignore_errors=True)
    derivative(None).write_layout(place / "changing")
    (place / "changing.toml").write_text(POLICY)
    words = ["oci:changing", "--policy", "changing.toml", f"--timeout={100 + list(CHANGES).index(change)}"]
    if "variable" in change:
        (place / "named.toml").write_text("[check]\njobs = 3\n")
        monkeypatch.setenv("COSINSPECT_CONFIG_FILE", "named.toml")
    assert stored(words) is not None
    try:
        CHANGES[change](place)
        assert ask(words).stored() is None
    finally:
        for path in ("cosinspect.toml", "oci:changing", ".config/cosinspect/config.toml"):
            (place / path).unlink(missing_ok=True)


def test_what_another_wrote_between_is_not_stored(place, monkeypatch):
    """The policy changes while the image is inspected: the answer belongs to neither."""
    (place / "between.toml").write_text(POLICY)
    show = stored_answers.AnswerRecorder.watching

    def watching(recorder):
        (place / "between.toml").write_text(POLICY + "\n")
        return show(recorder)

    monkeypatch.setattr(stored_answers.AnswerRecorder, "watching", watching)
    assert stored(["oci:good", "--policy=between.toml"]) is None


def test_the_answer_names_every_file_that_was_read(place):
    """Python reports each file that it opens; what is not installed, and not the cache, is named."""
    (place / "seen.toml").write_text(POLICY)
    program = (
        "import os, sys\n"
        "seen = set()\n"
        "sys.addaudithook(lambda event, given: event == 'open' and seen.add(os.fsdecode(given[0]))"
        " if event == 'open' and isinstance(given[0], (str, bytes)) else None)\n"
        "from cosinspect import cli\n"
        "cli.main(sys.argv[1:])\n"
        "sys.stderr.write('\\n'.join(seen))\n"
    )
    words = ["oci:good", "--policy", "seen.toml"]
    first = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=True
    )
    installed = (
        sys.prefix,
        sys.base_prefix,
        str(Path(cosinspect.__file__).parent),
        str(place / "cache"),
        os.environ.get("PYTHONPYCACHEPREFIX", sys.prefix),
        "/dev/",
        "/proc/",
        "/etc/",
    )
    opened = {str(Path(name).absolute()) for name in first.stderr.splitlines()}
    read = {name for name in opened if not name.startswith(installed)}
    answer = stored(words)
    assert answer is not None
    named = {str(Path(name).absolute()) for name in answer.files}
    # A layer's bytes match the digest in the manifest.
    manifests = {name for name in read if "/blobs/" not in name or Path(name).stat().st_size < 10_000}
    assert {str(place / "seen.toml"), str(place / "good" / "index.json")} <= read
    assert set() == {name for name in manifests - named if not _is_layer(Path(name))}


def _is_layer(path):
    return path.parent.name == "sha256" and path.read_bytes().startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd"))


# -- the program ---------------------------------------------------------------------------------------------------


def program(*words):
    """Run the program, and return its status, its output, its messages and the modules that it loaded."""
    code = (
        "import sys\n"
        "import cosinspect.start\n"
        "sys.argv = ['cosinspect', *sys.argv[1:]]\n"
        "try:\n"
        "    cosinspect.start.run()\n"
        "finally:\n"
        "    sys.stderr.write('modules: ' + ' '.join(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    told, _, modules = done.stderr.rpartition("modules: ")
    return done.returncode, done.stdout, told, set(modules.split())


def third_parties(modules):
    """The third-party distributions that modules belong to; some load themselves as the interpreter starts."""
    started = subprocess.run(
        [sys.executable, "-c", "import sys; print(' '.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    tops = {name.partition(".")[0] for name in modules - set(started.stdout.split())}
    return tops - sys.stdlib_module_names - {"cosinspect", "__main__"}


@pytest.mark.usefixtures("place")
def test_the_program_prints_the_same_again_and_loads_nothing_for_it():
    status, first, err, _ = program("./bad", "--timeout=77")
    again, second, further, modules = program("./bad", "--timeout=77")
    assert (1, 1, "", "") == (status, again, err, further)
    assert "0 bytes read" in second
    assert untimed(re.sub(r"[0-9.]+ k?B(?= read)", "0 bytes", first)) == untimed(second)
    assert set() == third_parties(modules)
    assert {name for name in modules if name.startswith("cosinspect")} == {
        "cosinspect",
        "cosinspect.cache",
        "cosinspect.cache.answers",
        "cosinspect.cache.code",
        "cosinspect.cache.location",
        "cosinspect.cache.record",
        "cosinspect.cost",
        "cosinspect.deferred",
        "cosinspect.start",
        "cosinspect.version",
    }
    assert not modules & {"argparse", "re", "json", "logging", "typing", "pathlib"}


@pytest.mark.usefixtures("place")
def test_an_answer_about_a_registry_is_used_while_the_name_means_the_same():
    with Registry() as registry:
        registry.push(derivative(None), "os:v1")
        words = [f"{registry.address}/os:v1"]
        status, first, err, _ = program(*words)
        asked = len(registry.requests)
        again, second, further, modules = program(*words)
        assert ((status, err), (again, further)) == ((0, ""), (0, ""))
        assert untimed(re.sub(r"[0-9.]+ k?B(?= read)", "0 bytes", first)) == untimed(second)
        assert ["/v2/os/manifests/v1"] == [request.path for request in registry.requests[asked:]]
        assert not third_parties(modules) & {"oras", "yaml", "rich"}
        assert "cosinspect.image.image" not in modules
        registry.push(derivative("kernel-dangling"), "os:v1")
        status, other, _, _ = program(*words)
        assert (1, True) == (status, other.startswith("FAIL"))
    status, out, err, _ = program(*words)
    assert (3, "") == (status, out)
    assert f"cosinspect: error: {words[0]}" in err
    assert (status, out, err) == run(words)


@pytest.mark.usefixtures("place")
def test_a_closed_pipe_and_a_full_disk_are_told_as_ever():
    words = ["./bad", "--timeout=77"]
    program(*words)
    command = [sys.executable, "-m", "cosinspect", *words]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (3, True) == (done.returncode, "No space left" in done.stderr)
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (141, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize("word", ["--help", "-h", "help", "--version", "version", ""])
def test_the_overview_is_printed_before_anything_is_imported(word):
    status, out, err, modules = program(*([word] if word else []))
    assert (0, "") == (status, err)
    assert out == run([word] if word else [], 80)[1]
    assert set() == third_parties(modules)
    assert {name for name in modules if name.startswith("cosinspect")} == {
        "cosinspect",
        "cosinspect.commands",
        "cosinspect.commands.command",
        "cosinspect.commands.overview",
        "cosinspect.deferred",
        "cosinspect.start",
        "cosinspect.version",
    }
    assert not modules & {"shutil", "typing", "pathlib", "hashlib"}


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (["ls", "oci:good"], {"attr", "attrs", "msgspec", "isal", "lz4", "zlib_ng", "zstandard", "backports"}),
        (["cat", "oci:good", "/etc/os-release"], {"attr", "attrs", "msgspec", "isal", "lz4", "zlib_ng", "zstandard", "backports"}),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("place")
def test_a_command_loads_what_it_uses(words, needed):
    """A layout needs no HTTP, no YAML, no rule, no report."""
    status, _, err, modules = program(*words)
    assert (0, "") == (status, err)
    found = third_parties(modules)
    assert set() == {name for name in found if name.strip("_") not in needed | {"typing_extensions"}}
    rooms = {name.split(".")[1] for name in modules if name.startswith("cosinspect.")}
    assert set() == rooms & {
        "attestation",
        "boot",
        "checks",
        "facts",
        "fleet",
        "inspection",
        "policy",
        "server",
    }
    assert "cosinspect.sources.registry" not in modules


def test_importing_the_package_loads_nothing():
    code = "import cosinspect, sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert {"cosinspect", "cosinspect.deferred"} == {
        name for name in modules if name.startswith("cosinspect")
    }
    assert set() == third_parties(modules)
