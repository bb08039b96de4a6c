"""What a Go program tells of the modules it was built from."""

import subprocess
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cosinspect.formats.boot.go_program import read_go_modules
from go_judge import needs_go

START = bytes.fromhex("3077af0c9274080241e1c107e6d618e6")
END = bytes.fromhex("f932433186182072008242104116d8f2")
TEXT = (
    "path\tgithub.com/rancher/elemental-cli\nmod\tgithub.com/rancher/elemental-cli\t(devel)\t\n"
    "dep\tgithub.com/mudler/yip\tv1.1.0\th1:abc=\ndep\tgithub.com/old/name\tv1.0.0\n=>\tgithub.com/new/name\tv1.2.3\th1:def=\n"
)
MODULES = {
    "github.com/rancher/elemental-cli": "(devel)",
    "github.com/mudler/yip": "v1.1.0",
    "github.com/new/name": "v1.2.3",
}


def pieces(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


@given(st.integers(1, 200), st.binary(max_size=100), st.binary(max_size=100))
def test_the_modules_are_found_wherever_they_lie(size, before, after):
    data = before.replace(START, b"") + START + TEXT.encode() + END + after
    assert MODULES == read_go_modules(pieces(data, size))


@given(st.binary(max_size=300), st.booleans())
def test_arbitrary_bytes_have_no_modules(data, marked):
    content = START + data + END if marked else data
    assert all("\t" not in name for name in read_go_modules([content]))


def test_marks_without_modules_between_them_are_passed_over():
    assert MODULES == read_go_modules([START + b"nothing" + END + START + TEXT.encode() + END])


def test_a_text_that_does_not_end_is_not_read():
    assert {} == read_go_modules([START + TEXT.encode()] + [b"x" * (1 << 20)] * 3)


@needs_go
def test_what_go_puts_into_a_program_is_read(tmp_path):
    source = Path(__file__).parent.parent / "compat/gotar"
    subprocess.run(["go", "build", "-o", tmp_path / "gotar", "."], cwd=source, check=True)
    found = read_go_modules([(tmp_path / "gotar").read_bytes()])
    module = (source / "go.mod").read_text().split()[1]
    assert module in found
