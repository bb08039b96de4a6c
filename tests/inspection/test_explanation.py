"""Explanations: what leads to what, each link of the chain with the layer and the step that made it."""

import io
import json
from functools import cache

import pytest
from attrs import evolve

from cosinspect.checks import CATALOGUE
from cosinspect.cli import main
from cosinspect.errors import PathNotFound
from cosinspect.image.opening import open_image
from cosinspect.inspection.explanation import Explainer
from cosinspect.inspection.inspection import Inspection
from cosinspect.inspection.plan import plan_inspection
from cosinspect.report.report import Capability, Kind, Verdict
from cosinspect.report.undecided import remedy_of
from cosinspect.testing import ImageBuilder, Symlink, Whiteout
from cosinspect.testing.derivative import BREAKAGES, DEGRADATIONS, derivative

KERNEL = "/boot/vmlinuz-6.1.0-50-amd64"
ZYPPER = "RUN zypper in -y kernel-default && rm -rf /var/cache/zypp"
LUET = "RUN luet install -y meta/cos-minimal meta/cos-verify"


@pytest.fixture(scope="module")
def explainer(tmp_path_factory):
    @cache
    def of(kind):
        return explained(derivative(kind), tmp_path_factory.mktemp("image"))

    return of


def explained(image, directory):
    with open_image(image.write_layout(directory)) as opened:
        inspection = Inspection(opened, plan_inspection("auto"))
        results, context = inspection.run_checks()
        report = inspection.report(results)
        return Explainer(report, context, CATALOGUE)


def chain(explanation):
    return [(cause.text, cause.layer, cause.step) for cause in explanation.causes]


def test_from_cause_to_verdict(explainer):
    (found,) = explainer("kernel-dangling").report_as_whole()

    assert "COS011 kernel-link-dangling" == found.subject
    assert [
        ("line 1 of /etc/cos/bootargs.cfg sets $kernel to /boot/vmlinuz", 2, LUET),
        ("/boot/vmlinuz is a link to vmlinuz-6.1.0-50-amd64", 1, ZYPPER),
        (f"{KERNEL} was put there, a file of 65536 bytes", 1, ZYPPER),
        (f"{KERNEL} was deleted", 4, f"RUN rm -rf {KERNEL}"),
    ] == chain(found)
    assert "you need to load the kernel first" in found.consequence
    assert "boot" == found.loses[0].value
    assert found.remedy.startswith("Leave the removal out of layer 4, or install the kernel")


def test_a_layer_that_nobody_can_read_is_told_in_place_of_an_explanation(tmp_path):
    name = derivative("layer-damaged").write_layout(tmp_path)
    out, err = io.StringIO(), io.StringIO()

    status = main(["explain", name], stdout=out, stderr=err)

    assert (3, "") == (status, out.getvalue())
    assert "layer 4" in err.getvalue()
    assert "build it again" in err.getvalue()


@pytest.mark.parametrize("kind", sorted({*BREAKAGES, *DEGRADATIONS} - {"layer-damaged"}))
def test_every_failure_is_explained_with_the_layer_that_caused_it(explainer, kind):
    made = explainer(kind)
    check = {**BREAKAGES, **DEGRADATIONS}[kind].check
    (failed,) = [
        result for result in made.report.results if result.kind is Kind.FAIL and result.check == check
    ]

    found = made.result(failed)

    assert found
    assert set(found) <= set(made.report_as_whole())
    blamed = {finding.layer for finding in failed.findings} - {None}
    assert blamed <= {cause.layer for each in found for cause in each.causes}
    for each in found:
        assert each.headline
        assert each.consequence
        assert each.remedy
        assert len(each.causes) == len(set(each.causes)), "said twice"
    messages = "; ".join(each.headline for each in found)
    assert all(finding.message in messages for finding in failed.findings)


def test_what_comes_of_one_cause_is_told_once(explainer):
    (found,) = explainer("initrd-without-links").report_as_whole()

    assert "cos-setup-rootfs.service" in found.headline
    assert "cos-setup-initramfs.service" in found.headline


def test_a_circle_is_told_once(explainer):
    (found,) = explainer("kernel-loop").report_as_whole()

    assert ["/boot/vmlinuz is a link to vmlinuz", "the links go in a circle"] == [
        cause.text for cause in found.causes[1:]
    ]


def test_a_command_of_the_same_name_that_was_deleted_elsewhere_is_found(explainer):
    """The check looks for it in several directories; the layer that took it from one of them is the cause."""
    (found,) = explainer("no-grub-tools").report_as_whole()

    assert ("/usr/bin/grub2-editenv, which has the same name, was deleted", 4) in [
        (cause.text, cause.layer) for cause in found.causes
    ]


def test_a_path_below_the_root_of_a_btrfs_is_told_by_the_line_that_sets_it(explainer):
    (found,) = explainer("kernel-unversioned").report_as_whole()

    assert "line 1 of /etc/elemental/bootargs.cfg sets $kernel to /boot/vmlinuz" == found.causes[0].text


def test_the_boot_is_told_without_what_only_installation_and_isos_need(explainer):
    told = " ".join(cause.text for each in explainer("no-tmp").boot() for cause in each.causes)

    assert "grub2-install" not in told
    assert "luet-makeiso" not in told
    assert "bootargs.cfg is there" in told


def test_an_image_that_passes_is_told_from_grub_to_login(explainer):
    made = explainer(None)
    found = made.report_as_whole()

    assert made.report.verdict is Verdict.PASS
    assert ["boot"] * 5 == [each.subject for each in found]
    told = [cause.text for each in found for cause in each.causes]
    boot = [text for text in told if text.startswith(("kernel /boot", "initrd /boot", "stages are run"))]
    assert ["kernel", "initrd", "stages"] == [text.split()[0] for text in boot]


def test_an_image_that_passes_tells_its_lesser_faults_after_that(explainer):
    assert "COS063 cos-units-missing" == explainer("no-units").report_as_whole()[-1].subject


@pytest.mark.parametrize(
    ("kind", "check", "begins"),
    [
        (None, "COS011", "it passes; it would fail if: the link to the kernel is dangling"),
        ("kernel-dangling", "COS013", "there is nothing for it to look at: there is no kernel"),
    ],
)
def test_a_check_that_does_not_fail_says_so(explainer, kind, check, begins):
    made = explainer(kind)
    (found,) = made.result(next(each for each in made.report.results if each.check == check))

    assert found.headline.startswith(begins)
    assert "" == found.remedy


def test_what_is_undecided_is_not_stated_as_a_fact(explainer):
    made = explainer(None)
    decided = next(result for result in made.report.results if result.check == "COS013")
    undecided = evolve(decided, kind=Kind.OPEN, reason="the time ran out", evidence=())

    (found,) = made.result(undecided)

    assert "it cannot be decided: the time ran out" == found.headline
    assert ("", ()) == (found.consequence, found.loses)
    assert found.risk
    assert Capability.BOOT in found.at_risk
    assert "cosinspect checks COS013" in found.remedy


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"transient": True}, "Inspect the image again"),
        ({"reason": "the check crashed: KeyError: 'x'"}, "This is a mistake of cosinspect"),
        ({"tags": ("signature",)}, "--verify-key"),
        ({}, "cosinspect checks COS013"),
    ],
)
def test_an_undecided_check_has_a_remedy_that_fits_its_reason(explainer, changes, words):
    made = explainer(None)
    result = next(each for each in made.report.results if each.check == "COS013")

    (found,) = made.result(evolve(result, kind=Kind.OPEN, **{"reason": "a bound", **changes}))

    assert words in found.remedy
    whole = evolve(made.report, unread=(0,))
    assert "without --fast" in remedy_of(evolve(result, kind=Kind.OPEN), provisional=whole.provisional)


def test_a_capability_that_is_lost_names_the_checks_and_explains_each(explainer):
    summary, *chains = explainer("kernel-dangling").capability(Capability.UPGRADE)

    assert "no: 1 check fails" == summary.headline
    assert [cause.text.split(":")[0] for cause in summary.causes] == ["COS011 kernel-link-dangling"]
    assert ["COS011 kernel-link-dangling"] == [each.subject for each in chains]


def test_a_capability_that_an_image_has_names_its_needs_and_what_decides_them(explainer):
    made = explainer(None)
    (found,) = made.capability(Capability.UPGRADE)

    assert found.headline.startswith("yes: ")
    assert "assuming that the machine runs this image" in found.headline
    told = {cause.text.rpartition(": ")[0] for cause in found.causes}
    rows = {
        need.need.rstrip(".")
        for need in made.report.needs
        if Capability.UPGRADE in need.operations and need.decides
    }
    assert told
    assert told <= rows
    assert "The configuration files of elemental parse: COS102 passes" in [c.text for c in found.causes]
    assert ["it needs boot, which is yes", "it needs recovery, which is yes"] == [
        cause.text for cause in made.capability(Capability.AWS)[0].causes[:2]
    ]


def test_a_capability_without_rows_says_that_its_needs_are_unknown(tmp_path):
    made = explained(derivative(generation="bootc"), tmp_path)

    (found,) = made.capability(Capability.RECOVERY)

    assert "unknown: the needs are not known for this kind of image" == found.headline


def test_the_boot_of_an_image_that_fails_ends_at_the_stage_that_fails(explainer):
    headlines = [each.headline for each in explainer("kernel-dangling").boot()]

    assert headlines[:3] == [
        "GRUB finds its menu, which names what to load",
        "fails: GRUB loads the kernel",
        "not reached: the kernel unpacks the initrd, which finds the image on disk",
    ]


# -- paths -------------------------------------------------------------------------------------------------------------


def test_a_path_tells_what_is_there_who_asks_and_who_looks(explainer):
    found = explainer(None).path("/boot/vmlinuz")

    assert f"{KERNEL} is a file of 65536 bytes, mode 0644, owner 0:0" == found.headline
    assert [2, 1, 1] == [cause.layer for cause in found.causes]
    assert ("COS011", "kernel-link-dangling", "pass") in found.checks
    assert "COS020" not in {check for check, _, _ in found.checks}


def test_a_path_of_a_package_names_it(explainer):
    texts = [cause.text for cause in explainer(None).path("etc/cos/bootargs.cfg").causes]

    assert any(text.startswith("the package system/grub2-config ") for text in texts)


def test_a_path_that_is_gone_tells_who_took_it_and_what_that_breaks(explainer):
    found = explainer("kernel-dangling").path("/boot/vmlinuz")

    assert f"nothing is there: {KERNEL} is missing" == found.headline
    assert f"{KERNEL} was deleted" == found.causes[-1].text
    assert found.consequence.startswith("COS011: expected the kernel")
    assert found.remedy


def test_layers_are_told_in_the_words_of_what_they_did(tmp_path):
    image = (
        ImageBuilder()
        .layer({"etc/app/conf": "one", "usr/app": "x", "opt": Symlink("usr")}, created_by="ADD base")
        .layer({"etc/app/conf": "three"}, created_by="COPY conf")
        .layer({"etc/app": Whiteout()}, created_by="RUN rm -r /etc/app")
        .layer({"etc/app/conf": "again"}, created_by="COPY again")
        .layer({"etc/.wh..wh..opq": ""}, created_by="RUN rm -r /etc/*")
        .build()
    )
    made = explained(image, tmp_path)

    assert [
        ("/etc/app/conf was put there, a file of 3 bytes", 0, "ADD base"),
        ("/etc/app/conf was replaced by a file of 5 bytes", 1, "COPY conf"),
        ("/etc/app/conf was deleted, with /etc/app", 2, "RUN rm -r /etc/app"),
        ("/etc/app/conf was put there, a file of 5 bytes", 3, "COPY again"),
        ("/etc/app/conf was deleted, with all that was in /etc", 4, "RUN rm -r /etc/*"),
    ] == chain(made.path("/etc/app/conf"))
    assert "/opt is a link to usr" == made.path("/opt/app").causes[0].text
    with pytest.raises(PathNotFound, match="no layer ever had it"):
        made.path("/nowhere")


# -- the command -------------------------------------------------------------------------------------------------------


def run(*argv):
    out, err = io.StringIO(), io.StringIO()
    status = main([str(word) for word in argv], stdout=out, stderr=err)
    return status, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    return derivative("kernel-dangling").write_layout(tmp_path_factory.mktemp("image"))


def test_the_command_tells_the_chain(broken):
    status, out, err = run("explain", broken)

    assert (0, "") == (status, err)
    lines = out.splitlines()
    assert lines[0].endswith("(profile cos): boot no, install no")
    assert "  4. /boot/vmlinuz-6.1.0-50-amd64 was deleted" in lines
    assert "     in layer 4, RUN rm -rf /boot/vmlinuz-6.1.0-50-amd64" in lines
    assert any(line.startswith("  do this: ") for line in lines)


@pytest.mark.parametrize("what", ["COS011", "kernel-link-dangling", "/boot/vmlinuz"])
def test_the_command_tells_the_same_as_json(broken, what):
    status, out, _ = run("explain", broken, what, "--format", "json")
    (found,) = json.loads(out)["explanations"]

    assert 0 == status
    assert {"text": f"{KERNEL} was deleted", "layer": 4, "created_by": f"RUN rm -rf {KERNEL}"} in found[
        "causes"
    ]


@pytest.mark.parametrize(
    ("what", "status", "message"),
    [
        ("/nowhere", 1, "/nowhere: no layer ever had it"),
        (
            "bott",
            2,
            "there is no check 'bott'; cosinspect checks lists them; capabilities are boot, install, upgrade,",
        ),
        ("kernel-mising", 2, "did you mean COS010 (kernel-missing)"),
    ],
)
def test_what_is_not_there_is_told(broken, what, status, message):
    found = run("explain", broken, what)

    assert (status, "") == found[:2]
    assert message in found[2]


@pytest.mark.parametrize(("name", "start"), [("why.json", "{"), ("why.txt", "fail: "), ("why", "fail: ")])
def test_an_explanation_goes_to_a_file_in_the_format_of_its_name(broken, tmp_path, name, start):
    assert (0, "", "") == run("explain", broken, "boot", "-o", tmp_path / name)
    assert (tmp_path / name).read_text().startswith(start)


def test_a_file_of_an_explanation_that_cannot_be_written_is_told_before_the_work():
    status, out, err = run("explain", "oci:/nonexistent:x", "-o", "/nonexistent/why")

    assert (2, "") == (status, out)
    assert "--output: the directory /nonexistent does not exist" in err


def test_names_from_the_image_are_harmless(tmp_path):
    evil = "etc/\x1b[2J\u202e"
    image = ImageBuilder().layer({evil: "x"}, created_by="RUN \x1b]0;owned\x07").build()
    status, out, _ = run("explain", image.write_layout(tmp_path), "/" + evil)

    assert 0 == status
    assert all(character.isprintable() or character == "\n" for character in out)
