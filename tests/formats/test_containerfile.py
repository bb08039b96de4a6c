"""Containerfiles: the instructions of the stages that an image consists of, each with its lines."""

import pytest

from cosinspect.errors import FormatError
from cosinspect.formats.text.containerfile import MAX_BYTES, read_containerfile

STAGES = b"""# syntax=docker/dockerfile:1
ARG TAG=latest
FROM golang:${TAG} AS tools
RUN make
FROM registry/base AS Base
RUN zypper in -y kernel-default && \\
    # a comment in between
    rm -rf /var/cache
FROM base
COPY --from=tools --chown=0:0 /out /usr/bin/
RUN --mount=type=cache,target=/x <<EOF
set -e
RUN of the script
EOF
WORKDIR /srv
"""


def rows(data):
    return [(each.word, each.first, each.last) for each in read_containerfile("F", data).instructions]


def test_a_stage_below_comes_first_and_other_stages_are_left_out():
    assert [
        ("FROM", 5, 5),
        ("RUN", 6, 8),
        ("FROM", 9, 9),
        ("COPY", 10, 10),
        ("RUN", 11, 14),
        ("WORKDIR", 15, 15),
    ] == rows(STAGES)


def test_a_value_has_its_continued_lines_and_no_flags():
    values = {each.word: each.value for each in read_containerfile("F", STAGES).instructions}

    assert "/out /usr/bin/" == values["COPY"]
    run = read_containerfile("F", STAGES).instructions[1].value
    assert "zypper in -y kernel-default && rm -rf /var/cache" == " ".join(run.split())


def test_a_stage_that_names_itself_or_one_below_is_another_image():
    assert [("FROM", 3, 3), ("RUN", 4, 4)] == rows(b"FROM a AS b\nRUN x\nFROM b2 AS b2\nRUN y\n")
    assert [("FROM", 1, 1), ("FROM", 2, 2)] == rows(b"FROM os AS os\nFROM os AS os\n")


def test_lines_are_counted_as_code_scanning_counts_them():
    assert [("FROM", 1, 1), ("RUN", 3, 3)] == rows("FROM a\r\n# \u2028 \x0b\r\nRUN x\r\n".encode())


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "structure"),
        (b"RUN x\n", "structure"),
        (b"\xff\xfe", "encoding"),
        (b"#" * (MAX_BYTES + 1), "size"),
    ],
)
def test_what_is_no_containerfile_is_refused(data, kind):
    with pytest.raises(FormatError) as found:
        read_containerfile("F", data)

    assert kind == found.value.kind
    assert "F" == found.value.where
