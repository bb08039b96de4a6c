"""`scan`: many images by every way of naming them, each layer read once, nothing lost to a kill, the same on a cluster."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import cosinspect
from cosinspect.cli import main
from cosinspect.errors import InvalidScan
from cosinspect.fleet.export import write_csv
from cosinspect.fleet.installation import Installation
from cosinspect.fleet.record import ScanRecord, read_records
from cosinspect.fleet.workers import DaskWorkers, compare_workers, perform_alike
from cosinspect.testing import ImageBuilder, Registry
from cosinspect.testing.derivative import derivative
from cosinspect.testing.registry.faults import Fault

PATIENCE = 600
KINDS = (None, "kernel-dangling", "kernel-removed", "no-toolkit")


@pytest.fixture
def registry():
    with Registry() as running:
        for kind in KINDS:
            running.push(derivative(kind), f"org/os:{kind or 'good'}")
        yield running


def scan(tmp_path, *arguments, cache="cache", stdin=None):
    """Run the command in a process, and give its exit status, its output and the records that it wrote."""
    if not {"--workers", "--dask"} & {*arguments}:
        arguments = (*arguments, "--workers", "1")  # each takes seconds of a processor to start
    done = subprocess.run(
        [sys.executable, "-m", "cosinspect", "scan", "--cache", str(tmp_path / cache), *arguments],
        cwd=tmp_path,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


def records(path):
    return {record.image.rpartition(":")[2]: record for record in read_records(path)[0]}


def blobs(registry):
    return [each.path for each in registry.requests if "/blobs/" in each.path and each.method == "GET"]


def test_a_repository_is_scanned_and_each_layer_read_once(registry, tmp_path):
    done = scan(tmp_path, "--repository", f"{registry.address}/org/os", "-o", "scan.jsonl", "--workers", "2")

    found = records(tmp_path / "scan.jsonl")
    assert done.returncode == 1
    assert {name: record.verdict for name, record in found.items()} == {
        "good": "pass",
        "kernel-dangling": "fail",
        "kernel-removed": "fail",
        "no-toolkit": "fail",
    }
    assert found["kernel-dangling"].failed == ("COS011",)
    assert found["kernel-dangling"].capabilities["boot"] == "no"
    assert "4 images: 1 pass, 3 fail" in done.stdout
    layers = {digest for record in found.values() for digest, _ in record.layers}
    read = [path.rpartition("/")[2] for path in blobs(registry)]
    assert {digest: read.count(digest) for digest in layers} == dict.fromkeys(layers, 1)


def test_lines_go_to_standard_output_and_the_summary_beside(registry, tmp_path):
    done = scan(tmp_path, f"{registry.address}/org/os:good", "-o", "-")

    (line,) = done.stdout.splitlines()
    assert json.loads(line)["schema"] == "cosinspect.scan/1"
    assert done.returncode == 0
    assert "1 images: 1 pass" in done.stderr


def test_one_image_that_cannot_be_had_stops_nothing(registry, tmp_path):
    names = [
        f"{registry.address}/org/os:good",
        f"{registry.address}/org/none:v1",
        "not//a name",
        "127.0.0.1:1/a:b",
    ]

    done = scan(tmp_path, *names, "-o", "scan.jsonl")

    found = read_records(tmp_path / "scan.jsonl")[0]
    assert sorted(record.verdict for record in found) == ["error", "error", "error", "pass"]
    assert done.returncode == 3
    assert scan(tmp_path, *names[:2], "--fail-on", "fail", "-q").returncode == 0
    assert scan(tmp_path, f"{registry.address}/org/os:no-toolkit", "--fail-on", "never").returncode == 0


def test_names_come_from_a_list_and_from_standard_input(registry, tmp_path):
    good = f"{registry.address}/org/os:good"
    (tmp_path / "names").write_text(f"# the fleet\n\n{good}\n")

    listed = scan(tmp_path, "--from", "names", "-o", "one.jsonl")
    piped = scan(tmp_path, "--from", "-", "-o", "two.jsonl", stdin=f"{good}  # again\n{good}\n")

    assert (listed.returncode, piped.returncode) == (0, 0)
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()
    assert scan(tmp_path, "--from", "nowhere").returncode == 2


def test_names_come_from_kubernetes_objects(registry, tmp_path):
    host = registry.address
    (tmp_path / "objects.yaml").write_text(f"""\
apiVersion: elemental.cattle.io/v1beta1
kind: ManagedOSImage
spec: {{osImage: "{host}/org/os:good"}}
---
apiVersion: v1
kind: List
items:
- apiVersion: upgrade.cattle.io/v1
  kind: Plan
  spec: {{version: kernel-removed, upgrade: {{image: "{host}/org/os"}}}}
---
apiVersion: v1
kind: ConfigMap
---
""")
    done = scan(tmp_path, "--kubernetes-manifest", "objects.yaml", "-o", "scan.jsonl")

    assert done.returncode == 1
    assert set(records(tmp_path / "scan.jsonl")) == {"good", "kernel-removed"}
    (tmp_path / "objects.yaml").write_text("kind: Pod\napiVersion: v1\nspec: {containers: [{image: 5}]}\n")
    wrong = scan(tmp_path, "--kubernetes-manifest", "objects.yaml")
    assert wrong.returncode == 3
    assert "expected the name of an image, found a number" in wrong.stdout


def test_what_one_object_lacks_stops_no_other(registry, tmp_path):
    (tmp_path / "objects.yaml").write_text(f"""\
kind: Plan
apiVersion: upgrade.cattle.io/v1
metadata: {{name: channel}}
spec: {{channel: "https://example.org/latest", upgrade: {{image: "{registry.address}/org/os"}}}}
---
kind: Pod
apiVersion: v1
metadata: {{name: odd}}
spec: {{containers: [{{image: 5}}]}}
---
kind: ManagedOSImage
apiVersion: elemental.cattle.io/v1beta1
spec: {{osImage: "{registry.address}/org/os:good"}}
""")
    done = scan(tmp_path, "--kubernetes-manifest", "objects.yaml", "-o", "scan.jsonl")

    assert done.returncode == 3
    found = {record.image: record for record in read_records(tmp_path / "scan.jsonl")[0]}
    assert "comes from the channel" in found[f"{registry.address}/org/os"].message
    assert found["Pod/odd"].verdict == "error"
    assert found[f"{registry.address}/org/os:good"].verdict == "pass"
    (tmp_path / "none.yaml").write_text("kind: ConfigMap\napiVersion: v1\n")
    none = scan(tmp_path, "--kubernetes-manifest", "none.yaml")
    assert "expected objects that name OS images, found none" in none.stderr


def test_a_catalogue_is_scanned_by_globs(registry, tmp_path):
    registry.push(derivative(), "other/os:v1")
    registry.push(derivative(), "other/os:v2")
    registry.push(ImageBuilder(platform="linux/amd64").layer({"a": "b"}).build(), "other/app:v1")

    done = scan(
        tmp_path, "--catalogue", registry.address, "--match", "other/o*", "--tag", "v[23]", "-o", "scan.jsonl"
    )

    assert done.returncode == 0
    assert [record.image for record in read_records(tmp_path / "scan.jsonl")[0]] == [
        f"{registry.address}/other/os:v2"
    ]


def test_the_newest_are_those_made_last(tmp_path):
    with Registry() as registry:
        for tag, created in (
            ("old", "2024-01-01T00:00:00Z"),
            ("new", "2026-01-01T00:00:00.123456789+02:00"),
            ("middle", "2025-01-01T00:00:00.1Z"),
            ("silent", None),
            ("odd", "yesterday"),
        ):
            made = ImageBuilder(platform="linux/amd64").layer({"a": tag})
            made = made.edit_config(lambda config, created=created: config.update(created=created))
            registry.push(made.build(), f"org/os:{tag}")

        scan(tmp_path, "--repository", f"{registry.address}/org/os", "--newest", "2", "-o", "scan.jsonl")

    assert set(records(tmp_path / "scan.jsonl")) == {"new", "middle"}


def test_tags_of_signatures_are_no_images(registry, tmp_path):
    image = derivative()
    registry.push(image, f"org/os:sha256-{'0' * 64}.sig")

    scan(tmp_path, "--repository", f"{registry.address}/org/os", "-o", "scan.jsonl")

    assert set(records(tmp_path / "scan.jsonl")) == {kind or "good" for kind in KINDS}


# -- going on -----------------------------------------------------------------------------------------------------------


def test_a_scan_goes_on_where_it_was(registry, tmp_path):
    arguments = ("--repository", f"{registry.address}/org/os", "-o", "scan.jsonl")
    scan(tmp_path, *arguments)
    whole = (tmp_path / "scan.jsonl").read_bytes()
    first, *_ = whole.splitlines(keepends=True)
    (tmp_path / "scan.jsonl").write_bytes(first + b'{"schema": "cosinsp')

    again = scan(tmp_path, *arguments, "--resume")

    assert again.returncode == 1
    assert sorted((tmp_path / "scan.jsonl").read_bytes().splitlines()) == sorted(whole.splitlines())
    before = (tmp_path / "scan.jsonl").read_bytes()
    seen = len(blobs(registry))
    scan(tmp_path, *arguments, "--resume", cache="another")
    assert (tmp_path / "scan.jsonl").read_bytes() == before
    layers = {digest for record in records(tmp_path / "scan.jsonl").values() for digest, _ in record.layers}
    assert not [path for path in blobs(registry)[seen:] if path.rpartition("/")[2] in layers]


def test_a_tag_that_means_another_image_now_is_inspected_again(registry, tmp_path):
    arguments = (f"{registry.address}/org/os:good", "-o", "scan.jsonl", "--resume")
    assert scan(tmp_path, *arguments).returncode == 0
    registry.push(derivative("kernel-dangling"), "org/os:good")

    assert scan(tmp_path, *arguments).returncode == 1
    assert [record.verdict for record in read_records(tmp_path / "scan.jsonl")[0]] == ["pass", "fail"]


def test_other_rules_are_another_scan(registry, tmp_path):
    arguments = (f"{registry.address}/org/os:good", "-o", "scan.jsonl", "--resume")
    scan(tmp_path, *arguments)
    scan(tmp_path, *arguments, "--profile", "boot")

    assert [record.profile for record in read_records(tmp_path / "scan.jsonl")[0]] == ["cos", "boot"]


def test_a_file_of_something_else_is_not_gone_on_with(registry, tmp_path):
    (tmp_path / "scan.jsonl").write_text("a list of friends\n")

    done = scan(tmp_path, f"{registry.address}/org/os:good", "-o", "scan.jsonl", "--resume")

    assert done.returncode == 2
    assert (tmp_path / "scan.jsonl").read_text() == "a list of friends\n"


def test_a_kill_loses_no_line_and_leaves_no_process(tmp_path):
    with Registry(faults=[Fault.stall("/v2/org/slow/blobs/*", 600.0, times=None)]) as registry:
        for number in range(3):
            registry.push(derivative(KINDS[number]), f"org/os:{number}")
        registry.push(ImageBuilder(platform="linux/amd64").layer({"a": "b"}).build(), "org/slow:v1")
        names = [f"{registry.address}/org/slow:v1", *(f"{registry.address}/org/os:{n}" for n in range(3))]
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "cosinspect",
                "scan",
                *names,
                "-o",
                "scan.jsonl",
                "--no-cache",
                "--workers",
                "2",
            ],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
        )
        try:
            _until(lambda: len(read_records(tmp_path / "scan.jsonl")[0]) == 3)
            threads = Path(f"/proc/{process.pid}/task").glob("*/children")  # whichever has made them
            children = [child for each in threads for child in each.read_text().split()]
            assert len(children) >= 2
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        _until(lambda: not any(_alive(child) for child in children))
    assert {record.verdict for record in read_records(tmp_path / "scan.jsonl")[0]} == {"pass", "fail"}


def _alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


# -- tables and pages ------------------------------------------------------------------------------------------------------


def test_tables_have_a_row_an_image(registry, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    scan(tmp_path, "--repository", f"{registry.address}/org/os", "--csv", "t.csv", "--parquet", "t.parquet")

    with (tmp_path / "t.csv").open(newline="") as file:
        rows = {row["image"]: row for row in csv.DictReader(file)}
    table = {row["image"]: row for row in parquet.read_table(tmp_path / "t.parquet").to_pylist()}

    assert len(rows) == len(table) == 4
    for image, row in rows.items():
        assert {name: str(value) for name, value in table[image].items()} == row
    assert rows[f"{registry.address}/org/os:kernel-dangling"]["failed"] == "COS011"


def test_a_cell_is_no_formula(tmp_path):
    write_csv([ScanRecord("=1+1", None, "error", "@SUM(A1)", "rules")], tmp_path / "t.csv")

    with (tmp_path / "t.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["image"], row["message"]) == ("'=1+1", "'@SUM(A1)")


def test_pages_are_whole_and_lead_to_each_other(registry, tmp_path):
    scan(tmp_path, "--repository", f"{registry.address}/org/os", "--html", "site", "-o", "scan.jsonl")

    home = (tmp_path / "site/index.html").read_text()
    links = re.findall(r'href="(images/[^"]+)"', home)
    assert len(links) == 4
    for link in links:
        page = (tmp_path / "site" / link).read_text()
        assert 'href="../index.html"' in page
        assert not re.search(r'(?:src|href)="(?!\.\./index\.html|#)', page)
    good = records(tmp_path / "scan.jsonl")["good"]
    page = (tmp_path / "site/images" / f"{good.digest.replace(':', '-')}.html").read_text()
    assert "17 packages" in page
    assert "cos-immutable-rootfs" in page


# -- a cluster -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("killed", [False, True])
def test_a_cluster_gives_the_same_bytes_though_a_worker_is_killed(tmp_path, killed):
    pytest.importorskip("distributed")
    stall = [Fault.stall("/v2/*/blobs/*", 0.3, times=None)]
    with Registry(faults=stall) as registry, _cluster(tmp_path) as cluster:
        address, workers = cluster.address, cluster.workers
        for number in range(8):
            image = derivative(KINDS[number % 4])
            registry.push(image, f"org/os{number}:v1")
        names = [f"{registry.address}/org/os{number}:v1" for number in range(8)]
        scan(tmp_path, *names, "-o", "local.jsonl", cache="one")
        if killed:
            before = len(registry.requests)

            def kill():
                _until(lambda: any("/blobs/" in each.path for each in registry.requests[before:]))
                time.sleep(0.2)
                os.killpg(workers[0].pid, signal.SIGKILL)

            threading.Thread(target=kill, daemon=True).start()
        done = scan(tmp_path, *names, "-o", "cluster.jsonl", "--dask", address, cache="two")
        assert (workers[0].poll() is not None) is killed

    assert done.returncode == 1, done.stderr
    local, cluster = ((tmp_path / name).read_bytes() for name in ("local.jsonl", "cluster.jsonl"))
    assert sorted(local.splitlines()) == sorted(cluster.splitlines())
    assert local.count(b"\n") == 8


def test_workers_that_would_judge_otherwise_are_named_with_what_to_do(tmp_path):
    """The workers are real: one without cosinspect, one with another version of it, one with other rules in the same version."""
    distributed = pytest.importorskip("distributed")
    package = Path(cosinspect.__file__).parent
    for name, file, change in (
        ("version", "version.py", ('__version__ = "', '__version__ = "9')),
        ("rules", "profiles/boot.toml", ('"boot"', '"boot", "install"')),
    ):
        shutil.copytree(package, tmp_path / name / "cosinspect", ignore=shutil.ignore_patterns("__pycache__"))
        path = tmp_path / name / "cosinspect" / file
        path.write_text(path.read_text().replace(*change))
    with _cluster(tmp_path, workers=0) as cluster, distributed.Client(cluster.address) as client:
        with pytest.raises(InvalidScan, match=r"found none within 0\.2 s; start some: dask worker tcp://"):
            DaskWorkers(client, cluster.address, wait_seconds=0.2)
        # Without `site`, nothing says where cosinspect is; the packages beside it are found.
        packages = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
        workers = {
            "lacking": cluster.worker("-S", path=packages),
            "version": cluster.worker(path=tmp_path / "version"),
            "rules": cluster.worker(path=tmp_path / "rules"),
        }
        _until(lambda: len(client.nthreads()) == len(workers))
        good = cluster.worker()
        _until(lambda: len(client.nthreads()) == len(workers) + 1)

        found = compare_workers(client, Installation.here())

        own = cosinspect.__version__
        assert len(found) == 4
        lacking, version, rules, alike = sorted(found.values(), key=_kind)  # by what they say
        assert lacking == "expected cosinspect, found that it is not installed there"
        assert version == f"expected cosinspect {own}, found 9{own}"
        assert re.fullmatch(r"expected the rules \w{12}, found \w{12} under the same version", rules)
        assert alike is None
        started = time.monotonic()
        done = scan(tmp_path, "quay.io/org/os:v1", "--dask", cluster.address)
        assert done.returncode == 2
        assert re.search(
            r"the worker tcp://\S+: expected .*; and 2 more of 4 workers; install cosinspect", done.stderr
        )
        assert done.stderr.count("\n") == 1
        assert time.monotonic() - started < PATIENCE / 2

        # One that joins later is asked with each task.
        for name in ("lacking", "rules"):
            workers[name].kill()
        good.kill()
        _until(lambda: len(client.nthreads()) == 1)
        task = client.submit(perform_alike, None, Installation.here(), pure=False)
        told = task.result(timeout=PATIENCE)
        assert told.verdict is None
        assert f"cannot judge it: expected cosinspect {own}, found 9{own}" in told.message


def _kind(told):
    return [told is None, "rules" in (told or ""), "found 9" in (told or "")]


class _cluster:  # noqa: N801 - it reads as a function
    """A scheduler and workers, as processes."""

    def __init__(self, directory, workers=2):
        self._directory = directory
        self._count = workers
        self._processes = []

    def __enter__(self):
        scheduler_file = self._directory / "scheduler.json"
        command = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
        self._begin(
            [
                *command,
                "--port",
                "0",
                "--no-dashboard",
                "--scheduler-file",
                str(scheduler_file),
                "--host",
                "127.0.0.1",
            ]
        )
        _until(scheduler_file.is_file)
        _until(lambda: scheduler_file.read_text().strip().endswith("}"))
        address = json.loads(scheduler_file.read_text())["address"]
        self.address = address
        self.workers = [self.worker() for _ in range(self._count)]
        return self

    def worker(self, *options, path=""):
        """Begin a worker, with options of Python and a path that it looks for packages in first."""
        command = [sys.executable, *options, "-m", "distributed.cli.dask_worker", self.address]
        command += [
            "--nthreads",
            "1",
            "--no-dashboard",
            "--no-nanny",
            "--local-directory",
            str(self._directory),
        ]
        return self._begin(command, {**os.environ, "PYTHONPATH": str(path)})

    def _begin(self, command, environment=None):
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=self._directory,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._processes.append(process)
        return process

    def __exit__(self, *_):
        for process in self._processes:
            process.kill()
            process.wait()


# -- wrong use ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "expected images to scan"),
        (["--resume", "a"], "expected the file to continue"),
        (["--match", "x", "a"], "expected --catalogue"),
        (["--tag", "x", "a"], "expected --repository or --catalogue"),
        (["--newest", "0", "a"], "at least 1"),
        (["--repository", "quay.io/org/os:v1"], "found an image"),
        (["--catalogue", "org/os"], "expected"),
        (["--dask", "tcp://127.0.0.1:1", "a"], "expected --cache"),
        (["--kubernetes-manifest", "none.yaml"], "cannot be read"),
        (["--policy", "none.toml", "a"], "cannot be read"),
    ],
)
def test_wrong_use_is_one_line(arguments, told):
    out, err = io.StringIO(), io.StringIO()

    status = main(["scan", "--no-cache", *arguments], stdout=out, stderr=err)

    assert status == 2
    assert told in err.getvalue()
    assert err.getvalue().count("\n") == 1
