"""EFI programs and what installation reads, as strangers wrote them: nothing but `FormatError`, and within bounds."""

from __future__ import annotations

import contextlib
import io
import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from cosinspect.errors import FormatError
from cosinspect.facts.facts import unpack_initrd
from cosinspect.formats.boot.pe import PE_HEAD_BYTES, read_pe
from cosinspect.formats.boot.unified_kernel import read_unified_kernel
from cosinspect.formats.text.bootc_install import read_bootc_install
from cosinspect.formats.text.go_version import go_version
from cosinspect.formats.text.key_file import read_key_file
from cosinspect.formats.text.loader_entry import read_loader_entry
from cosinspect.formats.text.sysusers import read_account_names, read_sysusers_conf
from cosinspect.formats.text.tmpfiles import read_tmpfiles_conf
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.testing.bootfiles import efi_program, unified_kernel_image

GOOD = [
    efi_program(loader="systemd-boot 259.1"),
    unified_kernel_image(b"kernel", b"initrd", command_line="quiet", profiles=["a", "b"]),
]
quick = settings(deadline=None, max_examples=150)


def read(data: bytes) -> None:
    try:
        program = read_pe(data[:PE_HEAD_BYTES], size=len(data))
    except FormatError:
        program = None
    try:
        found = read_unified_kernel(
            lambda: io.BytesIO(data),
            size=len(data),
            unpack=lambda stream, size: unpack_initrd(stream, size, DEFAULT_LIMITS),
        )
    except FormatError:
        assert program is None
        return
    assert found.program == program
    assert len(found.problems) <= 20
    assert all(len(text) <= 64 * 1024 for text in found.texts.values())


@quick
@given(st.binary(max_size=2000))
def test_arbitrary_bytes_are_read_or_refused(data):
    read(data)
    read(b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0" + data)


@quick
@given(
    st.sampled_from(GOOD),
    st.lists(st.tuples(st.integers(0, 0x400), st.binary(min_size=1, max_size=8)), max_size=5),
    st.integers(0, 10_000),
)
def test_changed_and_cut_programs_are_read_or_refused(good, changes, length):
    data = bytearray(good)
    for offset, value in changes:
        data[offset : offset + len(value)] = value
    read(bytes(data[:length]))


TEXT = st.text(max_size=400) | st.lists(
    st.sampled_from(["[a]", "[install]", "k=v", "u x -", "g y", "d /var/a", "title", "efi", '"', "\\", "\n", " ", "1.2", "-"]),
    max_size=30,
).map("".join)  # fmt: skip


@quick
@given(TEXT)
def test_arbitrary_text_is_read_or_refused(text):
    for reader in (read_key_file, read_bootc_install):
        with contextlib.suppress(FormatError):
            reader(text)
    read_tmpfiles_conf(text)
    read_sysusers_conf(text)
    read_account_names(text)
    read_loader_entry(text)
    go_version(text)
