"""The command line as a process sees it: arguments in, bytes on two streams and a status out."""

from __future__ import annotations

import io
import json
import lzma
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cosinspect import __version__, cli, open_image
from cosinspect.checks import CATALOGUE
from cosinspect.commands import COMMANDS
from cosinspect.commands.command import Command
from cosinspect.commands.command import Terminal as Streams
from cosinspect.commands.progress import layer_bars
from cosinspect.testing import (
    BasicAuth,
    Device,
    Directory,
    Fault,
    Fifo,
    File,
    Hardlink,
    ImageBuilder,
    Registry,
    Symlink,
    Whiteout,
    image_index,
)
from cosinspect.testing.derivative import BREAKAGES, DEGRADATIONS, derivative

DATABASES = Path(__file__).parents[1] / "data" / "luetdb"
EVIL = "evil\x1b[2J\n\u202e"
LAYERS = [
    ({
        "etc": Directory(mode=0o755, mtime=1_714_564_800),
        "etc/motd": File("hello\n", mode=0o640, uid=1000, gid=100, mtime=1_714_564_800),
        "bin": Symlink("usr/bin"),
        "usr/bin/sh": File(b"\x7fELF\x00\xff", mode=0o4755),
        "usr/bin/bash": Hardlink("usr/bin/sh"),
        "boot/vmlinuz-6.4": "a kernel",
        "boot/vmlinuz": Symlink("vmlinuz-6.4"),
    }, "ADD rootfs.tar /"),
    ({
        "boot/vmlinuz-6.4": Whiteout(),
        "dev/null": Device("char", 1, 3, mode=0o666),
        "run/pipe": Fifo(mode=0o600),
        f"srv/{EVIL}": Symlink(EVIL),
        "srv/\udcff": File("", xattrs={"user.note": b"\xfe"}),
    }, "/bin/sh -c rm /boot/vmlinuz-6.4"),
]  # fmt: skip


class Terminal(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "DOCKER_CONFIG", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("HOME", str(tmp_path))


def run(*argv, out=io.TextIOWrapper, err=io.TextIOWrapper):
    """Run a command and give its status, what it wrote, and what it wrote to standard error."""
    streams = [kind(io.BytesIO(), "utf-8", newline="\n") for kind in (out, err)]
    status = cli.main([str(word) for word in argv], stdout=streams[0], stderr=streams[1])
    for stream in streams:
        stream.flush()
    return status, *(stream.buffer.getvalue() for stream in streams)


def text(*argv, **streams):
    """Run a command that must succeed in silence and give its text."""
    status, out, err = run(*argv, **streams)
    assert (0, b"") == (status, err)
    return out.decode("utf-8", "surrogateescape")


def refused(*argv):
    """Run a command that must fail in the right way and give its status and message."""
    status, out, err = run(*argv)
    line = err.decode()
    assert b"" == out
    assert line.startswith("cosinspect: error: ")
    assert line.endswith("\n")
    assert line[:-1].isprintable()
    return status, line.removeprefix("cosinspect: error: ").strip()


def process(*argv, **options):
    """Start the command as users do."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    environment |= options.pop("env", {})
    words = [sys.executable, "-m", "cosinspect", *(str(word) for word in argv)]
    return subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, **options)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    builder = ImageBuilder()
    for entries, step in LAYERS:
        builder = builder.layer(entries, created_by=step)
    return builder.build().write_layout(tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return derivative().write_layout(tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    return derivative("kernel-removed").write_layout(tmp_path_factory.mktemp("broken"))


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    built = ImageBuilder().layer({"a": "b"}).build()
    return built.replace_blob(built.layers[0], b"other bytes").write_layout(
        tmp_path_factory.mktemp("damaged")
    )


# -- which command ---------------------------------------------------------------------------------------------------


def report(*argv):
    status, out, _ = run(*argv, "--format", "json")
    document = json.loads(out)
    del document["stats"]
    return status, document


def test_a_name_that_is_no_command_is_checked(broken):
    assert report("check", broken) == report(broken)


def test_options_may_stand_before_the_name(broken):
    assert report("check", broken, "--profile", "boot") == report("--profile", "boot", broken)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_image_named_as_a_command_can_be_checked(name):
    command, arguments = cli._parse(["check", name])

    assert COMMANDS["check"] is command
    assert name == arguments.image


def test_options_may_stand_between_image_and_path(image):
    assert "hello\n" == text("cat", image, "--quiet", "/etc/motd")


def test_the_overview_tells_of_every_command():
    overview = text("--help")

    for command in COMMANDS.values():
        assert re.search(rf"^  {command.name} .*{re.escape(command.summary)}$", overview, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name):
    assert f"usage: cosinspect {name} " in text(name, "--help")


@pytest.mark.parametrize("word", ["version", "--version"])
def test_the_version_is_told(word):
    assert f"cosinspect {__version__}\n" == text(word)


def test_without_arguments_the_overview_is_printed():
    assert text("--help") == text() == text("help")
    assert text("ls", "--help") == text("help", "ls")


# -- exit status -----------------------------------------------------------------------------------------------------


def test_a_good_derivative_passes(good):
    assert text("check", good).startswith(f"PASS  {good} can boot and install\n")


def test_a_broken_derivative_fails(broken):
    status, out, err = run("check", broken)

    assert (1, b"") == (status, err)
    assert out.decode().startswith(f"FAIL  {broken} cannot boot, cannot install\n")
    assert "COS010 kernel-missing" in out.decode()


def test_what_cannot_be_decided_is_undecided(tmp_path):
    good = derivative(generation="bootc").write_layout(tmp_path / "image")
    profile = tmp_path / "strict.toml"
    profile.write_text("name = 'strict'\nrequired = ['boot', 'recovery']\n")

    status, out, err = run("check", good, "--profile", profile)

    assert (3, b"") == (status, err)
    assert " ".join(out.decode().split()).startswith(f"UNDECIDED {good} unknown whether it can ")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["ls", "oci:/nowhere", "--jobs", "0"], "--jobs: expected a number from 1 to 64, found '0'"),
        (
            ["check", "oci:/nowhere", "--jobs", "65"],
            "--jobs: expected a number from 1 to 64, found '65'",
        ),
        (["ls"], "expected IMAGE, found nothing; see cosinspect ls --help"),
        (["cat", "oci:x"], "expected PATH, found nothing"),
        (["check", "a", "b"], "expected one image, found 2; for several images: cosinspect scan a b"),
        (["histroy", "oci:x", "/a"], "did you mean the command history?"),
        (["check", "oci:x", "--frobnicate"], "there is no option --frobnicate; see cosinspect check --help"),
        (["check", "oci:x", "--plat", "linux/amd64"], "there is no option --plat; did you mean --platform?"),
        (
            ["check", "oci:x", "--format", "xml"],
            "--format: expected one of text, json, sarif, junit, github, markdown, html, found 'xml'",
        ),
        (["check", "oci:x", "--platform", "linux"], "expected a platform such as linux/amd64"),
        (["check", "oci:x", "--profile", "nonsense"], "there is no profile 'nonsense'"),
        (["check", "oci:x", "--profile", "/nonexistent.toml"], "the profile cannot be read"),
        (["check", "oci:x", "--output", "/nonexistent/report"], "the directory /nonexistent does not exist"),
        (["check", "oci:x", "--output", "/"], "expected a file, / is a directory"),
        (["Quay.io/Org/Os"], "upper case is not allowed"),
        (["an \x1b[31m image"], "expected an image name without blanks"),
        (["ls", "containers-storage:x"], "needs a daemon or a local store"),
        (["checks", "COS000"], "there is no check 'COS000'; did you mean COS"),
        (["checks", "kernel-mising"], "did you mean COS010 (kernel-missing)"),
        (["checks", "\u202e"], "there is no check '\\u202e'; cosinspect checks lists them"),
        (["demo", "--broken", "nonsense"], "expected one of "),
        (["demo", "extra"], "expected nothing more, found extra"),
    ],
)
def test_wrong_use_is_2(argv, message):
    status, line = refused(*argv)

    assert 2 == status
    assert message in line


@pytest.mark.parametrize("command", [["check"], ["ls"], ["packages"], ["cat", "/a"], ["history", "/a"]])
def test_what_is_damaged_or_not_there_is_3(damaged, command):
    word, *path = command

    assert 3 == refused(word, damaged, *path)[0]
    assert 3 == refused(word, "oci:/nonexistent", *path)[0]


def test_a_registry_that_does_not_answer_is_3():
    status, line = refused("localhost:1/a")

    assert 3 == status
    assert "refuses the connection" in line


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["ls", "/nothing"], "/nothing is not there"),
        (["ls", "/etc/motd/x"], "expected a directory at /etc/motd"),
        (["cat", "/boot/vmlinuz"], "/boot/vmlinuz-6.4 is not there (/boot/vmlinuz -> vmlinuz-6.4)"),
        (["cat", "/etc"], "expected a regular file, found a dir"),
        (["cat", f"/{EVIL}"], "/evil\\x1b[2J\\n\\u202e is not there"),
        (["history", "/nothing"], "/nothing: no layer ever had it"),
    ],
)
def test_a_path_that_the_image_does_not_have_is_1(image, argv, message):
    word, path = argv
    status, line = refused(word, image, path)

    assert 1 == status
    assert message in line


def failing(run):
    """The command check, with another `run`."""
    return Command("check", "IMAGE", "check an image", COMMANDS["check"].configure, run)


@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        (KeyboardInterrupt(), 130, "cosinspect: interrupted\n"),
        (BrokenPipeError(32, "Broken pipe"), 141, ""),
        (
            OSError(28, "No space left on device", "/x"),
            3,
            "cosinspect: error: /x: No space left on device; free some space, or write elsewhere\n",
        ),
    ],
)
def test_what_ends_a_command_is_told_without_a_traceback(monkeypatch, fault, status, said):
    def fail(*_):
        raise fault

    monkeypatch.setattr(cli, "COMMANDS", {"check": failing(fail)})

    assert (status, b"", said.encode()) == run("check", "x")


def test_a_fault_of_our_own_is_one_line_that_says_where(monkeypatch):
    def fail(*_):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(cli, "COMMANDS", {"check": failing(fail)})
    status, line = refused("check", "x")

    assert 3 == status
    assert re.fullmatch(
        rf"internal error, please report it: RuntimeError: two\\nlines \(test_cli\.py, line \d+, version {__version__}\)",
        line,
    )


# -- check -----------------------------------------------------------------------------------------------------------


def test_a_report_can_be_written_to_a_file(broken, tmp_path):
    path = tmp_path / "report.json"

    status, out, err = run("check", broken, "--format", "json", "--output", path, out=Terminal)

    assert (1, b"", b"") == (status, out, err)
    assert "fail" == json.loads(path.read_text())["verdict"]


def test_a_report_in_a_file_has_no_colour(broken, tmp_path):
    run("check", broken, "-o", tmp_path / "report", out=Terminal)

    assert "\x1b" not in (tmp_path / "report").read_text()


def test_a_dash_is_standard_output(good):
    assert text("check", good, "-o", "-").startswith("PASS")


def test_an_old_report_stays_when_there_is_no_new_one(damaged, tmp_path):
    (tmp_path / "report").write_text("old")

    assert 3 == refused("check", damaged, "-o", tmp_path / "report")[0]
    assert "old" == (tmp_path / "report").read_text()


def test_colour_is_for_terminals(good, monkeypatch):
    assert "\x1b" not in text("check", good)
    assert "\x1b[1;32mPASS" in text("check", good, out=Terminal)
    assert "\x1b" not in text("check", good, "--no-color", out=Terminal)
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in text("check", good, out=Terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in text("check", good, out=Terminal)
    monkeypatch.setenv("NO_COLOR", "")
    assert "\x1b" in text("check", good, out=Terminal)


def test_json_is_the_same_on_a_terminal(good):
    _, document = report("check", good)

    seen = json.loads(text("check", good, "--format", "json", out=Terminal))

    assert document == {key: value for key, value in seen.items() if key != "stats"}


def test_progress_is_for_terminals(good):
    def shown(*argv, **streams):
        return run("check", good, *argv, **streams)[2].decode()

    assert "4 layers" in shown(err=Terminal)
    assert "" == shown("--quiet", err=Terminal)
    assert "" == shown()


def test_a_layer_has_a_bar_while_it_is_read(good):
    stream = Terminal(io.BytesIO(), "utf-8")
    with open_image(good) as opened, layer_bars(Streams(stream, stream, progress=True)) as bars:
        bars.begin(opened)
        bars.advance(opened.layers[0], 1)
    stream.flush()

    assert opened.layers[0].descriptor.digest.encoded[:12] in stream.buffer.getvalue().decode()


def test_the_platform_chooses_from_an_index(tmp_path):
    built = image_index(derivative(architecture="amd64"), derivative(architecture="arm64"))
    name = built.write_layout(tmp_path)

    for architecture in ("amd64", "arm64"):
        status, document = report("check", name, "--platform", f"linux/{architecture}")
        assert (0, f"linux/{architecture}") == (status, document["image"]["platform"])
    status, line = refused("check", name, "--platform", "linux/s390x")
    assert 3 == status
    assert "linux/amd64" in line
    assert "linux/arm64" in line


def test_a_wrong_diff_id_matters_unless_told_otherwise(tmp_path):
    lying = ImageBuilder().layer({"a": "b"}, diff_id="sha256:" + "0" * 64).build()
    name = lying.write_layout(tmp_path)

    assert 3 == refused("ls", name)[0]
    assert text("ls", name, "--no-diff-ids").endswith("/a  [layer 0]\n")


def test_credentials_come_from_the_directory_that_is_named(tmp_path, monkeypatch):
    given, other = tmp_path / "given", tmp_path / "other"
    with Registry(auth=BasicAuth("me", "secret")) as registry:
        name = registry.push(ImageBuilder().layer({"a": "b"}).build(), "org/os:v1")
        for directory, word in ((given, "bWU6c2VjcmV0"), (other, "bWU6d3Jvbmc=")):
            directory.mkdir()
            auths = {"auths": {registry.address: {"auth": word}}}
            (directory / "config.json").write_text(json.dumps(auths))

        assert 3 == refused("ls", name)[0]
        assert text("ls", name, "--docker-config", given).endswith("/a  [layer 0]\n")
        monkeypatch.setenv("DOCKER_CONFIG", str(given))
        assert text("ls", name).endswith("/a  [layer 0]\n")
        status, line = refused("ls", name, "--docker-config", other)
        assert 3 == status
        assert "wrong" not in line


# -- ls --------------------------------------------------------------------------------------------------------------

DIRECTORY = {"type": "dir", "mode": 0o755, "uid": 0, "gid": 0, "size": 0, "mtime": 0}
FILE = {"type": "file", "mode": 0o644, "uid": 0, "gid": 0, "size": 0, "mtime": 0}
NAMES = ["/usr/bin/bash", "/usr/bin/sh"]
TREE = [
    {"path": "/", **DIRECTORY, "layer": 0},
    {"path": "/bin", **FILE, "type": "symlink", "mode": 0o777, "link": "usr/bin", "layer": 0},
    {"path": "/boot", **DIRECTORY, "layer": 1},
    {"path": "/boot/vmlinuz", **FILE, "type": "symlink", "mode": 0o777, "link": "vmlinuz-6.4", "layer": 0},
    {"path": "/dev", **DIRECTORY, "layer": 1},
    {"path": "/dev/null", **FILE, "type": "char", "mode": 0o666, "layer": 1, "device": [1, 3]},
    {"path": "/etc", **DIRECTORY, "mtime": 1_714_564_800, "layer": 0},
    {
        "path": "/etc/motd", "type": "file", "mode": 0o640, "uid": 1000, "gid": 100, "size": 6,
        "mtime": 1_714_564_800, "layer": 0,
    },
    {"path": "/run", **DIRECTORY, "layer": 1},
    {"path": "/run/pipe", **FILE, "type": "fifo", "mode": 0o600, "layer": 1},
    {"path": "/srv", **DIRECTORY, "layer": 1},
    {"path": f"/srv/{EVIL}", **FILE, "type": "symlink", "mode": 0o777, "link": EVIL, "layer": 1},
    {
        "path": "/srv/\\xff", **FILE, "layer": 1, "xattrs": {"user.note": "\\xfe"},
        "escaped": ["/path", "/xattrs/user.note"],
    },
    {"path": "/usr", **DIRECTORY, "layer": 0},
    {"path": "/usr/bin", **DIRECTORY, "layer": 0},
    {"path": "/usr/bin/bash", **FILE, "mode": 0o4755, "size": 6, "layer": 0, "hardlinks": NAMES},
    {"path": "/usr/bin/sh", **FILE, "mode": 0o4755, "size": 6, "layer": 0, "hardlinks": NAMES},
]  # fmt: skip


def listed(*argv):
    lines = text("ls", *argv, "--format", "json").splitlines()
    assert all(line.isascii() for line in lines)
    return [json.loads(line) for line in lines]


def test_the_whole_tree_is_listed_with_its_root(image):
    assert TREE == listed(image, "-R")


@pytest.mark.parametrize(
    ("path", "paths"),
    [
        ("/", ["/bin", "/boot", "/dev", "/etc", "/run", "/srv", "/usr"]),
        ("boot", ["/boot/vmlinuz"]),
        ("/bin", ["/usr/bin/bash", "/usr/bin/sh"]),
        ("/bin/", ["/usr/bin/bash", "/usr/bin/sh"]),
        ("/bin/sh", ["/usr/bin/sh"]),
        ("/boot/vmlinuz", ["/boot/vmlinuz"]),
        ("/etc/../dev//null", ["/dev/null"]),
    ],
)
def test_a_directory_is_listed_by_what_is_in_it_and_anything_else_by_itself(image, path, paths):
    found = listed(image, path)

    assert paths == [entry["path"] for entry in found]
    assert all(entry in TREE for entry in found)


def test_below_a_path_its_directory_comes_first(image):
    assert ["/usr/bin", "/usr/bin/bash", "/usr/bin/sh"] == [
        entry["path"] for entry in listed(image, "-R", "/bin")
    ]


def test_an_empty_directory_lists_nothing(tmp_path):
    name = ImageBuilder().layer({"empty": Directory()}).build().write_layout(tmp_path)

    assert "" == text("ls", name, "/empty")


def test_text_has_a_line_for_each_name_and_nothing_that_reaches_the_terminal(image):
    assert text("ls", "-R", image).splitlines() == [
        "drwxr-xr-x  0:0                  0  1970-01-01T00:00:00Z  /  [layer 0]",
        "lrwxrwxrwx  0:0                  0  1970-01-01T00:00:00Z  /bin -> usr/bin  [layer 0]",
        "drwxr-xr-x  0:0                  0  1970-01-01T00:00:00Z  /boot  [layer 1]",
        "lrwxrwxrwx  0:0                  0  1970-01-01T00:00:00Z  /boot/vmlinuz -> vmlinuz-6.4  [layer 0]",
        "drwxr-xr-x  0:0                  0  1970-01-01T00:00:00Z  /dev  [layer 1]",
        "crw-rw-rw-  0:0               1, 3  1970-01-01T00:00:00Z  /dev/null  [layer 1]",
        "drwxr-xr-x  0:0                  0  2024-05-01T12:00:00Z  /etc  [layer 0]",
        "-rw-r-----  1000:100             6  2024-05-01T12:00:00Z  /etc/motd  [layer 0]",
        "drwxr-xr-x  0:0                  0  1970-01-01T00:00:00Z  /run  [layer 1]",
        "prw-------  0:0                  0  1970-01-01T00:00:00Z  /run/pipe  [layer 1]",
        "drwxr-xr-x  0:0                  0  1970-01-01T00:00:00Z  /srv  [layer 1]",
        "lrwxrwxrwx  0:0                  0  1970-01-01T00:00:00Z  /srv/evil\\x1b[2J\\n\\u202e -> evil\\x1b[2J\\n\\u202e  [layer 1]",
        "-rw-r--r--  0:0                  0  1970-01-01T00:00:00Z  /srv/\\xff  [layer 1]",
        "drwxr-xr-x  0:0                  0  1970-01-01T00:00:00Z  /usr  [layer 0]",
        "drwxr-xr-x  0:0                  0  1970-01-01T00:00:00Z  /usr/bin  [layer 0]",
        "-rwsr-xr-x  0:0                  6  1970-01-01T00:00:00Z  /usr/bin/bash = /usr/bin/sh  [layer 0]",
        "-rwsr-xr-x  0:0                  6  1970-01-01T00:00:00Z  /usr/bin/sh = /usr/bin/bash  [layer 0]",
    ]


# -- cat -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/usr/bin/sh", "usr/bin/sh", "/bin/sh", "/bin/bash", "//usr/./bin/sh"])
def test_a_file_is_written_byte_by_byte(image, path):
    assert (0, b"\x7fELF\x00\xff", b"") == run("cat", image, path)


def test_a_file_larger_than_any_piece_is_written_whole(tmp_path):
    content = os.urandom(1 << 16) * 50
    name = ImageBuilder().layer({"big": content, "link": Symlink("big")}).build().write_layout(tmp_path)

    assert (0, content, b"") == run("cat", name, "/big")
    assert (0, content, b"") == run("cat", name, "/link")


def test_bytes_that_turn_out_wrong_at_the_end_are_disowned():
    """The first pass is sound; the second, which a link needs, meets another byte behind the file."""
    layer = {"file": "content\n", "link": Symlink("file"), "last": "x" * 4096}
    built = ImageBuilder().layer(layer, compression="none").build()
    blob = f"*{built.layers[0]}"
    faults = [Fault.header(blob, "X-First", "pass"), Fault.corrupt(blob, -2000)]
    with Registry(faults=faults) as registry:
        name = registry.push(built, "org/os:v1")

        status, out, err = run("cat", name, "/link")

        assert () == registry.unused_faults
    assert (3, b"content\n") == (status, out)
    assert err.decode().endswith("do not use the 8 bytes already written: they are not verified\n")


# -- history ---------------------------------------------------------------------------------------------------------


def test_history_names_what_each_layer_did_and_its_step(image):
    assert text("history", image, "/boot/vmlinuz-6.4").splitlines() == [
        "layer 0    added       file, 8 bytes",
        "           ADD rootfs.tar /",
        "layer 1    removed     by /boot/.wh.vmlinuz-6.4",
        "           rm /boot/vmlinuz-6.4",
    ]


def test_history_in_json_has_the_whole_step(image):
    digests = [layer["digest"] for layer in report("check", image)[1]["image"]["layers"]]

    assert json.loads(text("history", image, "boot/vmlinuz-6.4", "--format", "json")) == [
        {
            "layer": 0, "digest": digests[0], "action": "added", "cause": "/boot/vmlinuz-6.4", "type": "file",
            "size": 8, "link": "", "created_by": "ADD rootfs.tar /",
        },
        {
            "layer": 1, "digest": digests[1], "action": "removed", "cause": "/boot/.wh.vmlinuz-6.4", "type": "",
            "size": 0, "link": "", "created_by": "/bin/sh -c rm /boot/vmlinuz-6.4",
        },
    ]  # fmt: skip


def test_history_in_text_is_harmless(tmp_path):
    name = ImageBuilder().layer({EVIL: Symlink(EVIL)}, created_by=EVIL).build().write_layout(tmp_path)

    lines = text("history", name, EVIL).splitlines()

    assert [
        "layer 0    added       symlink -> evil\\x1b[2J\\n\\u202e",
        "           evil\\x1b[2J \\u202e",
    ] == lines


def test_a_step_that_the_image_does_not_tell_is_not_made_up(tmp_path):
    built = ImageBuilder().layer({"a": "b"}).edit_config(lambda config: config.pop("history")).build()

    assert "the image does not name the build step" in text("history", built.write_layout(tmp_path), "/a")


# -- packages --------------------------------------------------------------------------------------------------------


def database(name):
    return lzma.decompress((DATABASES / f"{name}.xz").read_bytes())


@pytest.fixture(scope="module")
def packaged(tmp_path_factory):
    layer = {
        "var/luet/luet.db": database("luet-0.20.6-minimal.db"),
        "opt/other/luet.db": database("bad-cycle-self.db"),
    }
    builder = ImageBuilder().layer({"etc/os-release": "ID=cos\n"}).layer(layer)
    return builder.build().write_layout(tmp_path_factory.mktemp("packaged"))


def expected_packages(name):
    known = json.loads((DATABASES / "expected.json").read_text())["files"][name]
    return sorted(
        (item["category"], item["name"], item["version"], item["files"]) for item in known["installed"]
    )


def undecided(*argv):
    """Run a command that decides a part and return its text."""
    status, out, err = run(*argv)
    assert (3, b"") == (status, err)
    return out.decode("utf-8", "surrogateescape")


def test_packages_of_every_database_are_listed(packaged):
    found = json.loads(undecided("packages", packaged, "--format", "json"))

    assert ["schema", "image", "databases"] == list(found)
    read, unread = sorted(found["databases"], key=lambda item: item["path"], reverse=True)
    assert {"path", "layer", "type", "readable", "problems", "packages"} == set(read) == set(unread)
    assert ("/var/luet/luet.db", 1, "luet", True) == (
        read["path"],
        read["layer"],
        read["type"],
        read["readable"],
    )
    assert unread["readable"] is False
    assert expected_packages("luet-0.20.6-minimal.db") == sorted(
        (item["category"], item["name"], item["version"], item["files"]) for item in read["packages"]
    )
    assert ("/opt/other/luet.db", []) == (unread["path"], unread["packages"])
    assert any("cycle" in problem for problem in unread["problems"])


def test_packages_in_text_are_a_table(packaged):
    lines = undecided("packages", packaged).splitlines()

    wanted = [
        f"{category}/{name} {version} {len(files)} file{'' if len(files) == 1 else 's'} layer 1"
        for category, name, version, files in expected_packages("luet-0.20.6-minimal.db")
    ]
    assert f"/var/luet/luet.db  [layer 1]  {len(wanted)} luet packages" in lines
    assert wanted == [" ".join(line.split()) for line in lines if re.search(r" files? +layer 1$", line)]
    assert "/opt/other/luet.db  [layer 1]  unreadable" in lines
    assert any(line.startswith("  undecided: unreadable: ") and "cycle" in line for line in lines)


def test_packages_of_one_kind(tmp_path):
    layer = {
        "var/lib/dpkg/status": DEB.format(name="a", version="1"),
        "lib/apk/db/installed": "P:musl\nV:1.2.2-r3\nA:armv7\n",
    }
    name = ImageBuilder().layer(layer).build().write_layout(tmp_path)

    assert ["deb", "apk"] == [
        each["type"] for each in json.loads(text("packages", name, "--format", "json"))["databases"]
    ]
    assert "/lib/apk/db/installed  [layer 0]  1 apk package\n  musl  1.2.2-r3  armv7  layer 0\n" == text(
        "packages", name, "--type", "apk"
    )
    assert "no package database of luet or rpm in this image\n" == text(
        "packages", name, "--type", "luet", "--type", "rpm"
    )


DEB = "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n"


def test_a_difference_of_packages_of_every_kind(tmp_path):
    left, right = (
        ImageBuilder()
        .layer(
            {"var/lib/dpkg/status": DEB.format(name="libc6", version=version), "lib/apk/db/installed": other}
        )
        .build()
        .write_layout(tmp_path / version)
        for version, other in (("2.36-9", "P:musl\nV:1\n"), ("2.41-1", "damaged\n"))
    )

    status, out, _ = run("diff", left, right)
    lines = out.decode().splitlines()
    assert 1 == status
    assert "  ~ deb:libc6  2.36-9 -> 2.41-1" in lines
    reason = "/lib/apk/db/installed: unreadable: syntax: expected a field, X:VALUE, in line 1"
    assert f"+ packages undecided: {reason}" in lines
    assert "  - apk:musl  1" not in lines

    _, out, _ = run("diff", left, right, "--format", "json")
    assert [[], [reason]] == json.loads(out)["undecided_packages"]


def test_an_image_without_a_database_says_so(image):
    assert "no package database in this image\n" == text("packages", image)
    assert [] == json.loads(text("packages", image, "--format", "json"))["databases"]


# -- checks ----------------------------------------------------------------------------------------------------------


def test_the_catalogue_lists_every_check():
    lines = text("checks").splitlines()

    assert [item.id for item in CATALOGUE] == [line.split()[0] for line in lines if line.startswith("COS")]
    assert all(len(line) <= 100 for line in lines)
    listed = json.loads(text("checks", "--format", "json"))
    assert [(item.id, item.name, item.level.value, item.summary) for item in CATALOGUE] == [
        (item["id"], item["name"], item["level"], item["summary"]) for item in listed
    ]


@pytest.mark.parametrize("word", ["COS010", "cos010", "kernel-missing"])
def test_one_check_is_told_in_full(word):
    item = next(item for item in CATALOGUE if item.id == "COS010")
    told = " ".join(text("checks", word).split())

    for part in (item.id, item.name, item.level.value, item.summary, item.why, item.remedy):
        assert part in told
    for capability in item.capabilities:
        assert capability.value in told
    assert json.loads(text("checks", word, "--format", "json")) == {
        "id": item.id,
        "name": item.name,
        "level": item.level.value,
        "capabilities": [capability.value for capability in item.capabilities],
        "summary": item.summary,
        "why": item.why,
        "remedy": item.remedy,
    }


# -- demo ------------------------------------------------------------------------------------------------------------


def test_the_demonstration_passes_and_says_what_it_does():
    status, out, err = run("demo")

    assert 0 == status
    assert re.fullmatch(rb"built a small derivative; serving it from 127\.0\.0\.1:\d+\n", err)
    assert re.match(rb"PASS  127\.0\.0\.1:\d+/cos/derivative:demo can boot and install\n", out)


def test_a_broken_demonstration_fails_for_the_reason_it_was_broken_for():
    status, out, err = run("demo", "--broken", "initrd-without-cos", "--format", "json", "--quiet")

    assert (1, b"") == (status, err)
    failed = [result["check"] for result in json.loads(out)["results"] if result["kind"] == "fail"]
    assert [BREAKAGES["initrd-without-cos"].check] == failed


def test_the_ways_to_break_it_are_listed():
    lines = text("demo", "--list").splitlines()

    words = [line.split()[:2] for line in lines if not line.startswith(" ")]
    kinds = {**BREAKAGES, **DEGRADATIONS}
    assert [[kind, breakage.check] for kind, breakage in kinds.items()] == words


# -- the process -----------------------------------------------------------------------------------------------------


def test_the_module_is_the_command(broken):
    with process("check", broken, stdout=subprocess.PIPE) as running:
        out, err = running.communicate(timeout=600)

    assert (1, b"") == (running.returncode, err)
    assert out.startswith(b"FAIL")


def test_a_reader_that_goes_away_is_no_error(image):
    read, write = os.pipe()
    os.close(read)
    with process("ls", "-R", image, stdout=write) as running:
        os.close(write)
        err = running.communicate(timeout=600)[1]

    assert (141, b"") == (running.returncode, err)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
def test_a_full_device_is_one_line(image):
    with Path("/dev/full").open("wb") as full, process("ls", image, stdout=full) as running:
        err = running.communicate(timeout=600)[1]

    assert (3, b"cosinspect: error: No space left on device; free some space, or write elsewhere\n") == (
        running.returncode,
        err,
    )


def test_a_process_without_standard_output_still_gives_its_verdict(broken):
    words = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "cosinspect", "check", broken]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

    done = subprocess.run(words, env=environment, capture_output=True, timeout=600, check=False)

    assert (1, b"") == (done.returncode, done.stderr)


def test_what_the_locale_cannot_say_is_escaped(tmp_path):
    name = ImageBuilder().layer({"größe": ""}).build().write_layout(tmp_path)
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}

    with process("ls", name, stdout=subprocess.PIPE, env=ascii_only) as running:
        out, err = running.communicate(timeout=600)

    assert (0, b"") == (running.returncode, err)
    assert b"/gr\\xf6\\xdfe  [layer 0]" in out


def test_an_interrupt_ends_it_without_a_traceback():
    built = ImageBuilder().layer({"a": "b"}).build()
    with Registry(faults=[Fault.stall("*manifests*", 60)]) as registry:
        name = registry.push(built, "org/os:v1")
        with process("check", name, stdout=subprocess.PIPE) as running:
            while not registry.requests and running.poll() is None:
                time.sleep(0.01)  # its first request is the sign that it is at work
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=600)

    assert (130, b"", b"cosinspect: interrupted\n") == (running.returncode, out, err)
