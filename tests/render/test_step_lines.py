"""Lines of a Containerfile: for the histories that builders write, and with the hashes of GitHub's upload."""

import pytest

from cosinspect.formats.text.containerfile import read_containerfile
from cosinspect.render.step_lines import line_hashes, match_steps

FILE = read_containerfile(
    "Dockerfile",
    b"""FROM registry/base:v1
ARG KIND=default
RUN zypper in -y kernel-$KIND && \\
    rm -rf /var/cache/zypp
COPY --chown=0:0 files/ /
ADD ["a b", "/c/"]
WORKDIR /srv/$KIND
RUN ["dracut", "-f"]
RUN <<EOF
echo one
EOF
""",
)
HISTORIES = {
    # moby/buildkit, frontend/dockerfile/dockerfile2llb/convert.go: commitToHistory with the comment "buildkit"
    "BuildKit": [
        "RUN |1 KIND=default /bin/sh -c zypper in -y kernel-$KIND &&     rm -rf /var/cache/zypp # buildkit",
        "COPY --chown=0:0 files/ / # buildkit",
        "ADD a b /c/ # buildkit",
        "WORKDIR /srv/default",
        "RUN |1 KIND=default dracut -f # buildkit",
        "RUN |1 KIND=default /bin/sh -c <<EOF (echo one) # buildkit",
    ],
    # moby/moby, builder/dockerfile/dispatchers.go: commands with the shell, copies with the sum of what was copied
    "classic": [
        "|1 KIND=default /bin/sh -c zypper in -y kernel-$KIND &&     rm -rf /var/cache/zypp",
        "/bin/sh -c #(nop) COPY --chown=0:0dir:0123abc in / ",
        "/bin/sh -c #(nop) ADD file:4567def in /c/ ",
        "/bin/sh -c #(nop) WORKDIR /srv/default",
        "|1 KIND=default dracut -f",
        None,
    ],
    # containers/buildah, imagebuildah/stage_executor.go: getCreatedBy
    "buildah": [
        "|1 KIND=default /bin/sh -c zypper in -y kernel-$KIND &&     rm -rf /var/cache/zypp",
        "/bin/sh -c #(nop) COPY dir:0123abc in / ",
        "/bin/sh -c #(nop) ADD file:4567def in /c/ ",
        None,
        "|1 KIND=default dracut -f",
        None,
    ],
}
FIRST = [3, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("builder", HISTORIES)
def test_each_step_of_a_builder_has_its_instruction(builder):
    steps = HISTORIES[builder]
    found = match_steps(FILE, ["ADD base.tar /", *steps])

    assert [None, *(line if step else None for step, line in zip(steps, FIRST, strict=True))] == [
        each and each.first for each in found.layers
    ]
    assert 1 == found.of(0).first  # of the base image: the FROM that brings it
    assert 1 == found.of(None).first
    assert (3, 4) == (found.of(1).first, found.of(1).last)


def test_a_command_that_occurs_twice_is_matched_in_order():
    twice = read_containerfile("F", b"FROM a\nRUN x\nRUN y\nRUN x\n")

    assert [2, 3, 4] == [each.first for each in match_steps(twice, ["RUN x", "RUN y", "RUN x"]).layers]
    assert [None, 4] == [each and each.first for each in match_steps(twice, ["RUN xx", "RUN x"]).layers]


def test_a_part_of_a_command_is_another_command():
    file = read_containerfile("F", b"FROM a\nRUN true\n")

    for step in (
        "RUN not-true",
        "/bin/sh -c echo true",
        "true && false",
        "COPY true",
        "RUN /bin/sh -c untrue",
    ):
        assert [None] == list(match_steps(file, [step]).layers)


def test_the_layers_of_an_image_below_are_those_of_its_from():
    file = read_containerfile("F", b"FROM x AS a\nRUN one\nFROM a\nRUN two\n")
    found = match_steps(file, ["ADD x", "RUN one", "RUN two"])

    assert [1, 2, 4] == [found.of(layer).first for layer in range(3)]
    assert 3 == match_steps(file, ["other"]).of(0).first


# The pairs are those of the program's own tests: github/codeql-action, src/fingerprints.test.ts.
@pytest.mark.parametrize(
    ("text", "hashes"),
    [
        ("", "c129715d7a2bc9a3:1"),
        (" a\nb\n  \t\tc\n d", "271789c17abda88f:1 54703d4cd895b18:1 180aee12dab6264:1 a23a3dc5e078b07b:1"),
        (
            " hello; \t\nworld!!!\n\n\n  \t\tGreetings\n End",
            """
            8b7cf3e952e7aeb2:1 b1ae1287ec4718d9:1 bff680108adb0fcc:1 c6805c5e1288b612:1 b86d3392aea1be30:1
            e6ceba753e1a442:1
            """,
        ),
        (
            " hello; \t\nworld!!!\r\n\n\r  \t\tGreetings\r End\r\n",
            """
            e9496ae3ebfced30:1 fb7c023a8b9ccb3f:1 ce8ba1a563dcdaca:1 e20e36e16fcb0cc8:1 b3edc88f2938467e:1
            c8e28b0b4002a3a0:1 c129715d7a2bc9a3:1
            """,
        ),
        (
            "Lorem ipsum dolor sit amet.\n" * 10,
            """
            a7f2ff13bc495cf2:1 a7f2ff13bc495cf2:2 a7f2ff13bc495cf2:3 a7f2ff13bc495cf2:4 a7f2ff13bc495cf2:5
            a7f2ff13bc495cf2:6 a7f2ff1481e87703:1 a9cf91f7bbf1862b:1 55ec222b86bcae53:1 cc97dc7b1d7d8f7b:1
            c129715d7a2bc9a3:1
            """,
        ),
    ],
)
def test_hashes_are_those_of_the_upload(text, hashes):
    assert hashes.split() == list(line_hashes(text))
