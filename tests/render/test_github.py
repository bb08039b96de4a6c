"""Workflow commands: read back by the rules of the runner."""

import io
import re

import pytest
from handmade import report
from strangers import NASTY, nasty, waived

from cosinspect.formats.text.containerfile import read_containerfile
from cosinspect.render.github import GithubRenderer
from cosinspect.report.display import printable

COMMAND = re.compile(r"::(?P<command>[a-z-]+)(?: (?P<properties>.*?))?::(?P<data>.*)")


def rendered(made, *options):
    stream = io.StringIO()
    GithubRenderer(*options).render(made, stream)
    return stream.getvalue()


def unescaped(text):
    return text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")


def commands(made, *options):
    """What a runner understands: command, properties, message."""
    for line in rendered(made, *options).splitlines():
        match = COMMAND.fullmatch(line)
        properties = dict(pair.split("=", 1) for pair in match["properties"].split(","))
        yield (
            match["command"],
            {
                name: unescaped(value.replace("%3A", ":").replace("%2C", ","))
                for name, value in properties.items()
            },
            unescaped(match["data"]),
        )


def test_the_verdict_comes_first_then_the_gravest():
    found = list(commands(report()))

    assert ("error", "cosinspect") == (found[0][0], found[0][1]["title"])
    assert "fail: quay.io/org/os:v1 (profile cos): boot no, install no" == found[0][2]
    assert ["error", "error", "warning", "warning", "notice", "warning"] == [item[0] for item in found]
    assert "COS011 kernel-link-dangling" == found[1][1]["title"]
    assert found[1][2].splitlines()[:2] == [
        "expected a kernel at /boot/vmlinuz, its link leads to nothing",
        "at /boot/vmlinuz",
    ]
    assert "COS082 luet-database-unreadable (undecided)" == found[-1][1]["title"]


def test_what_is_waived_is_a_notice_with_its_reason():
    found = {item[1]["title"]: item for item in commands(waived())}

    assert "notice" == found["COS011 kernel-link-dangling"][0]
    assert "waived until 2027-03-31" in found["COS011 kernel-link-dangling"][2]
    assert "its waiver expired on 2026-01-31" in found["COS033 microcode-missing"][2]
    assert "a waiver of COS012 matches nothing: was once needed" == found["unused waiver"][2]


def test_with_a_containerfile_an_annotation_stands_at_the_instruction_of_its_layer():
    file = read_containerfile(
        "os,1/Dockerfile", b"FROM base\nRUN zypper clean && \\\n rm -f /boot/vmlinuz-*\n"
    )
    found = list(commands(report(), file))

    assert "file" not in found[0][1]
    assert {
        "file": "os,1/Dockerfile",
        "line": "2",
        "endLine": "3",
        "title": "COS011 kernel-link-dangling",
    } == found[1][1]
    assert "1" == found[-1][1]["line"]


def test_strangers_command_nothing():
    found = list(commands(nasty()))

    assert {"error", "warning", "notice"} >= {item[0] for item in found}
    assert 8 == len(found)  # the verdict, four and two findings, one open
    assert all({"title"} == set(item[1]) for item in found)


@pytest.mark.parametrize("text", NASTY)
def test_a_message_arrives_as_it_was(text):
    assert any(printable(text) in item[2].splitlines() for item in commands(nasty()))
