"""Remedies cure: their instructions are applied to the broken image, and its checks pass.

`python -m tests.remedies_page` tries each breakage, and `-m modules` tries those of the toolkit with every generation; here, every eleventh.
"""

import re

import pytest

from cosinspect import inspect
from cosinspect.checks import CATALOGUE, boot_remedies
from cosinspect.errors import InvalidProfile
from cosinspect.profiles.distributions import distributions, read_distributions
from cosinspect.report.remedy import Needs, Remedy
from cosinspect.testing.derivative import derivative, derivative_of
from cosinspect.testing.derivative.parts import parts_of
from remedies_page import PAGE, measure, page
from remedy_trials import KINDS, Root, apply, attempt, further_pairs, pairs, tree_of

SOME = list(pairs())[::11]  # no multiple of five, so that every generation has its turn
PLACEHOLDER = re.compile(r"<[a-z ]+>|\.\.\.")


def finding_of(tmp_path, kind, generation="G2"):
    found = inspect(derivative(kind, generation=generation).write_layout(tmp_path))
    return next(each for result in found.failed for each in result.findings if each.cure is not None)


@pytest.mark.parametrize(("kind", "generation"), SOME, ids=[f"{kind}-{name}" for kind, name in SOME])
def test_the_remedies_of_a_breakage_cure_it(tmp_path, kind, generation):
    found = attempt(kind, generation, tmp_path / "trial")

    if found is not None:
        assert () == found.left, found.commands
        assert not found.left_omitted


@pytest.mark.modules
@pytest.mark.parametrize(("kind", "generation"), list(further_pairs()))
def test_the_remedies_of_every_other_generation_cure(tmp_path, kind, generation):
    found = attempt(kind, generation, tmp_path / "trial")

    assert found is None or found.left == (), found.commands


@pytest.mark.modules
def test_the_page_counts_every_breakage():
    assert PAGE.read_text() == page(measure())


def test_the_page_has_every_breakage_of_the_generations_that_no_other_borrows():
    """What the whole run counts for these is known without it."""
    text = PAGE.read_text()
    for generation in ("G6", "kairos", "bootc"):
        wanted = sum(each.generation == generation for each in KINDS.values())
        assert f"| {generation} | {wanted} |" in text


def test_a_remedy_that_does_not_cure_is_found(tmp_path):
    """The trial is no trial if a wrong instruction passes."""
    wrong = Remedy.of("Do nothing", "RUN true")
    kernel = next(item for item in CATALOGUE if item.id == "COS010")
    object.__setattr__(kernel, "cure", lambda *_: wrong)
    try:
        found = attempt("kernel-removed", "G2", tmp_path / "trial")
    finally:
        object.__setattr__(kernel, "cure", boot_remedies.kernel_link)

    assert ("COS010",) == found.left


def test_commands_stay_in_the_tree(tmp_path):
    tree = tree_of(derivative().write_layout(tmp_path / "image"))
    root = Root(tmp_path / "root", tree)

    apply(
        root,
        "RUN ln -sf vmlinuz-1 /boot/other && rm -rf /opt/new && echo '/etc/x' > /etc/y",
        (parts_of("G2", "amd64"), tree),
    )

    assert {"boot/other", "opt/new", "etc/y", "boot", "opt", "etc"} == root.changes().keys()
    assert b"/etc/x\n" == root.changes()["etc/y"].content


# -- what a remedy says ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "generation", "command"),
    [
        ("kernel-removed", "G2", "RUN ln -sf vmlinuz-6.1.0-50-amd64 /boot/vmlinuz"),
        ("no-grub-config", "G0", "RUN luet reinstall -y system/grub-config"),
        ("no-grub-config", "G2", "RUN luet reinstall -y system/grub2-config"),
        ("no-grub-config", "G4", "RUN elemental init --force"),
        ("no-grub-config", "G5", "RUN elemental init --force"),
        (
            "no-elemental",
            "G5",
            "COPY --from=ghcr.io/rancher/elemental-toolkit/elemental-cli:v2.3.2 /usr/bin/elemental /usr/bin/elemental",
        ),
        ("boot-emptied", "G2", "RUN dracut --no-hostonly -f /boot/initrd-6.1.0-50-amd64 6.1.0-50-amd64"),
    ],
)
def test_the_generation_decides_the_instruction(tmp_path, kind, generation, command):
    """The packages are those of the toolkit's releases; `elemental init` came with v0.11 (rancher/elemental-toolkit)."""
    assert (command,) == finding_of(tmp_path, kind, generation).remedy_commands


def test_kairos_is_repaired_by_its_own_tool(tmp_path):
    (command,) = finding_of(tmp_path, "kairos-without-agent", None).remedy_commands

    assert "from=quay.io/kairos/kairos-init" in command
    assert "-s install" in command


def test_the_layer_that_removed_a_file_is_to_blame_first(tmp_path):
    finding = finding_of(tmp_path, "kernel-dangling")

    assert 4 == finding.cure.omits
    assert finding.remedy.startswith("Leave the removal out of layer 4, or install")


def test_packages_of_several_findings_are_installed_by_one_instruction(tmp_path):
    found = inspect(derivative("no-install-tools").write_layout(tmp_path))

    commands = {each.remedy_commands for result in found.failed for each in result.findings}
    assert {("RUN zypper --non-interactive install --force parted e2fsprogs dosfstools",)} == commands


@pytest.mark.parametrize(
    ("release", "command"),
    [
        ("ID=debian\n", "RUN apt-get update && apt-get install -y --reinstall parted"),
        ("ID=rocky\nID_LIKE='rhel centos fedora'\n", "RUN dnf reinstall -y parted"),
        ("ID=alpine\n", "RUN apk fix --reinstall parted"),
    ],
)
def test_the_distribution_decides_the_package_manager(tmp_path, release, command):
    parts = parts_of("G2", "amd64")
    KINDS["parted-foreign"].apply(parts)
    parts.base["usr/lib/os-release"] = release
    found = inspect(derivative_of(parts).write_layout(tmp_path))
    (finding,) = next(result for result in found.failed if result.check == "COS174").findings
    assert (command,) == finding.remedy_commands


@pytest.mark.parametrize("item", CATALOGUE, ids=lambda item: item.id)
def test_no_remedy_of_the_catalogue_has_a_placeholder(item):
    assert PLACEHOLDER.search(item.remedy.replace("root=LABEL=...", "")) is None
    assert "RUN " not in item.remedy.replace("RUN --mount=type=tmpfs", "")


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("RUN ln -sf a /b", Needs.NOTHING),
        ("RUN mkdir -p /etc/dracut.conf.d && echo 'x' > /etc/dracut.conf.d/a", Needs.NOTHING),
        ("RUN dracut -f /boot/initrd 1", Needs.IMAGE),
        ("RUN apt-get update && apt-get install -y parted", Needs.NETWORK),
        (
            "RUN --mount=type=bind,from=a,src=/kairos-init,dst=/kairos-init /kairos-init -s install",
            Needs.NETWORK,
        ),
        ("COPY --from=quay.io/a /b /b", Needs.NETWORK),
        ("COPY cosign.pub /etc/cosign.pub", Needs.CONTEXT),
        ("COPY --from=build / /", Needs.NOTHING),
    ],
)
def test_an_instruction_says_what_it_needs(text, needs):
    assert needs is Remedy.of("Do it", text).steps[0].needs


def test_a_remedy_is_its_text_with_the_instructions():
    remedy = Remedy.of("Link it", "RUN a", "RUN b")

    assert "Link it: RUN a, then RUN b" == remedy.text
    assert "Link it" == remedy.lead


# -- distributions ---------------------------------------------------------------------------------------------------


def test_packages_are_found_by_command_and_by_path():
    table = distributions()

    assert "parted" == table.component("/usr/sbin/partprobe") == table.component("parted")
    assert "systemd" == table.component("/usr/lib/systemd/libsystemd-core-252.so")
    assert "udev" == table.component("/usr/lib/systemd/systemd-udevd")
    assert ("grub-efi-arm64-bin",) == table.packages("debian", "grub-modules", "arm64")
    assert () == table.packages("debian", "grub-modules", "s390x")
    assert None is table.component("/etc/motd")


def test_a_malformed_table_is_refused():
    with pytest.raises(InvalidProfile, match="table of distributions is malformed"):
        read_distributions("families = 1")
