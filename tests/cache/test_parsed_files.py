"""What was parsed is parsed once, and comes back the same."""

import lzma
from pathlib import Path

import pytest

from cosinspect.cache import Cache, DirectoryStore
from cosinspect.cache.layers import BODY_BYTES
from cosinspect.cache.parsed import Parsed
from cosinspect.errors import FormatError, LimitExceeded
from cosinspect.facts.facts import Facts
from cosinspect.formats.boot.initrd import Initrd
from cosinspect.formats.boot.kernel import Kernel
from cosinspect.formats.luet.database import LuetDatabase, read_database
from cosinspect.image.opening import open_image
from cosinspect.inspection.inspection import inspect
from cosinspect.testing import Registry
from cosinspect.testing.derivative import KERNEL_VERSION, derivative_of
from cosinspect.testing.derivative.parts import initrd_of, parts_of

PLACE = ("sha256:" + "0" * 64, 512)
DATABASES = sorted((Path(__file__).parents[1] / "data" / "luetdb").glob("*.db.xz"))


@pytest.fixture
def cache(tmp_path):
    return Cache(DirectoryStore(tmp_path / "cache"))


def never():
    raise AssertionError("what is known is not parsed again")


def fails():
    raise FormatError("expected x", kind="truncated", offset=7, where="here", remedy="do this")


def test_a_value_is_made_once(cache):
    parsed = Parsed(cache)
    assert Kernel(kind="zImage", architecture="arm") == parsed.get(
        "kernel", PLACE, lambda: Kernel(kind="zImage", architecture="arm"), type=Kernel
    )
    for again in (parsed, Parsed(cache)):
        assert "arm" == again.get("kernel", PLACE, never, type=Kernel).architecture
    with pytest.raises(AssertionError):
        Parsed(cache).get("kernel", (PLACE[0], 513), never, type=Kernel)
    with pytest.raises(AssertionError):
        Parsed().get("kernel", PLACE, never, type=Kernel)


def test_a_fault_is_found_once(cache):
    parsed = Parsed(cache)
    with pytest.raises(FormatError):
        parsed.get("kernel", PLACE, fails, type=Kernel)
    for again in (parsed, Parsed(cache)):
        with pytest.raises(FormatError) as told:
            again.get("kernel", PLACE, never, type=Kernel)
        fault = told.value
        assert ("truncated", 7, "here", "do this") == (fault.kind, fault.offset, fault.where, fault.remedy)


def test_what_could_not_be_decided_is_not_kept(cache):
    def fail():
        raise LimitExceeded("expected less", limit="x", bound=1)

    with pytest.raises(LimitExceeded):
        Parsed(cache).get("kernel", PLACE, fail, type=Kernel)
    assert "x" == Parsed(cache).get("kernel", PLACE, lambda: "x", type=str)


def test_what_somebody_made_up_is_parsed_again(cache):
    parsed = Parsed(cache)
    parsed.get("kernel", PLACE, lambda: "no kernel", type=str)
    assert (
        "zImage"
        == Parsed(cache)
        .get("kernel", PLACE, lambda: Kernel(kind="zImage", architecture=None), type=Kernel)
        .kind
    )


@pytest.mark.parametrize("path", DATABASES, ids=lambda path: path.stem)
def test_databases_come_back(cache, path):
    def read():
        return read_database(lzma.decompress(path.read_bytes()))

    found = []
    for parse in (read, read, never):
        # The first without a cache, the second to keep it, the third to find it.
        parsed = Parsed(cache if found else None)
        try:
            found.append(parsed.get("luet-database", PLACE, parse, type=LuetDatabase))
        except FormatError as fault:
            found.append(str(fault))
    assert found[0] == found[1] == found[2]


def test_large_files_are_not_read_again_for_other_rules(cache, tmp_path):
    """Kernel and initrd are larger than what is kept of a layer; zeros behind either mean nothing."""
    parts = parts_of("G2", "amd64")
    padding = bytes(BODY_BYTES)
    kernel, initrd = f"boot/vmlinuz-{KERNEL_VERSION}", f"boot/initrd-{KERNEL_VERSION}"
    parts.kernel[kernel] += padding
    parts.top[initrd] = initrd_of(parts) + padding
    other = tmp_path / "other.toml"
    other.write_text('name = "other"\nsummary = "Boots."\nrequired = ["boot"]\n')
    with Registry() as registry:
        name = registry.push(derivative_of(parts), "os:1")
        expected = inspect(name, profile=str(other))
        assert "pass" == expected.verdict.value
        inspect(name, cache=cache)
        before = len(registry.requests)
        assert expected == inspect(name, profile=str(other), cache=cache)
        assert 1 == sum("/blobs/" in request.path for request in registry.requests[before:])
        with open_image(name, cache=cache) as image:
            facts = Facts(image.read_rootfs(), image.config, parsed=Parsed(cache, limits=image.limits))
            assert isinstance(facts.initrd, Initrd)
