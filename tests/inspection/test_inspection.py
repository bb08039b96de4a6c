"""The pipeline from a name to a report: every transport, one image, one answer; and what happens when something breaks."""

import threading
from collections import Counter

import pytest
from attrs import evolve

from cosinspect import inspect, open_image
from cosinspect.checks import CATALOGUE, find_check
from cosinspect.checks.base import NotApplicable, Undecided, check
from cosinspect.errors import (
    DiffIDMismatch,
    DigestMismatch,
    InvalidLayer,
    InvalidLayout,
    InvalidReference,
    LimitExceeded,
    NoMatchingPlatform,
    NotFound,
    RegistryError,
    TransportError,
)
from cosinspect.image.image import Image
from cosinspect.inspection.inspection import inspect_image
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.oci.documents import Descriptor, Digest, Platform
from cosinspect.policy import Plan
from cosinspect.profiles import load_profile
from cosinspect.report.report import Capability, Finding, Kind, Level, Status, Verdict
from cosinspect.testing import Fault, ImageBuilder, Registry, Whiteout, image_index
from cosinspect.testing.derivative import derivative

GOOD = derivative()
ARM = derivative(architecture="arm64")


def plain(report):
    """A report without what differs between two ways to the same image."""
    found = report.to_dict()
    del found["stats"], found["image"]["name"]
    return found


@pytest.fixture(scope="module")
def registry():
    with Registry() as serving:
        yield serving


# -- transports ------------------------------------------------------------------------------------------------------

LOCAL = {
    "oci:DIR:REF": lambda image, path: image.write_layout(path / "layout"),
    "oci:DIR": lambda image, path: image.write_layout(path / "layout", None),
    "oci:DIR@DIGEST": lambda image, path: f"{image.write_layout(path / 'layout', None)}@{image.digest}",
    "oci-archive:FILE:REF": lambda image, path: image.write_archive(path / "image.tar"),
    "oci-archive:FILE": lambda image, path: image.write_archive(path / "image.tar", None),
    "dir:DIR": lambda image, path: image.write_directory(path / "dir"),
    "docker-archive:FILE of Docker 25": lambda image, path: image.write_docker_archive(
        path / "saved.tar", "cos/os:v1", style="docker25"
    ),
}
MADE_UP = {
    "docker-archive:FILE of older Docker": "legacy",
    "docker-archive:FILE of podman": "podman",
}


@pytest.mark.parametrize("transport", LOCAL)
def test_every_transport_gives_the_report_of_the_image(tmp_path, registry, transport):
    name = LOCAL[transport](GOOD, tmp_path)

    report = inspect(name)

    assert Verdict.PASS == report.verdict
    assert (name, GOOD.digest) == (report.name, report.digest)
    assert plain(inspect(registry.push(GOOD, "cos/good:v1"))) == plain(report)


@pytest.mark.parametrize("transport", LOCAL)
def test_every_transport_gives_the_same_findings(tmp_path, registry, transport):
    image = derivative("kernel-dangling")

    report = inspect(LOCAL[transport](image, tmp_path))

    assert ["COS011"] == [result.check for result in report.failed]
    assert plain(inspect(registry.push(image, "cos/bad:v1"))) == plain(report)


@pytest.mark.parametrize("transport", MADE_UP)
@pytest.mark.parametrize("kind", [None, "kernel-dangling", "no-opt"])
def test_a_saved_image_without_its_manifest_gives_the_same_results(tmp_path, transport, kind):
    image = derivative(kind)
    name = image.write_docker_archive(tmp_path / "saved.tar", "cos/os:v1", style=MADE_UP[transport])

    report, expected = inspect(name), inspect(image.write_layout(tmp_path / "layout"))

    assert expected.results == report.results
    assert expected.verdict == report.verdict
    assert [layer.diff_id for layer in expected.layers] == [layer.diff_id for layer in report.layers]
    assert [layer.created_by for layer in expected.layers] == [layer.created_by for layer in report.layers]


@pytest.mark.parametrize(
    "form", ["docker://{name}", "{name}", "{host}/cos/forms@{digest}", "{name}@{digest}"]
)
def test_a_registry_is_named_in_many_ways(registry, form):
    name = registry.push(GOOD, "cos/forms:v1")

    report = inspect(form.format(name=name, host=registry.address, digest=GOOD.digest))

    assert (GOOD.digest, Verdict.PASS) == (report.digest, report.verdict)


def test_an_image_of_docker_media_types_is_inspected_alike(tmp_path, registry):
    builder = ImageBuilder(media_types="docker").layer({"etc/hosts": "x"})
    report = inspect(registry.push(builder.build(), "cos/docker:v1"))

    oci = evolve(builder, media_types="oci").build()
    assert inspect(oci.write_layout(tmp_path)).results == report.results


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("oci:/nonexistent/layout", InvalidLayout),
        ("dir:/nonexistent/dir", InvalidLayout),
        ("oci-archive:/nonexistent/file", InvalidLayout),
        ("docker-archive:/nonexistent/file", InvalidLayout),
        ("not a name", InvalidReference),
        ("containers-storage:image", InvalidReference),
    ],
)
def test_a_name_that_leads_nowhere_is_told(name, error):
    with pytest.raises(error):
        inspect(name)


def test_an_image_that_a_registry_does_not_have_is_told(registry):
    with pytest.raises(NotFound):
        inspect(f"{registry.address}/cos/nothing:v1")


# -- what is fetched -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("generation", ["G1", "G2", "G3"])
@pytest.mark.parametrize("kind", [None, "no-systemd", "no-layout", "no-login", "luet-config-broken"])
def test_every_blob_is_fetched_exactly_once(generation, kind):
    image = derivative(kind, generation=generation)
    with Registry() as alone:
        report = inspect(alone.push(image, "cos/os:v1"))
        asked = Counter(
            request.path.rpartition("/")[2] for request in alone.requests if "/blobs/" in request.path
        )

    assert {image.config_digest: 1, **dict.fromkeys(image.layers, 1)} == asked
    assert sum(len(image.blobs[digest]) for digest in image.layers) == report.stats.bytes


def test_a_layer_that_comes_twice_is_fetched_once_and_applied_twice():
    files = {"etc/motd": "hello"}
    builder = ImageBuilder().layer(files).layer({"etc/motd": Whiteout()}).layer(files)
    image = builder.build()
    with Registry() as alone:
        name = alone.push(image, "cos/twice:v1")
        with open_image(name) as opened:
            rootfs = opened.read_rootfs()
            actions = [(change.layer, change.action.value) for change in rootfs.history("/etc/motd")]
            assert b"hello" == rootfs.read_bytes("/etc/motd")
        fetched = [request for request in alone.requests if request.path.endswith(image.layers[0])]
        report = inspect(name)

    assert [(0, "added"), (1, "removed"), (2, "added")] == actions
    assert 2 == len(fetched)  # once for the tree, and once for the file, which was not asked for before
    assert 3 == len(report.layers)
    assert sum(len(image.blobs[digest]) for digest in set(image.layers)) == report.stats.bytes


def test_nothing_is_fetched_twice_where_two_layers_share_a_blob():
    image = ImageBuilder().layer({"a": "1"}).layer({"a": "1"}).build()
    with Registry() as alone:
        with open_image(alone.push(image, "cos/twice:v1")) as opened:
            opened.read_rootfs(["a"])
        paths = Counter(request.path for request in alone.requests)

    assert {1} == set(paths.values())


def test_the_entries_of_the_tree_are_counted(tmp_path):
    image = ImageBuilder().layer({"etc/hosts": "", "etc/motd": ""}).build()

    # the root, /etc and two files
    assert 4 == inspect(image.write_layout(tmp_path)).stats.entries


# -- platforms -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("platform", "image"), [("linux/amd64", GOOD), ("linux/arm64", ARM)])
def test_a_platform_chooses_from_an_index(tmp_path, platform, image):
    index = image_index(GOOD, ARM)

    report = inspect(index.write_layout(tmp_path), platform=platform)

    assert (image.digest, index.digest, platform) == (report.digest, report.index, report.platform)
    assert Verdict.PASS == report.verdict


def test_the_image_of_an_index_has_the_report_that_it_has_alone(tmp_path):
    chosen = plain(inspect(image_index(GOOD, ARM).write_layout(tmp_path / "index"), platform="linux/arm64"))
    alone = plain(inspect(ARM.write_layout(tmp_path / "alone"), platform="linux/arm64"))

    assert chosen["image"].pop("index")
    assert alone["image"].pop("index") is None
    for report in (chosen, alone):  # COS203 is about the index
        report["results"] = [each for each in report["results"] if each["check"] != "COS203"]
    assert alone == chosen


def test_a_platform_may_be_given_as_a_value(tmp_path):
    name = image_index(GOOD, ARM).write_layout(tmp_path)

    assert ARM.digest == inspect(name, platform=Platform("linux", "arm64")).digest


def test_an_index_is_searched_through_those_in_it(tmp_path):
    name = image_index(image_index(GOOD), image_index(ARM)).write_layout(tmp_path)

    assert ARM.digest == inspect(name, platform="linux/arm64").digest


def test_a_platform_that_an_index_lacks_is_told_with_those_there_are(tmp_path):
    with pytest.raises(NoMatchingPlatform, match=r"linux/amd64.*linux/arm64"):
        inspect(image_index(GOOD, ARM).write_layout(tmp_path), platform="linux/s390x")


def test_an_image_that_is_alone_must_not_contradict_the_platform(tmp_path):
    with pytest.raises(NoMatchingPlatform):
        inspect(GOOD.write_layout(tmp_path), platform="linux/arm64")


# -- callbacks -------------------------------------------------------------------------------------------------------


def test_the_image_is_shown_before_its_layers_are_read(registry):
    seen = []

    def on_image(image):
        seen.append((str(image.digest), len(image.layers), len(told)))

    told = []
    inspect(
        registry.push(GOOD, "cos/told:v1"),
        on_image=on_image,
        progress=lambda layer, count: told.append((layer.position, count)),
    )

    assert [(GOOD.digest, 4, 0)] == seen


def test_progress_tells_every_byte_of_every_layer(registry):
    told = Counter()
    lock = threading.Lock()

    def progress(layer, count):
        with lock:
            told[str(layer.descriptor.digest)] += count

    inspect(registry.push(GOOD, "cos/told:v1"), progress=progress)

    assert {digest: len(GOOD.blobs[digest]) for digest in GOOD.layers} == told


def test_what_a_callback_raises_ends_the_inspection(tmp_path):
    def stop(*_):
        raise ZeroDivisionError

    name = GOOD.write_layout(tmp_path)
    with pytest.raises(ZeroDivisionError):
        inspect(name, on_image=stop)
    with pytest.raises(ZeroDivisionError):
        inspect(name, progress=stop)


# -- checks that break -----------------------------------------------------------------------------------------------


def made(run, *, capabilities=(Capability.BOOT,), **options):
    """Declare a check around a function."""
    return check(
        id="COS999",
        name="made-up",
        level=Level.ERROR,
        capabilities=capabilities,
        summary="s",
        why="w",
        remedy="the check's own remedy",
        **options,
    )(run)


def report_with(tmp_path, run, *, image=GOOD, **options):
    """Inspect with one check more than the catalogue has."""
    with open_image(image.write_layout(tmp_path)) as opened:
        return inspect_image(opened, Plan(load_profile("cos"), (*CATALOGUE, made(run, **options))))


def crashes(_context):
    yield "something good"
    raise ZeroDivisionError("by zero")


def test_a_check_that_crashes_is_open_and_makes_its_capabilities_unknown(tmp_path):
    report = report_with(tmp_path, crashes)

    found = report.results[-1]
    assert (Kind.OPEN, "the check crashed: ZeroDivisionError: by zero") == (found.kind, found.reason)
    assert ((), ()) == (found.findings, found.evidence)
    assert Status.UNKNOWN == report.capabilities[Capability.BOOT].status
    assert ("COS999",) == report.capabilities[Capability.BOOT].because
    assert Status.YES == report.capabilities[Capability.INSTALL].status
    assert Verdict.OPEN == report.verdict


def test_a_check_that_crashes_hides_no_other(tmp_path):
    report = report_with(tmp_path, crashes, image=derivative("no-grub-config"))

    assert ["COS040"] == [result.check for result in report.failed]
    assert Verdict.FAIL == report.verdict


def gives_up(exception):
    def run(_context):
        yield "something good"
        raise exception

    return run


@pytest.mark.parametrize(
    ("exception", "kind"),
    [
        (NotApplicable("nothing to look at"), Kind.NOT_APPLICABLE),
        (Undecided("nobody knows"), Kind.OPEN),
        (TransportError("the registry is gone"), Kind.OPEN),
        (RecursionError("too deep"), Kind.OPEN),
    ],
)
def test_a_check_may_give_up_and_say_why(tmp_path, exception, kind):
    found = report_with(tmp_path, gives_up(exception)).results[-1]

    assert kind == found.kind
    assert str(exception) in found.reason


@pytest.mark.parametrize(
    "exception", [NotApplicable("n"), Undecided("n"), TransportError("n"), KeyError("n")]
)
def test_a_defect_that_was_found_stays_one_whatever_comes_after_it(tmp_path, exception):
    def run(_context):
        yield Finding("a defect")
        raise exception

    report = report_with(tmp_path, run)

    found = report.results[-1]
    assert Kind.FAIL == found.kind
    assert ["a defect"] == [finding.message for finding in found.findings]
    assert "n" in found.reason
    assert Verdict.FAIL == report.verdict


def test_a_finding_without_a_remedy_has_that_of_its_check(tmp_path):
    def run(_context):
        yield Finding("one")
        yield Finding("two", remedy="its own")

    findings = report_with(tmp_path, run).results[-1].findings

    assert ["the check's own remedy", "its own"] == [finding.remedy for finding in findings]


def test_a_check_that_finds_nothing_passes_with_what_it_saw(tmp_path):
    found = report_with(tmp_path, lambda _: iter(["a", "b"])).results[-1]

    assert (Kind.PASS, ("a", "b"), "") == (found.kind, found.evidence, found.reason)


@pytest.mark.parametrize(("universal", "kind"), [(True, Kind.PASS), (False, Kind.NOT_APPLICABLE)])
def test_only_universal_checks_look_at_generations_without_rules(tmp_path, universal, kind):
    image = ImageBuilder(labels={"containers.bootc": "1"}).layer({"usr/lib/x": ""}).build()

    report = report_with(tmp_path, lambda _: iter(["seen"]), image=image, universal=universal)

    assert kind == report.results[-1].kind


def test_the_limits_of_the_image_are_those_of_its_initrd(tmp_path):
    limits = evolve(DEFAULT_LIMITS, initrd_entries=10)

    report = inspect(GOOD.write_layout(tmp_path), limits=limits)

    found = next(result for result in report.results if result.check == "COS023")
    assert Kind.OPEN == found.kind
    assert "more than 10 members" in found.reason
    assert Verdict.OPEN == report.verdict


def test_a_check_is_found_by_id_and_by_name():
    assert find_check("cos011") is find_check("kernel-link-dangling") is not None
    assert find_check("nothing") is None


# -- layers that fail ------------------------------------------------------------------------------------------------


def test_a_damaged_layer_ends_the_inspection(tmp_path):
    image = GOOD.replace_blob(GOOD.layers[2], GOOD.blobs[GOOD.layers[2]][:-1] + b"x")

    with pytest.raises(DigestMismatch, match=GOOD.layers[2]):
        inspect(image.write_layout(tmp_path))


def test_a_missing_layer_ends_the_inspection(registry):
    with pytest.raises(NotFound):
        inspect(registry.push(GOOD.replace_blob(GOOD.layers[1], None), "cos/missing:v1"))


def test_a_registry_that_fails_ends_the_inspection():
    with (
        Registry(faults=[Fault.status(418, "*/blobs/*", times=None)]) as failing,
        pytest.raises(RegistryError),
    ):
        inspect(failing.push(GOOD, "cos/os:v1"))


def test_a_layer_of_another_configuration_is_told_unless_nobody_asks(tmp_path):
    image = ImageBuilder().layer({"etc/hosts": ""}, diff_id="sha256:" + "0" * 64).build()
    name = image.write_layout(tmp_path)

    with pytest.raises(DiffIDMismatch):
        inspect(name)
    assert Verdict.FAIL == inspect(name, verify_diff_ids=False).verdict


def test_a_bound_of_the_caller_holds(tmp_path):
    with pytest.raises(LimitExceeded):
        inspect(GOOD.write_layout(tmp_path), limits=evolve(DEFAULT_LIMITS, entries=3))


class Endless:
    """A blob that never ends, and tells when somebody lets go of it."""

    def __init__(self, began, closed):
        self.began = began
        self.closed = closed

    def read(self, size, /):
        self.began.set()
        return bytes(size)

    def close(self):
        self.closed.set()


class Failing:
    """A blob that fails as soon as another one is being read."""

    def __init__(self, began, fault):
        self.began = began
        self.fault = fault

    def read(self, _size, /):
        assert self.began.wait(10)
        raise self.fault

    def close(self):
        pass


class Scripted:
    """A source whose layers are streams made for the test."""

    def __init__(self, image, streams):
        self.image = image
        self.streams = streams
        self.closed = False

    def resolve(self):
        return Descriptor(self.image.media_type, Digest.of(self.image.manifest), len(self.image.manifest))

    def open(self, descriptor):
        digest = str(descriptor.digest)
        return self.streams[digest]() if digest in self.streams else Blob(self.image.blobs[digest])

    def close(self):
        self.closed = True


class Blob:
    def __init__(self, data):
        self.data = data

    def read(self, size, /):
        data, self.data = self.data[:size], self.data[size:]
        return data

    def close(self):
        pass


def enlarge(number):
    """Say of a layer that it is huge, so that nothing but a cancellation ends it in time."""

    def edit(manifest):
        manifest["layers"][number]["size"] = 1 << 50

    return edit


@pytest.mark.parametrize(
    "fault", [TransportError("the connection is gone"), InvalidLayer("not an archive"), KeyboardInterrupt()]
)
def test_what_one_layer_raises_cancels_the_others_and_is_what_is_raised(fault):
    image = (
        ImageBuilder()
        .layer({"a": "1"}, compression="none")
        .layer({"b": "2"}, compression="none")
        .edit_manifest(enlarge(0))
        .build()
    )
    began, closed = threading.Event(), threading.Event()
    source = Scripted(
        image,
        {
            image.layers[0]: lambda: Endless(began, closed),
            image.layers[1]: lambda: Failing(began, fault),
        },
    )

    with Image.open("scripted", source) as opened, pytest.raises(type(fault)) as caught:
        opened.read_rootfs()

    assert fault in (caught.value, caught.value.__cause__)  # an error of a layer says in which one
    assert closed.wait(10)
    assert source.closed


def test_layers_that_were_not_begun_are_not_begun_after_a_failure():
    count = 50
    builder = ImageBuilder()
    for number in range(count):
        builder = builder.layer({f"f{number}": str(number)})
    image = builder.build()
    began = threading.Event()
    began.set()
    opened_layers = []

    def stream():
        opened_layers.append(1)
        return Failing(began, TransportError("gone"))

    source = Scripted(image, dict.fromkeys(image.layers, stream))

    with Image.open("scripted", source) as opened, pytest.raises(TransportError):
        opened.read_rootfs()

    assert len(opened_layers) < count
