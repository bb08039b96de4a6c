"""A cache that machines share, on a filesystem of fsspec's own."""

import io

import fsspec
import pytest

from cosinspect.cache import Cache, DirectoryStore
from cosinspect.cache.shared import open_shared
from cosinspect.cli import main
from cosinspect.errors import InvalidCache
from cosinspect.inspection.inspection import inspect
from cosinspect.testing import Registry
from cosinspect.testing.derivative import derivative

URL = "memory://shared/cosinspect"


@pytest.fixture
def bucket():
    filesystem = fsspec.filesystem("memory")
    yield filesystem
    filesystem.store.clear()


@pytest.fixture(scope="module")
def registry():
    with Registry() as served:
        served.push(derivative(), "os:1")
        yield served


def machine(tmp_path, name):
    return Cache(open_shared(URL, DirectoryStore(tmp_path / name)))


def layers_read(registry, cache):
    before = len(registry.requests)
    report = inspect(f"{registry.address}/os:1", cache=cache)
    return report, sum("/blobs/" in request.path for request in registry.requests[before:]) - 1


def test_what_one_machine_found_out_another_knows(registry, tmp_path, bucket):
    expected, first = layers_read(registry, machine(tmp_path, "a"))
    found, second = layers_read(registry, machine(tmp_path, "b"))
    assert (expected, 4, 0) == (found, first, second)
    # It is kept there as well, and the bucket is asked no more.
    bucket.store.clear()
    assert (expected, 0) == layers_read(registry, machine(tmp_path, "b"))


def test_what_is_damaged_there_is_read_again_and_mended(registry, tmp_path, bucket):
    expected, _ = layers_read(registry, machine(tmp_path, "a"))
    for path in bucket.find(URL.partition("://")[2]):
        data = bucket.cat_file(path)
        bucket.pipe_file(path, data[:-1] + bytes([data[-1] ^ 1]))
    found, second = layers_read(registry, machine(tmp_path, "b"))
    assert (expected, 4) == (found, second)
    assert (expected, 0) == layers_read(registry, machine(tmp_path, "c"))


class Failing(fsspec.AbstractFileSystem):
    """A place that is down; its words have a secret in them."""

    protocol = "failing"

    def cat_file(self, path, **_):
        raise RuntimeError("https://user:s3cret@storage")

    pipe_file = makedirs = cat_file


def test_a_place_that_is_down_is_told_once_and_left_alone(registry, tmp_path, caplog):
    fsspec.register_implementation("failing", Failing, clobber=True)
    cache = Cache(open_shared("failing://x", DirectoryStore(tmp_path)))
    expected, first = layers_read(registry, cache)
    assert (expected, 0) == layers_read(registry, cache)
    assert 4 == first
    told = [record.getMessage() for record in caplog.records if record.name == "cosinspect.cache"]
    assert ["the shared cache is not used any more: it raised RuntimeError"] == told


@pytest.mark.parametrize("url", ["nowhere://x", "s3://bucket/x"])  # the second for want of s3fs
def test_a_url_that_means_nothing(tmp_path, url):
    with pytest.raises(InvalidCache, match="expected a URL that fsspec can open"):
        open_shared(url, DirectoryStore(tmp_path))


def run(*argv):
    out, err = io.StringIO(), io.StringIO()
    return main([str(each) for each in argv], stdout=out, stderr=err), out.getvalue(), err.getvalue()


@pytest.mark.usefixtures("bucket")
def test_the_command_takes_a_url(registry, tmp_path, monkeypatch):
    name = f"{registry.address}/os:1"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a"))
    assert 0 == run(name, "--cache", URL)[0]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    status, out, err = run(name, "--cache", URL)
    assert (0, "") == (status, err)
    assert "0 bytes read" in out
    assert 2 == run("cache", "info", "--cache", URL)[0]
    assert 0 == run(name, "--cache", f"file://{tmp_path}/c")[0]
    assert (tmp_path / "c" / "v1").is_dir()
    status, _, err = run(name, "--cache", "nowhere://x")
    assert (2, 1) == (status, err.count("\n"))
