"""Inspections with a cache say what those without say, whatever happens to the cache."""

import ast
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import attrs
import pytest

import cosinspect
from cosinspect import cli
from cosinspect.cache import Cache, DirectoryStore
from cosinspect.cache.code import LAYER_CODE, TREE_CODE
from cosinspect.errors import ContentError, LimitExceeded, TransportError
from cosinspect.facts.facts import Facts
from cosinspect.image.opening import open_image
from cosinspect.inspection.inspection import inspect
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.report.report import Verdict
from cosinspect.testing import Fault, Registry
from cosinspect.testing.derivative import derivative

REFERENCE_KINDS = [None, "kernel-dangling", "initrd-without-cos"]


@pytest.fixture(scope="module")
def registry():
    with Registry() as served:
        for kind in REFERENCE_KINDS:
            served.push(derivative(kind), f"os:{kind or 'good'}")
        yield served


@pytest.fixture
def cache(tmp_path):
    return Cache(DirectoryStore(tmp_path / "cache"))


def name_of(registry, kind):
    return f"{registry.address}/os:{kind or 'good'}"


def blobs_read(registry, work):
    """How many layers' and configurations' blobs a piece of work asks for."""
    before = len(registry.requests)
    result = work()
    return result, sum("/blobs/" in request.path for request in registry.requests[before:])


@pytest.mark.parametrize("kind", REFERENCE_KINDS)
def test_a_second_inspection_says_the_same_and_reads_no_layer(registry, cache, kind):
    name = name_of(registry, kind)
    expected = inspect(name)
    first, _ = blobs_read(registry, lambda: inspect(name, cache=cache))
    again, blobs = blobs_read(registry, lambda: inspect(name, cache=cache))
    assert expected == first == again
    assert 1 == blobs  # the configuration
    assert 0 == again.stats.bytes
    assert expected.stats.entries == again.stats.entries


def test_other_rules_are_applied_to_what_is_known_of_the_layers(registry, cache, tmp_path):
    name = name_of(registry, None)
    stricter = tmp_path / "stricter.toml"
    stricter.write_text(
        'name = "stricter"\nsummary = "Stricter."\nrequired = ["boot"]\n[levels]\nCOS081 = "note"\n'
    )
    inspect(name, cache=cache)
    report, blobs = blobs_read(registry, lambda: inspect(name, profile=str(stricter), cache=cache))
    assert 1 == blobs
    assert inspect(name, profile=str(stricter)) == report
    assert "stricter" == report.profile


def test_readings_of_others_are_merged_from_what_is_known(registry, cache):
    name = name_of(registry, None)
    inspect(name, cache=cache)
    with open_image(name, cache=cache) as image, open_image(name) as plain:
        known, fresh = image.read_rootfs(), plain.read_rootfs()
        assert 0 == image.fetched < plain.fetched
        assert [str(entry) for entry in known.walk()] == [str(entry) for entry in fresh.walk()]
        assert known.history("/boot/vmlinuz") == fresh.history("/boot/vmlinuz")
        assert known.read_bytes("/etc/os-release") == fresh.read_bytes("/etc/os-release")
        large = next(entry for entry in fresh.walk() if entry.type == "file" and entry.size)
        assert known.content_digests([known.stat(large.path)]) == fresh.content_digests([large])


def test_bounds_are_part_of_the_key(registry, cache):
    """What was read within wider bounds is no answer within narrower ones."""
    name = name_of(registry, None)
    inspect(name, cache=cache)
    longer = attrs.evolve(DEFAULT_LIMITS, seconds=99.0)  # which says nothing about what was read
    assert 1 == blobs_read(registry, lambda: inspect(name, cache=cache, limits=longer))[1]
    with pytest.raises(LimitExceeded):
        inspect(name, cache=cache, limits=attrs.evolve(DEFAULT_LIMITS, entries=3))


def test_without_diff_ids_no_layer_and_no_verdict_is_kept(registry, cache):
    with open_image(name_of(registry, None), cache=cache, verify_diff_ids=False) as image:
        image.read_rootfs()
    inspect(name_of(registry, None), cache=cache, verify_diff_ids=False)
    # The rest follows from the blobs' own digests, which are verified all the same.
    assert {"tree", "parsed", "comparison"} == {kept.kind for kept in cache.store.files()}


def test_a_layer_that_is_another_one_is_not_kept(cache):
    built = derivative(None)
    with Registry() as registry:
        name = registry.push(built, "os:1")
        with open_image(name) as image:
            victim = str(image.layers[0].descriptor.digest)
        registry.inject(Fault.corrupt(f"*{victim}", at=len(built.blobs[victim]) // 2, times=None))
        with pytest.raises(ContentError):
            inspect(name, cache=cache)
    with Registry() as registry:
        assert Verdict.PASS is inspect(registry.push(built, "os:1"), cache=cache).verdict
        assert any(request.path.endswith(victim) for request in registry.requests)


# -- damage ------------------------------------------------------------------------------------------------------------


def files_of(cache):
    return sorted(kept.path for kept in cache.store.files())


def spoil_nothing(path): ...


def empty(path):
    path.write_bytes(b"")


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def turn(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 0x40
    path.write_bytes(data)


def turn_head(path):
    data = bytearray(path.read_bytes())
    data[90] ^= 0x40
    path.write_bytes(data)


def swap(path):
    other = next(each for each in sorted(path.parents[2].rglob("*")) if each.is_file() and each != path)
    shutil.copyfile(other, path)


def link_away(path):
    path.unlink()
    path.symlink_to("/dev/zero")


def make_pipe(path):
    path.unlink()
    os.mkfifo(path)


def make_directory(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "spoil", [spoil_nothing, empty, halve, turn, turn_head, swap, link_away, make_pipe, make_directory]
)
@pytest.mark.parametrize(
    "kinds", [("results",), ("results", "tree"), ("results", "layer"), ("results", "tree", "layer")]
)
def test_what_is_damaged_is_read_again(registry, cache, spoil, kinds):
    name = name_of(registry, None)
    expected = inspect(name, cache=cache)
    for kept in list(cache.store.files()):
        if kept.kind in kinds:
            spoil(kept.path)
    assert expected == inspect(name, cache=cache)
    with open_image(name, cache=cache) as image, open_image(name) as plain:
        assert [str(entry) for entry in image.read_rootfs().walk()] == [
            str(entry) for entry in plain.read_rootfs().walk()
        ]


def test_verify_removes_what_is_damaged(registry, cache):
    inspect(name_of(registry, None), cache=cache)
    files = files_of(cache)
    turn(files[0])
    assert [files[0]] == [kept.path for kept, _ in cache.store.verify()]
    assert files[1:] == files_of(cache)
    assert [] == list(cache.store.verify())


def test_a_file_in_the_place_of_a_directory_means_that_nothing_is_kept(registry, tmp_path, caplog):
    (tmp_path / "v1").write_text("")
    cache = Cache(DirectoryStore(tmp_path))
    name = name_of(registry, None)
    assert inspect(name) == inspect(name, cache=cache) == inspect(name, cache=cache)
    assert "nothing more is cached" in caplog.text


# -- upkeep ------------------------------------------------------------------------------------------------------------


def test_pruning_takes_what_was_not_used_for_longest(registry, cache):
    inspect(name_of(registry, None), cache=cache)
    files = files_of(cache)
    for age, path in enumerate(files):
        os.utime(path, (0, 1_000_000 + age))
    sizes = [path.stat().st_blocks * 512 for path in files]
    removed = cache.store.prune(sum(sizes[2:]))
    assert (2, sum(sizes[:2])) == removed
    assert files[2:] == files_of(cache)


def test_use_is_noted(registry, cache):
    name = name_of(registry, None)
    inspect(name, cache=cache)
    for path in files_of(cache):
        os.utime(path, (0, 1_000_000))
    inspect(name, cache=cache)
    used = [kept for kept in cache.store.files() if kept.used > 1_000_000]
    assert ["results"] == [kept.kind for kept in used]


def test_only_the_user_can_read_it(registry, cache):
    inspect(name_of(registry, None), cache=cache)
    for path in [cache.store.path, *cache.store.path.rglob("*")]:
        assert not path.stat().st_mode & 0o077, path


# -- processes ---------------------------------------------------------------------------------------------------------


def start(name, directory, *more):
    argv = [sys.executable, "-m", "cosinspect", name, "--format", "json", "--cache", str(directory), *more]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def said(process):
    out, err = process.communicate(timeout=600)
    assert b"" == err
    report = json.loads(out)
    del report["stats"]
    return report


def test_many_processes_at_once(registry, cache):
    name = name_of(registry, None)
    running = [start(name, cache.store.path) for _ in range(6)]
    reports = [said(process) for process in running]
    assert reports[0]["verdict"] == "pass"
    assert all(report == reports[0] for report in reports)
    assert [] == list(cache.store.verify())
    assert "" not in {kept.kind for kept in cache.store.files()}


def test_a_kill_at_any_moment_costs_nothing_but_time(registry, cache):
    name = name_of(registry, None)
    expected = said(start(name, cache.store.path / "other"))
    chance = random.Random(7)
    begun = time.monotonic()
    said(start(name, cache.store.path))
    usual = time.monotonic() - begun
    for _ in range(8):
        shutil.rmtree(cache.store.path)
        process = start(name, cache.store.path)
        # A process has no moment to wait for that would be any moment.
        try:
            process.wait(usual * chance.uniform(0.4, 1.0))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        cache.store.path.mkdir(exist_ok=True)
        assert [] == list(cache.store.verify())
        assert expected == said(start(name, cache.store.path))


def test_what_a_killed_process_left_goes_with_the_next_pruning(registry, cache):
    inspect(name_of(registry, None), cache=cache)
    left = files_of(cache)[0].with_name(".tmp-0123")
    left.write_bytes(b"half")
    assert (0, 0) == cache.store.prune(1 << 30)
    os.utime(left, (0, 0))
    cache.store.prune(1 << 30)
    assert not left.exists()


def test_a_full_disk_is_told_once_and_costs_nothing_but_time(registry, cache):
    """RLIMIT_FSIZE lets no file grow, as a full disk would."""
    name = name_of(registry, None)
    program = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
        "from cosinspect.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, name, "--cache", str(cache.store.path)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert 0 == done.returncode, done.stderr
    assert done.stderr.startswith(f"cosinspect: warning: nothing more is cached in {cache.store.path}: ")
    assert 1 == len(done.stderr.splitlines())
    assert all(kept.kind for kept in cache.store.files())
    assert [] == list(cache.store.verify())


# -- code --------------------------------------------------------------------------------------------------------------

PACKAGE = Path(cosinspect.__file__).parent
# They decide no index and no tree: errors, bounds (which are in the key themselves), names of values.
NEUTRAL = {
    "deadline.py", "errors.py", "limits.py", "version.py", "cache/record.py", "cache/record_writer.py", "oci/"
}  # fmt: skip


def expanded(names):
    found = set()
    for name in names:
        assert (PACKAGE / name).exists(), name
        inside = (PACKAGE / name).rglob("*.py") if name.endswith("/") else [PACKAGE / name]
        found |= {str(path.relative_to(PACKAGE)) for path in inside}
    return found


def closure(*names):
    found, waiting = set(), list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for node in ast.walk(ast.parse((PACKAGE / name).read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cosinspect."):
                path = "/".join(node.module.split(".")[1:])
                waiting.append(f"{path}.py" if (PACKAGE / f"{path}.py").is_file() else f"{path}/__init__.py")
    return found


def test_the_key_of_a_layer_has_all_code_that_decides_it():
    needed = closure("layer/layer.py", "cache/layers.py") - expanded(NEUTRAL)

    assert set() == needed - expanded(LAYER_CODE)
    assert all(expanded([name]) & needed for name in LAYER_CODE)


def test_the_key_of_a_tree_has_all_code_that_decides_it():
    needed = closure("layer/layer.py", "cache/layers.py", "rootfs/overlay.py", "cache/trees.py") - expanded(
        NEUTRAL
    )

    assert set() == needed - expanded(TREE_CODE)
    assert all(expanded([name]) & needed for name in TREE_CODE)


# -- the command -------------------------------------------------------------------------------------------------------


def run(capsys, *argv):
    status = cli.main(list(argv))
    out, err = capsys.readouterr()
    return status, out, err


def test_the_command_shows_verifies_and_prunes(registry, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COSINSPECT_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    name = name_of(registry, None)
    assert 0 == run(capsys, name)[0]
    status, out, _ = run(capsys, "cache", "info", "--format", "json")
    values = json.loads(out)
    assert 0 == status
    assert str(tmp_path / "cosinspect") == values["path"]
    assert {"comparison", "results", "layer", "parsed", "tree"} == set(values["kinds"])
    assert "0 bytes read" in run(capsys, name)[1]
    assert (
        0,
        f"{tmp_path}/cosinspect: {sum(kind['files'] for kind in values['kinds'].values())} files read, 0 damaged\n",
    ) == (run(capsys, "cache", "verify")[:2])
    turn(next((tmp_path / "cosinspect" / "v1" / "layer").rglob("*/*")))
    assert 1 == run(capsys, "cache", "verify")[0]
    assert 0 == run(capsys, "cache", "prune")[0]
    assert run(capsys, "cache", "info")[1].startswith(f"{tmp_path}/cosinspect: 0 files")
    assert "0 bytes read" not in run(capsys, name, "--no-cache")[1]
    assert run(capsys, "cache", "info")[1].startswith(f"{tmp_path}/cosinspect: 0 files")


@pytest.mark.parametrize(
    ("place", "expected"),
    [("/dev/null", "expected a directory for the cache, found a file"), ("/dev/null/x", "Not a directory")],
)
def test_a_place_that_cannot_be_one_is_told(registry, capsys, place, expected):
    status, out, err = run(capsys, name_of(registry, None), "--cache", place)
    assert (2, "") == (status, out)
    assert expected in err
    assert "--no-cache" in err


def test_the_usual_place_is_not_used_where_others_can_write(registry, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COSINSPECT_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "cosinspect").mkdir()
    (tmp_path / "cosinspect").chmod(0o777)
    status, _, err = run(capsys, name_of(registry, None))
    assert 0 == status
    assert "others cannot write to" in err
    assert [] == list((tmp_path / "cosinspect").iterdir())


def test_the_environment_names_a_place_or_none(registry, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "usual"))
    monkeypatch.setenv("COSINSPECT_CACHE", str(tmp_path / "named"))
    run(capsys, name_of(registry, None))
    assert ["named"] == [path.name for path in tmp_path.iterdir()]
    monkeypatch.setenv("COSINSPECT_CACHE", "off")
    run(capsys, name_of(registry, None))
    assert ["named"] == [path.name for path in tmp_path.iterdir()]
    assert 2 == run(capsys, "cache", "info")[0]


@pytest.mark.parametrize("size", ["x", "-1", "1Q", ""])
def test_sizes_that_are_none_are_wrong_use(capsys, size):
    assert 2 == run(capsys, "cache", "prune", "--max-size", size)[0]


@pytest.mark.parametrize(
    "trouble",
    [
        TransportError("the registry does not answer"),
        LimitExceeded("expected to be done in time", limit="seconds", bound=1.0),
        MemoryError(),
        OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
    ],
)
def test_what_a_passing_trouble_left_open_is_asked_again(registry, cache, monkeypatch, trouble):
    name = registry.push(derivative(), "org/os:v1")

    def away(*_):
        raise trouble

    with monkeypatch.context() as patch:
        patch.setattr(Facts, "initrd_at", away)
        first = inspect(name, cache=cache)
    assert Verdict.OPEN == first.verdict
    assert any(result.transient for result in first.results)

    assert Verdict.PASS == inspect(name, cache=cache).verdict
