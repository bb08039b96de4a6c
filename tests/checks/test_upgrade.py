"""An upgrade from one image to another: the menu, the toolkit and the programs of the machine are those of the older image."""

import pytest
from attrs import evolve
from msgspec.structs import replace

from cosinspect import inspect
from cosinspect.cache import Cache, open_directory
from cosinspect.checks.upgrade import MACHINE_CHECKS
from cosinspect.profiles import load_profile
from cosinspect.profiles.operations import operations
from cosinspect.report.report import Capability, Kind, Report, Status, Verdict
from cosinspect.testing.derivative import derivative
from cosinspect.testing.derivative.toolkit_files import bootargs
from cosinspect.testing.entries import Whiteout

OWN = tuple(f"COS{number}" for number in range(280, 290))
GENERATIONS = ("G0", "G2", "G3", "G4", "G5", "G6", "kairos", "bootc")


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    """A good image of each generation."""
    top = tmp_path_factory.mktemp("stock")
    found = {name: derivative(generation=name).write_layout(_made(top / name)) for name in GENERATIONS}
    # From v0.11 on, the toolkit has no hook for the menus of v0.9 and before.
    plain = derivative(generation="G4", top={HOOK: Whiteout()})
    return {
        **found,
        "trusted": derivative("trusted-init").write_layout(_made(top / "trusted")),
        "G4": plain.write_layout(_made(top / "plain")),
    }


def _made(path):
    path.mkdir()
    return path


HOOK = "system/oem/01_upgrade_grub_hook.yaml"
COPY = "stages:\n  after-upgrade-chroot:\n  - commands:\n    - cp x /oem\n"
AFTER = "  after-upgrade:\n  - commands:\n    - grub2-editenv /run/state/grub_oem_env set state_label={}\n"


def own(report):
    """The results of the checks of an upgrade, by their ids."""
    return {each.check: each for each in report.results if each.check in OWN}


def failed(report):
    return sorted(check for check, each in own(report).items() if each.kind is Kind.FAIL)


def upgrade(report):
    return report.capabilities[Capability.UPGRADE].status


def test_without_an_older_image_nothing_applies_and_nothing_changes(stock):
    report = inspect(stock["G4"])

    assert {Kind.NOT_APPLICABLE} == {each.kind for each in own(report).values()}
    assert len(OWN) == len(own(report))
    assert Capability.UPGRADE not in report.required
    assert report.upgrade_from is None
    assert "upgrade_from" not in report.to_dict()


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_machine_is_upgraded_within_its_generation(stock, generation):
    report = inspect(stock[generation], upgrade_from=stock[generation])

    # Both have the same os-release, so an upgrade plan does nothing: that is the one warning.
    assert failed(report) in ([], ["COS286"])
    assert [] == [each for each in own(report).values() if each.kind is Kind.OPEN]
    assert Status.YES == upgrade(report)
    assert Verdict.PASS == report.verdict
    assert Capability.UPGRADE in report.required
    assert "" == report.capabilities[Capability.UPGRADE].assuming


def test_the_report_names_the_older_image_and_can_be_read_again(stock):
    report = inspect(stock["G4"], upgrade_from=stock["G3"])

    origin = report.upgrade_from
    assert (stock["G3"], "G3", "cOS toolkit v0.10") == (
        origin.name,
        origin.generation,
        origin.generation_title,
    )
    assert inspect(stock["G3"]).digest == origin.digest
    assert origin == Report.from_dict(report.to_dict()).upgrade_from


@pytest.mark.parametrize(
    ("old", "new", "check", "words"),
    [
        # A menu of v0.9 or before sets no state_label (bootargs.cfg of v0.10 reads it).
        ("G2", "G4", "COS281", "expected root=LABEL=COS_STATE for G4, found root=LABEL="),
        # The menu of v1 reads /etc/cos/bootargs.cfg, the image of v2 has /etc/elemental/bootargs.cfg.
        ("G4", "G5", "COS281", "expected a file of boot arguments"),
        # The menu of v2 leaves `img` empty where it boots the active snapshot.
        ("G5", "G4", "COS281", "expected cos-img/filename for G4"),
        ("G5", "G6", "COS280", "no boot loader entry and no partitions in common"),
        ("G6", "G5", "COS280", "no boot loader entry and no partitions in common"),
        ("kairos", "bootc", "COS280", "no boot loader entry"),
        ("kairos", "trusted", "COS280", "no boot loader entry"),
    ],
)
def test_some_upgrades_leave_a_machine_that_does_not_boot(stock, old, new, check, words):
    report = inspect(stock[new], upgrade_from=stock[old])

    assert check in failed(report)
    assert words in own(report)[check].findings[0].message
    assert Status.NO == upgrade(report)
    assert Verdict.FAIL == report.verdict


def test_no_tool_that_upgrades_to_kairos_is_known(stock):
    report = inspect(stock["kairos"], upgrade_from=stock["G2"])

    assert Kind.OPEN is own(report)["COS280"].kind
    assert Status.UNKNOWN == upgrade(report)
    # The menus of both have the same entries, variables and labels.
    assert Kind.PASS is own(report)["COS281"].kind


def test_an_image_for_another_architecture_is_no_upgrade(stock, tmp_path):
    arm = derivative(generation="G4", architecture="arm64").write_layout(tmp_path)

    report = inspect(arm, upgrade_from=stock["G4"], platform=None)

    assert "COS280" in failed(report)
    assert "expected an image for amd64" in own(report)["COS280"].findings[0].message


def test_the_programs_of_the_upgrade_are_those_of_the_machine(stock, tmp_path):
    without = {"usr/bin/grub2-editenv": Whiteout()}
    lacking = derivative(generation="G4", top=without).write_layout(tmp_path)
    assert Status.NO == upgrade(inspect(lacking))

    to_it = inspect(lacking, upgrade_from=stock["G4"])
    assert Status.YES == upgrade(to_it), "the machine has the command that the new image lacks"
    assert Status.NO == to_it.capabilities[Capability.INSTALL].status

    from_it = inspect(stock["G4"], upgrade_from=lacking)
    assert "COS284" in failed(from_it)
    assert Status.NO == upgrade(from_it)
    finding = own(from_it)["COS284"].findings[0]
    assert "grub2-editenv" in finding.message
    assert finding.layer is None
    assert any("COS047" in line for line in finding.evidence)


def test_every_need_of_the_machine_is_looked_at():
    needs = [
        each
        for each in operations()
        if Capability.UPGRADE in each.operations and each.machine and each.decides
    ]
    assert needs
    assert {name for each in needs for name in each.checks} <= {item.id for item in MACHINE_CHECKS}


def test_the_toolkit_of_the_machine_makes_directories_that_the_images_own_does_not(stock, tmp_path):
    # elemental v1 makes etc/elemental/config.d in the new root, elemental of v0.10 does not (CreateDirStructure).
    image = derivative(generation="G3", top={"etc/elemental/config.d": "a file"}).write_layout(tmp_path)

    report = inspect(image, upgrade_from=stock["G4"])

    assert "COS283" in failed(report)
    assert "COS212" not in {each.check for each in report.failed}
    assert Status.NO == upgrade(report)
    assert Kind.PASS is own(inspect(stock["G3"], upgrade_from=stock["G4"]))["COS283"].kind


def test_a_variable_that_the_menu_of_the_machine_lacks_is_reported(stock, tmp_path):
    arguments = bootargs("G4").replace(
        "rd.cos.oemlabel=", "rd.cos.more=LABEL=$oem_label:/oem rd.cos.oemlabel="
    )
    assert "$oem_label" in arguments
    top = {"etc/cos/bootargs.cfg": arguments, HOOK: COPY + AFTER.format("COS_STATE")}
    image = derivative(generation="G4", top=top).write_layout(tmp_path)

    report = inspect(image, upgrade_from=stock["G2"])

    assert Kind.PASS is own(report)["COS281"].kind, "the hook writes the label of the root"
    assert "the upgrade sets state_label for the menu" in own(report)["COS281"].evidence
    assert ["COS282"] == [each for each in failed(report) if each != "COS286"]
    assert "rd.cos.more=LABEL=COS_OEM:/oem" in own(report)["COS282"].findings[0].message
    assert Status.YES == upgrade(report)


@pytest.mark.parametrize(
    ("hook", "kind"),
    [
        # The machine reads the stage after-upgrade in its own cloud-configs only.
        ("stages:\n" + AFTER.format("COS_STATE"), Kind.FAIL),
        (COPY, Kind.FAIL),
        (COPY + AFTER.format("COS_STATE"), Kind.PASS),
        (COPY + AFTER.format("COS_NOTHING"), Kind.FAIL),
    ],
    ids=["not copied", "sets nothing", "sets the label", "another label"],
)
def test_a_hook_counts_by_what_it_does(stock, tmp_path, hook, kind):
    image = derivative(generation="G4", top={HOOK: hook}).write_layout(tmp_path)
    report = inspect(image, upgrade_from=stock["G2"], only=("COS281",))
    assert kind is own(report)["COS281"].kind


def test_scripts_that_upgrade_leave_it_open_whether_a_hook_runs(tmp_path):
    image = derivative(generation="G4", top={HOOK: COPY + AFTER.format("COS_STATE")}).write_layout(tmp_path)
    old = derivative(generation="G1").write_layout(_made(tmp_path / "old"))
    report = inspect(image, upgrade_from=old, only=("COS281",))
    assert Kind.OPEN is own(report)["COS281"].kind
    assert "scripts of the machine" in own(report)["COS281"].reason


def test_an_upgrade_plan_that_renews_the_menu_leaves_it_open(stock, tmp_path):
    script = "#!/bin/sh\nchroot /host elemental upgrade\nelemental upgrade --bootloader --system dir:/\n"
    image = derivative(generation="G5", top={"usr/sbin/suc-upgrade": script}).write_layout(tmp_path)
    report = inspect(image, upgrade_from=stock["G4"])
    assert Kind.OPEN is own(report)["COS281"].kind
    assert "depends on what runs the upgrade" in own(report)["COS281"].reason


@pytest.mark.parametrize(
    ("old", "new", "skips"),
    [
        ("v1.2.0", "v1.2.0", True),
        ("v1.10.0", "v1.9.0", True),
        ("v1.9.0", "v1.10.0", False),
        ("v1.9.0", "latest", False),
    ],
)
def test_a_plan_skips_a_tag_that_is_not_higher(tmp_path, old, new, skips):
    script = '#!/bin/bash\n. /etc/os-release\n[ "$IMAGE_TAG" ] && elemental upgrade --system dir:/\n'

    def image(tag, name):
        release = f"ID=x\nIMAGE_REPO=quay.io/org/os\nIMAGE_TAG={tag}\nNAME={name}\n"
        top = {"etc/os-release": release, "usr/sbin/suc-upgrade": script}
        return derivative(generation="G4", top=top).write_layout(_made(tmp_path / name))

    report = inspect(image(new, "new"), upgrade_from=image(old, "old"), only=("COS286",))
    assert (["COS286"] if skips else []) == failed(report)


def test_the_state_partition_holds_both_images_the_tree_and_the_new_image(stock):
    profile = load_profile("cos")
    table = profile.generations["G4"]
    assert 8192 == table.deployment.state_mebibytes
    # Small images take 1 or 2 MiB each; three file systems have 256 MiB more each.
    small = replace(table, deployment=replace(table.deployment, state_mebibytes=3 * 256))
    tight = evolve(profile, generations={**profile.generations, "G4": small})

    report = inspect(stock["G4"], upgrade_from=stock["G4"], profile=tight)

    assert "COS285" in failed(report)
    assert Status.YES == upgrade(report), "the partition may be larger, so it is a warning"
    assert "COS285" not in failed(inspect(stock["G4"], upgrade_from=stock["G4"]))


def test_an_upgrade_of_elemental3_brings_no_files_into_volumes_of_the_machine(stock, tmp_path):
    top = {"opt/agent/config": "new", "usr/share/new": "new"}
    image = derivative(generation="G6", top=top).write_layout(tmp_path)
    report = inspect(image, upgrade_from=stock["G6"])
    assert ["COS287"] == failed(report)
    assert "/opt/agent/config" in own(report)["COS287"].findings[0].evidence


def test_elemental3_keeps_kernels_by_the_id_of_the_release(stock, tmp_path):
    release = "ID=other\nNAME=other\nVERSION_ID=1\nPRETTY_NAME=other\n"
    image = derivative(generation="G6", top={"etc/os-release": release}).write_layout(tmp_path)
    report = inspect(image, upgrade_from=stock["G6"], only=("COS288",))
    assert ["COS288"] == failed(report)
    assert "found other" in own(report)["COS288"].findings[0].message


def test_a_later_yip_stops_where_an_older_one_goes_on(stock, tmp_path):
    # From 1.0 on, a file that yip cannot decode keeps the whole directory from being run.
    hook = "stages:\n  after-upgrade-chroot:\n  - commands:\n    - 'true'\n"
    top = {"system/oem/60_hook.yaml": hook, "system/oem/61_wrong.yaml": "stages: [\n"}
    image = derivative(generation="G2", top=top).write_layout(tmp_path)
    report = inspect(image, upgrade_from=stock["G4"], only=("COS289",))
    assert ["COS289"] == failed(report)
    assert "yip 1.3" in own(report)["COS289"].findings[0].message
    assert [] == failed(inspect(image, upgrade_from=stock["G2"], only=("COS289",)))


def test_a_menu_that_does_not_start_its_own_image_decides_nothing(stock, tmp_path):
    odd = derivative("menu-loads-nothing").write_layout(tmp_path)
    report = inspect(stock["G2"], upgrade_from=odd, only=("COS281",))
    assert Kind.OPEN is own(report)["COS281"].kind
    assert "does not start the image of the machine either" in own(report)["COS281"].reason


def test_each_older_image_has_its_own_results_in_the_cache(stock, tmp_path):
    cache = Cache(open_directory(tmp_path / "cache", trusted=True))
    first = inspect(stock["G4"], upgrade_from=stock["G2"], cache=cache)
    again = inspect(stock["G4"], upgrade_from=stock["G2"], cache=cache)
    other = inspect(stock["G4"], upgrade_from=stock["G3"], cache=cache)
    alone = inspect(stock["G4"], cache=cache)

    assert first == again
    assert "COS281" in failed(first)
    assert "COS281" not in failed(other)
    assert [] == failed(alone)


def test_an_upgrade_depends_on_all_layers(stock):
    with pytest.raises(ValueError, match="exclude each other"):
        inspect(stock["G4"], upgrade_from=stock["G4"], fast=True)
