"""Names and contents that would move a terminal, seen through the command: always made visible, never obeyed."""

import json
from xml.etree import ElementTree as ET

import pytest
from attrs import evolve

from cosinspect.report.json_text import restored
from cosinspect.testing import (
    Device,
    Directory,
    Fifo,
    File,
    Hardlink,
    ImageBuilder,
    Opaque,
    RawName,
    Symlink,
    Whiteout,
)
from cosinspect.testing.bootfiles import linux_kernel, unified_kernel_image
from cosinspect.testing.derivative import derivative, derivative_of
from cosinspect.testing.derivative.parts import parts_of
from stacks import SCALE

EVIL = {
    "erase": "\x1b[2J\x1b[1;1H",
    "title": "\x1b]0;owned\x07",
    "link": "\x1b]8;;http://x/\x1b\\here",
    "c1": "\x9b31mred",
    "return": "good\rbad",
    "newline": "good\nPASS  all is well",
    "tab": "a\tb",
    "backspace": "bad\b\b\bgood",
    "delete": "a\x7f",
    "override": "\u202egnp.exe",
    "isolate": "\u2066a\u2069",
    "separator": "a\u2028b\u2029c\x85d",
    "invisible": "a\u200b\u2060\ufeff\u00ad",
    "tags": "a\U000e0041\U000e007f",
    "bytes": "\udcff\udc9b31m\udc80",
    "surrogates": "\udcc3\udcff(",
    "unassigned": "\u0378\U0010ffff",
    "markup": "[bold red]x[/bold red] [/] [link=file:///etc] :skull:",
    "template": "{0} {name!r} %s %(x)s ${HOME} $(id) `id`",
}
ALL = "".join(EVIL.values())


def document(text):
    """What of a text a JSON document can hold."""
    return text.encode("utf-8", "ignore").decode()


def modes(run, word, name, *arguments):
    """Run a command for people, for programs, and on a terminal in colour."""
    yield run(word, name, *arguments)
    yield run(word, name, *arguments, color=True)
    if word != "cat":
        yield run(word, name, *arguments, "--format", "json")


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """An image in which everything that can have a name has an evil one."""
    builder = ImageBuilder(labels={document(ALL): document(ALL)}, env=[f"A={document(ALL)}"])
    for step, text in EVIL.items():
        name = text.replace("/", "\u2044")
        builder = builder.layer(
            {
                f"srv/{name}": File(
                    "content", xattrs={f"user.{step}": text.encode("utf-8", "surrogateescape")}
                ),
                f"srv/{name} d": Directory(),
                f"srv/{name} d/{name}": "",
                f"srv/{name} l": Symlink(text),
                f"srv/{name} h": Hardlink(f"srv/{name}"),
                f"srv/{name} f": Fifo(),
                f"srv/{name} c": Device("char", 1, 3),
                f"gone/{name}": "",
            },
            created_by=f"RUN {document(text)}",
        )
    builder = builder.layer(
        {f"gone/{text.replace('/', chr(0x2044))}": Whiteout() for text in EVIL.values()},
        created_by=document(ALL),
    ).layer({f"srv/{EVIL['erase']} d": Opaque()}, created_by=document(ALL))
    return builder.build().write_layout(tmp_path_factory.mktemp("named"))


@pytest.mark.parametrize("word", ["check", "ls", "packages"])
def test_no_name_of_an_image_is_written_raw(command, named, word):
    for run in modes(command, word, named):
        assert run.status in ((0,) if word != "check" else (1, 3))


def test_no_name_is_written_raw_by_a_long_listing(command, named):
    for run in modes(command, "ls", named, "-R"):
        assert 0 == run.status
        assert run.text.count("\n") > 100
    for run in modes(command, "ls", named, "/srv"):
        assert 0 == run.status


@pytest.mark.parametrize("step", EVIL)
def test_no_name_that_is_asked_for_is_written_raw(command, named, step):
    name = EVIL[step].replace("/", "\u2044")
    for path, status in (
        (f"/srv/{name}", 0),
        (f"/gone/{name}", 1),
        (f"/srv/{name} d", 1),
        (f"/srv/{name} f", 1),
    ):
        assert status == command("cat", named, path).status
    assert b"content" == command("cat", named, f"/srv/{name}").out
    for path in (f"/srv/{name} l", f"/srv/{name} h", f"/srv/{name} c", f"/srv/{name} d/{name}/x", f"/{ALL}"):
        command("cat", named, path)
        for word in ("ls", "history"):
            for run in modes(command, word, named, path):
                assert run.status in (0, 1)
    for run in modes(command, "history", named, f"/gone/{name}"):
        assert 0 == run.status


def test_names_come_out_of_json_as_they_are(command, named):
    paths = {
        restored(json.loads(line))["path"]
        for line in command("ls", named, "-R", "--format", "json").text.splitlines()
    }
    assert {f"/srv/{text.replace('/', chr(0x2044))}" for text in EVIL.values()} <= paths


def test_no_name_is_written_raw_by_a_process_of_its_own(command, named):
    for word, *arguments in (["check"], ["ls", "-R"], ["history", f"/srv/{EVIL['erase']}"], ["packages"]):
        run = command.process(word, named, *arguments)
        assert run.status in (0, 1, 3)


@pytest.mark.parametrize("form", ["sarif", "junit", "github", "markdown"])
def test_no_form_of_a_report_has_a_name_raw(command, named, form):
    """SARIF and XML must be well-formed besides; the other two are lines."""
    run = command("check", named, "--format", form)
    assert run.status in (1, 3)
    if form == "sarif":
        assert json.loads(run.text)["version"] == "2.1.0"
    if form == "junit":
        assert list(ET.fromstring(run.text).iter("testcase"))


@pytest.mark.parametrize("step", EVIL)
def test_no_explanation_has_a_name_raw(command, named, step):
    name = EVIL[step].replace("/", "\u2044")
    for arguments in ((), (f"/srv/{name}",), (f"/srv/{name} l",), (f"/gone/{name}",), (EVIL[step],)):
        for run in modes(command, "explain", named, *arguments):
            assert run.status in (0, 1, 2, 3)


def test_progress_tells_nothing_of_the_image(command, named):
    assert b"layers" in command("check", named, bars=True).err


@pytest.mark.parametrize("step", EVIL)
def test_no_argument_is_written_raw(command, named, step, tmp_path):
    text = EVIL[step]
    for argv in (
        [text],
        ["check", f"oci:{tmp_path}/{text}"],
        ["check", f"localhost:1/{text}"],
        ["check", named, "--profile", text],
        ["check", named, "--platform", text],
        ["check", named, "--output", f"{tmp_path}/nowhere/{text}"],
        ["check", named, f"--{text}"],
        ["checks", text],
        ["ls", f"oci-archive:{tmp_path}/{text}"],
        ["ls", f"dir:{tmp_path}/{text}"],
        ["demo", "--broken", text],
    ):
        assert command(*argv).status in (2, 3)


# -- contents ------------------------------------------------------------------------------------------------------

LAYERS = ("base", "kernel", "packages", "boot")


def texts():
    """The text files of a derivative, by layer and path."""
    parts = parts_of("G2", "amd64")
    for layer in LAYERS:
        for path, entry in getattr(parts, layer).items():
            if path.startswith(("opt/", "usr/sbin/", "usr/bin/", "var/cache/zypp", "etc/hosts")):
                continue  # nobody reads them
            content = entry.content if isinstance(entry, File) else entry
            if isinstance(content, bytes) and content.isascii() and content.count(b"\n") > 0:
                content = content.decode()
            if isinstance(content, str) and content:
                yield layer, path, content


def spoilt(content, evil):
    """Put something evil at several places, as a word and within words, values and quotes."""
    for number in (0, 2, 5, 13):
        at = [index for index, character in enumerate(content) if not character.isalnum()]
        if number < len(at):
            yield content[: at[number]] + evil + content[at[number] :]
            yield content[: at[number] + 1] + evil + content[at[number] + 1 :]
    at = content.find("=") + 1 or content.find(": ") + 2
    yield content[:at] + evil + content[at:].split("\n")[0] + evil + content[at:]
    yield content.replace("/", f"/{evil}")
    yield "".join(f"{line}{evil}\n" for line in content.splitlines())
    yield evil * 20


@pytest.mark.parametrize(
    ("layer", "path", "content"), list(texts()), ids=lambda word: word.replace("/", "-")[:60]
)
def test_no_content_is_written_raw(command, tmp_path, layer, path, content):
    evils = [ALL, EVIL["erase"], EVIL["override"] + EVIL["markup"]]
    for number, text in enumerate(spoilt(content, evils[len(path) % 3])):
        # Each file is spoilt at every second place; COSINSPECT_TEST_SCALE=2 takes all of them.
        if SCALE == 1 and (number + len(path)) % 2:
            continue
        parts = parts_of("G2", "amd64")
        entries = getattr(parts, layer)
        raw = text.encode("utf-8", "surrogateescape")
        entry = entries[path]
        entries[path] = evolve(entry, content=raw) if isinstance(entry, File) else raw
        name = derivative_of(parts).write_layout(tmp_path / str(number))
        assert command("check", name, color=number % 2 == 0).status in (0, 1, 3)
        form = ("json", "sarif", "junit", "github", "markdown")[number % 5]
        run = command("check", name, "--format", form)
        assert run.status in (0, 1, 3)
        if form == "junit":
            ET.fromstring(run.text)
        if "luet" in path:
            command("packages", name)


def test_no_version_of_a_kernel_is_written_raw(command, tmp_path):
    for number, text in enumerate(EVIL[step] for step in ("erase", "c1", "newline", "override", "markup")):
        version = text.encode("utf-8", "replace").decode()[:40]
        for how, kernel in (
            ("linux", linux_kernel(version)),
            ("uki", unified_kernel_image(linux_kernel(), b"initrd", version=version)),
        ):
            parts = parts_of("G2", "amd64")
            parts.write("boot/vmlinuz-6.1.0-50-amd64", File(kernel))
            name = derivative_of(parts).write_layout(tmp_path / f"{how}{number}")
            assert command("check", name, color=True).status in (0, 1, 3)


def test_no_member_of_an_initrd_is_written_raw(command, tmp_path):
    for number, text in enumerate([ALL, *list(EVIL.values())[::3]]):
        name = text.replace("/", "\u2044")
        parts = parts_of("G2", "amd64")
        script = f"#!/bin/sh\n{text}\n'{text}' x\n. /lib/{text}\n".encode("utf-8", "surrogateescape")
        for path, entry in list(parts.initrd.items()):
            if path.endswith(".sh"):
                parts.initrd[path] = evolve(entry, content=script) if isinstance(entry, File) else script
        parts.initrd[f"usr/lib/{name}"] = Symlink(text)
        parts.initrd["etc/cmdline.d/x.conf"] = script
        image = derivative_of(parts).write_layout(tmp_path / str(number))
        for run in modes(command, "check", image):
            assert run.status in (0, 1, 3)


def test_no_document_of_an_image_is_written_raw(command, tmp_path):
    """Steps, platforms, media types and annotations."""
    for number, raw in enumerate(EVIL.values()):
        text, good = document(raw), derivative()
        config, manifest = json.loads(good.config), json.loads(good.manifest)
        for step in config["history"]:
            step["created_by"] = step["comment"] = text
        config["os"], config["architecture"], config["variant"] = text, text, text
        config["config"] = {"Env": [f"A={text}"], "Labels": {text: text}, "Cmd": [text]}
        builder = ImageBuilder(labels={"x": text}).annotation(text, text)
        builder = builder.edit_config(
            lambda c, new=config: c.update({k: v for k, v in new.items() if k != "rootfs"})
        )
        for path, entry in (("boot/vmlinuz", Symlink(raw)), ("etc/os-release", Symlink(f"/{raw}"))):
            builder = builder.layer({path: entry}, created_by=text)
        name = builder.build().write_layout(tmp_path / f"a{number}")
        for word, *arguments in (["check"], ["history", "/boot/vmlinuz"], ["ls"]):
            for run in modes(command, word, name, *arguments):
                assert run.status in (0, 1, 3)
        manifest["layers"][0]["mediaType"] = text
        name = good.with_manifest(json.dumps(manifest).encode()).write_layout(tmp_path / f"b{number}")
        assert 3 == command("check", name).status
        manifest["config"]["mediaType"] = text
        name = good.with_manifest(json.dumps(manifest).encode()).write_layout(tmp_path / f"c{number}")
        assert 3 == command("check", name).status


def test_names_that_tar_spells_in_odd_ways_are_written_visibly(command, tmp_path):
    """Raw bytes in headers and PAX records: NUL, slashes, dots, and a name of nothing."""
    names = [
        b"\x1b[2J",
        b"a/../\x1b[31m",
        b"./\xff\xfe",
        b"x" * 90 + b"\x07",
        b"..",
        b"/",
        b"//",
        b"a//b/",
        b" ",
        b"-R",
    ]
    built = ImageBuilder().layer({RawName(name): "x" for name in names}).build()
    name = built.write_layout(tmp_path / "raw")
    for word, *arguments in (["check"], ["ls", "-R"], ["history", "/\x1b[2J"]):
        for run in modes(command, word, name, *arguments):
            assert run.status in (0, 1, 3)
