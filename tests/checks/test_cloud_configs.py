"""Which cloud-configs count on a machine, by the yip of the generation, the place of the file and the conditions of its steps."""

import pytest
from attrs import evolve

from cosinspect import inspect
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.report.report import Capability, Kind, Status
from cosinspect.testing import Directory, File, Symlink
from cosinspect.testing.derivative import derivative_of
from cosinspect.testing.derivative import toolkit_files as toolkit
from cosinspect.testing.derivative.parts import parts_of

LAYOUT = toolkit.CLOUD_CONFIGS["00_rootfs.yaml"]
ORDINARY = "if: '[ ! -f \"/run/cos/recovery_mode\" ]'"
BROKEN = "stages:\n  boot: text\n"


def report(tmp_path, generation, changes, removed=(), limits=DEFAULT_LIMITS):
    parts = parts_of(generation, "amd64")
    for path in removed:
        parts.packages.pop(path)
    for path, entry in changes.items():
        parts.packages[path] = File(entry, mode=0o600) if isinstance(entry, str) else entry
    return inspect(derivative_of(parts).write_layout(tmp_path), limits=limits)


def result(found, check):
    return next(each for each in found.results if each.check == check)


def failed(found):
    return {each.check for each in found.results if each.kind is Kind.FAIL}


@pytest.mark.parametrize(
    "condition", ["false", "exit 1", "[ 1 = 2 ]", "true && ! true", "[ -f /run/cos/live_mode ]"]
)
def test_a_layout_that_is_never_written_is_missing(tmp_path, condition):
    text = LAYOUT.replace(ORDINARY, f"if: '{condition}'")
    found = report(tmp_path, "G2", {"system/oem/00_rootfs.yaml": text})

    (finding,) = result(found, "COS070").findings
    assert any("does not hold in an ordinary boot" in line for line in finding.evidence)
    assert Status.NO == found.capabilities[Capability.BOOT].status


@pytest.mark.parametrize(
    "condition", ["[ -e /dev/sda ]", "unknown-command", "[ -f /etc/of-the-machine ]", "{{ .Values.x }}"]
)
def test_a_layout_that_only_the_machine_decides_leaves_the_check_open(tmp_path, condition):
    text = LAYOUT.replace(ORDINARY, f"if: '{condition}'")
    found = report(tmp_path, "G2", {"system/oem/00_rootfs.yaml": text})

    assert Kind.OPEN is result(found, "COS070").kind
    assert condition in result(found, "COS070").reason
    assert Status.UNKNOWN == found.capabilities[Capability.BOOT].status


@pytest.mark.parametrize(
    "condition", ["true", "exit 0", "[ ! -f /run/cos/live_mode ]", "cat /proc/cmdline | grep -vq CDLABEL"]
)
def test_a_layout_that_an_ordinary_boot_writes_is_there(tmp_path, condition):
    text = LAYOUT.replace(ORDINARY, f"if: '{condition}'")
    assert set() == failed(report(tmp_path, "G2", {"system/oem/00_rootfs.yaml": text}))


def test_the_layout_of_the_recovery_system_is_not_that_of_an_ordinary_boot(tmp_path):
    """RW_PATHS of the ordinary boot name a directory that the image lacks; those of recovery do not count."""
    text = LAYOUT.replace('OVERLAY: "tmpfs:25%"\n    - name', 'RW_PATHS: "/nowhere"\n    - name')
    assert text != LAYOUT
    assert set() == failed(report(tmp_path, "G2", {"system/oem/00_rootfs.yaml": text}))


@pytest.mark.parametrize(
    ("condition", "kind"),
    [("false", Kind.FAIL), ("[ -f /run/cos/recovery_mode ]", Kind.FAIL), ("[ -e /dev/sda ]", Kind.OPEN)],
)
def test_a_login_counts_where_its_step_runs(tmp_path, condition, kind):
    text = f"stages:\n  initramfs:\n  - if: '{condition}'\n    users: {{root: {{passwd: x}}}}\n"
    found = report(tmp_path, "G2", {"system/oem/04_accounting.yaml": text})
    assert kind is result(found, "COS072").kind


def test_a_login_in_the_initrd_lets_nobody_in(tmp_path):
    text = "stages:\n  rootfs:\n  - users: {root: {passwd: x}}\n"
    assert {"COS072"} == failed(report(tmp_path, "G2", {"system/oem/04_accounting.yaml": text}))


# -- which files count -----------------------------------------------------------------------------------------------


def test_one_file_that_is_refused_is_passed_over_by_yip_before_1_0(tmp_path):
    assert {"COS071"} == failed(report(tmp_path, "G2", {"system/oem/90_custom.yaml": BROKEN}))


def test_one_file_that_is_refused_stops_its_own_directory_only(tmp_path):
    found = report(tmp_path, "G4", {"oem/90_custom.yaml": BROKEN})
    assert {"COS071", "COS079"} == failed(found)


def program(module, version):
    text = f"path\tx\ndep\t{module}\t{version}\th1:x=\n".encode()
    marks = [
        bytes.fromhex(each)
        for each in ("3077af0c9274080241e1c107e6d618e6", "f932433186182072008242104116d8f2")
    ]
    return text.join(marks)


@pytest.mark.parametrize(
    ("generation", "module", "version", "stopped"),
    [
        ("G2", "github.com/mudler/yip", "v0.0.0-20220321143540-2617d71ea02a", False),
        ("G2", "github.com/mudler/yip", "v1.1.0", True),
        ("G3", "github.com/mudler/yip", "v0.11.5-0.20230124143654-91e88dfb6648", False),
        ("G5", "github.com/rancher/yip", "v1.9.2", True),
        ("G5", "github.com/rancher/yip", "v1.9.6", False),
    ],
)
def test_the_program_in_the_image_names_the_yip_that_counts(tmp_path, generation, module, version, stopped):
    runner = parts_of(generation, "amd64").packages["usr/bin/elemental"]
    changed = File(runner.content + program(module, version), mode=0o755)
    found = report(tmp_path, generation, {"usr/bin/elemental": changed, "system/oem/90_custom.yaml": BROKEN})

    assert stopped == (Kind.FAIL is result(found, "COS077").kind)
    if not stopped:
        assert {"COS071"} == failed(found)
        assert any(
            "/usr/bin/elemental names it" in line for line in result(found, "COS071").findings[0].evidence
        )


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("../../usr/share/layout.yaml", set()),
        ("/usr/share/layout.yaml", set()),
        ("nowhere.yaml", {"COS070", "COS071"}),
        ("../../usr/share", {"COS070", "COS071"}),
    ],
)
def test_a_cloud_config_may_be_a_link(tmp_path, target, expected):
    changes = {"usr/share/layout.yaml": LAYOUT, "system/oem/00_rootfs.yaml": Symlink(target)}
    assert expected - {"COS071"} == failed(report(tmp_path, "G2", changes)) - {"COS071"}


def test_a_link_that_leads_to_what_the_machine_keeps_leaves_the_layout_open(tmp_path):
    found = report(tmp_path, "G2", {"system/oem/00_rootfs.yaml": Symlink("/oem/layout.yaml")})
    assert Kind.OPEN is result(found, "COS070").kind


def test_a_directory_that_is_a_link_has_no_files(tmp_path):
    own = [path for path in parts_of("G2", "amd64").packages if path.startswith("system/oem/")]
    parts = parts_of("G2", "amd64")
    changes = {f"usr/share/oem/{path.rpartition('/')[2]}": parts.packages[path] for path in own}
    found = report(tmp_path, "G2", {**changes, "system/oem": Symlink("../usr/share/oem")}, removed=own)
    assert "COS070" in failed(found)


def test_a_directory_may_have_the_name_of_a_file(tmp_path):
    changes = {
        "system/oem/10.yaml": Directory(),
        "system/oem/10.yaml/20.yaml": "stages: {boot: [{name: x}]}\n",
    }
    assert set() == failed(report(tmp_path, "G4", changes))


def test_more_than_is_read_leaves_the_layout_open(tmp_path):
    limits = evolve(DEFAULT_LIMITS, cloud_config_bytes=3000)
    changes = {"system/oem/90_layout.yaml": LAYOUT}
    found = report(tmp_path, "G2", changes, ["system/oem/00_rootfs.yaml"], limits)
    assert Kind.OPEN is result(found, "COS070").kind
    assert "bytes" in result(found, "COS070").reason


# -- what is mounted over --------------------------------------------------------------------------------------------


def test_where_the_layout_mounts_nothing_over_usr_local_its_files_are_seen(tmp_path):
    text = LAYOUT.replace(" LABEL=COS_PERSISTENT:/usr/local", "")
    changes = {"system/oem/00_rootfs.yaml": text, "usr/local/share/notes": "ours\n"}
    assert set() == failed(report(tmp_path, "G2", changes))


@pytest.mark.parametrize("top", ["oem", "run", "tmp", "usr/local"])
def test_what_a_step_left_below_a_mount_point_is_told_with_the_step(tmp_path, top):
    parts = parts_of("G3", "amd64")
    parts.top[f"{top}/left"] = "over\n"
    found = inspect(derivative_of(parts).write_layout(tmp_path))
    (finding,) = result(found, "COS120").findings
    assert (f"/{top}", {"COS120"}) == (finding.path, failed(found))
    assert any(line.startswith("layer ") for line in finding.evidence)


def test_a_link_to_an_empty_directory_is_a_place_to_write(tmp_path):
    changes = {"srv": Symlink("usr/local/srv"), "usr/local/srv": Directory()}
    assert "COS123" not in failed(report(tmp_path, "G2", changes))
