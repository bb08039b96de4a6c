"""Kernel headers that strangers wrote: nothing but `FormatError`, and soon."""

from __future__ import annotations

import gzip

from hypothesis import given, settings
from hypothesis import strategies as st

from cosinspect.errors import FormatError
from cosinspect.formats.boot.kernel import HEAD_BYTES, describe, find_version, read_kernel
from cosinspect.testing.bootfiles import linux_kernel, unified_kernel_image, zboot_kernel

GOOD = [
    linux_kernel(architecture="amd64"),
    linux_kernel(architecture="arm64"),
    linux_kernel(architecture="riscv64"),
    zboot_kernel(linux_kernel(architecture="arm64")),
    unified_kernel_image(linux_kernel(), b"initrd"),
    gzip.compress(linux_kernel(architecture="arm64"), mtime=0),
]
ARCHITECTURES = {None, "amd64", "386", "arm64", "riscv64", "loong64"}

quick = settings(deadline=None, max_examples=150)


def read_or_refuse(data: bytes, size: int) -> None:
    try:
        kernel = read_kernel(data[:HEAD_BYTES], size=size)
    except FormatError:
        return
    assert kernel.architecture in ARCHITECTURES
    assert kernel.version is None or kernel.version.isprintable()


@quick
@given(st.binary(max_size=2000), st.integers(0, 2**40))
def test_arbitrary_bytes_raise_only_format_errors(data, size):
    read_or_refuse(data, size)


@quick
@given(
    st.sampled_from(GOOD),
    st.lists(st.tuples(st.integers(0, 0x300), st.binary(min_size=1, max_size=8)), max_size=4),
    st.integers(0, 70_000),
)
def test_changed_and_cut_kernels_raise_only_format_errors(good, changes, length):
    data = bytearray(good)
    for offset, value in changes:
        data[offset : offset + len(value)] = value
    read_or_refuse(bytes(data[:length]), length)


@quick
@given(st.binary(max_size=300))
def test_descriptions_never_fail(data):
    text = describe(data)
    assert text
    assert text.isprintable()


@quick
@given(st.lists(st.binary(max_size=60)), st.from_regex(r"[0-9][!-~]{0,60}", fullmatch=True), st.data())
def test_a_version_is_found_however_the_body_is_cut(noise, version, data):
    body = b"".join(noise) + b"Linux version " + version.encode() + b" (a@b)" + b"".join(noise)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    assert find_version(pieces) == version
