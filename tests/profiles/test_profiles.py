"""Profiles: those that come with the package, those of a user, and everything that is none."""

import pytest

from cosinspect import inspect
from cosinspect.errors import InvalidProfile
from cosinspect.profiles import BUILTIN, Generation, load_profile
from cosinspect.report.report import Capability, Kind, Level, Status, Verdict
from cosinspect.testing.derivative import derivative

NOWHERE = "localhost:1/no/registry:here"


def written(tmp_path, text, name="own.toml"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def result_of(report, check):
    return next(result for result in report.results if result.check == check)


# -- builtin ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILTIN)
def test_a_builtin_profile_bears_its_name_and_requires_something(name):
    profile = load_profile(name)

    assert name == profile.name
    assert profile.required
    assert profile.summary.endswith(".")


def test_the_usual_profile_requires_boot_and_install():
    assert (Capability.BOOT, Capability.INSTALL) == load_profile("cos").required


def test_the_profile_boot_requires_nothing_else():
    assert (Capability.BOOT,) == load_profile("boot").required


def test_the_profile_boot_passes_what_cannot_be_installed(tmp_path):
    name = derivative("no-grub-config").write_layout(tmp_path)

    assert Verdict.PASS == inspect(name, profile="boot").verdict
    assert Verdict.FAIL == inspect(name, profile="cos").verdict


def test_every_generation_has_a_table():
    generations = load_profile("cos").generations

    derivatives = {name for name, table in generations.items() if table.derivative}
    assert {"G0", "G1", "G2", "G3", "G4", "G5", "kairos", "kairos-trusted"} == derivatives
    carriers = {name for name, table in generations.items() if table.carries}
    assert {"G6", "bootc", "uki"} == generations.keys() - derivatives - carriers
    assert {f"elemental3-{what}" for what in ("iso", "manifest", "extension", "payload")} == carriers
    assert all(isinstance(table, Generation) for table in generations.values())


@pytest.mark.parametrize("generation", ["G0", "G1", "G2", "G3", "G4", "G5", "G6", "kairos", "bootc"])
def test_every_generation_that_is_recognised_has_a_title(generation):
    assert load_profile("cos").title(generation)


def test_no_generation_has_no_title():
    assert "" == load_profile("cos").title("")


def test_paths_of_the_image_are_absolute_and_those_of_the_initrd_are_not():
    for table in load_profile("cos").generations.values():
        runners = [path for names in table.stage_runners for path in names]
        image = [table.grub_config, table.bootargs, table.dracut_directory, *runners, *table.unit_directories]
        groups = (*table.initrd_files, *table.initrd_scripts, *table.initrd_runners)
        assert all(path.startswith("/") for path in image if path)
        assert not any(path.startswith("/") for group in groups for path in group)


def test_the_automatic_profile_is_another_for_each_kind_of_image():
    profile = load_profile("auto")

    chosen = {
        generation: profile.choose(generation).name for generation in ("", "G0", "G5", "kairos", "bootc")
    }
    assert {"": "cos", "G0": "cos", "G5": "cos", "kairos": "kairos", "bootc": "bootc"} == chosen


def test_any_other_profile_chooses_itself():
    profile = load_profile("boot")

    assert profile is profile.choose("kairos") is profile.choose("")


def test_a_profile_may_be_for_some_generations_only(tmp_path):
    profile = load_profile(
        written(tmp_path, 'name = "a"\nrequired = ["boot"]\ngenerations = ["G5", "kairos"]\n')
    )

    assert ("G5", "kairos") == profile.accepts


def test_a_generation_that_there_is_not_is_refused(tmp_path):
    with pytest.raises(InvalidProfile, match=r"there is no generation 'G9'.*use G0"):
        load_profile(written(tmp_path, 'name = "a"\nrequired = ["boot"]\ngenerations = ["G9"]\n'))


# -- a user's own ----------------------------------------------------------------------------------------------------


def test_a_profile_of_a_file_is_what_the_file_says(tmp_path):
    text = 'name = "fleet"\nsummary = "Ours."\nrequired = ["verify", "boot"]\nlevels = { COS090 = "error" }\n'

    profile = load_profile(written(tmp_path, text))

    assert ("fleet", "Ours.") == (profile.name, profile.summary)
    assert (Capability.VERIFY, Capability.BOOT) == profile.required
    assert {"COS090": Level.ERROR} == profile.levels
    assert load_profile("cos").generations == profile.generations


def test_summary_and_levels_may_be_left_out(tmp_path):
    profile = load_profile(written(tmp_path, 'name = "a"\nrequired = ["boot"]\n'))

    assert ("", {}) == (profile.summary, profile.levels)


def test_a_capability_that_is_required_twice_is_required_once(tmp_path):
    profile = load_profile(written(tmp_path, 'name = "a"\nrequired = ["boot", "install", "boot"]\n'))

    assert (Capability.BOOT, Capability.INSTALL) == profile.required


def test_a_path_needs_a_slash_or_the_ending_toml(tmp_path, monkeypatch):
    text = 'name = "a"\nrequired = ["boot"]\n'
    written(tmp_path, text, "own.toml")
    without_ending = written(tmp_path, text, "own")
    monkeypatch.chdir(tmp_path)

    assert "a" == load_profile("own.toml").name
    assert "a" == load_profile("./own").name
    assert "a" == load_profile(without_ending).name
    with pytest.raises(InvalidProfile, match="there is no profile 'own'"):
        load_profile("own")


@pytest.mark.parametrize("name", ["", "COS", "cos ", "generations", "no-such-profile", "x" * 500])
def test_a_name_of_no_profile_is_refused_with_those_there_are(name):
    with pytest.raises(
        InvalidProfile, match="use auto, boot, bootc, cos, kairos, or the path of a TOML file"
    ):
        load_profile(name)


BAD = {
    "not TOML": ("required = [\n", "expected TOML: "),
    "TOML of no meaning": ("= 1\n", "expected TOML: "),
    "empty": ("", "expected the key name, it is missing"),
    "no name": ('required = ["boot"]\n', "expected the key name, it is missing"),
    "nothing about what is required": ('name = "a"\n', "expected the key required, it is missing"),
    "an unknown key": (
        'name = "a"\nrequired = ["boot"]\nrequires = ["install"]\n',
        "line 3, requires: there is no such key; did you mean required?",
    ),
    "an unknown capability": (
        'name = "a"\nrequired = ["fly"]\n',
        "line 2, required: expected boot or install or upgrade or .*, found 'fly'",
    ),
    "a capability in capitals": ('name = "a"\nrequired = ["Boot"]\n', "found 'Boot'"),
    "required as text": ('name = "a"\nrequired = "boot"\n', "expected an array, found text in quotes"),
    "a number for a name": (
        'name = 1\nrequired = ["boot"]\n',
        "line 1, name: expected text in quotes, found a whole number",
    ),
    "an unknown level": (
        'name = "a"\nrequired = ["boot"]\nlevels = { COS010 = "fatal" }\n',
        "line 3, levels.COS010: expected error or warning or note, found 'fatal'",
    ),
    "levels as a list": (
        'name = "a"\nrequired = ["boot"]\nlevels = ["COS010"]\n',
        "levels: expected a table, found an array",
    ),
    "a key twice": ('name = "a"\nname = "b"\nrequired = ["boot"]\n', "expected TOML: "),
    "nesting without end": ("a = " + "[" * 100_000, "expected TOML: "),
    "a number without end": ("name = " + "1" * 10_000, "expected TOML: "),
    "a day that never was": ("name = 2024-02-31\n", "expected TOML: "),
    "nothing required": ('name = "a"\nrequired = []\n', "line 2, required: .*the profile could only pass"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_malformed_profile_is_refused_by_its_path(tmp_path, kind):
    text, message = BAD[kind]
    path = written(tmp_path, text)

    with pytest.raises(InvalidProfile, match=message) as caught:
        load_profile(path)

    assert path == caught.value.where


def test_all_mistakes_of_a_profile_are_reported_at_once(tmp_path):
    text = 'name = 3\nrequired = ["fly"]\ngenerations = ["G9"]\nlevels = { COS010 = "loud", COS011 = 1 }\n'

    with pytest.raises(InvalidProfile) as caught:
        load_profile(written(tmp_path, text))

    assert [
        "line 1, name",
        "line 2, required",
        "line 3, generations",
        "line 4, levels.COS010",
        "line 4, levels.COS011",
    ] == [line.partition(":")[0] for line in caught.value.mistakes]


def test_a_profile_that_is_no_text_is_refused(tmp_path):
    with pytest.raises(InvalidProfile, match="the profile is not UTF-8"):
        load_profile(written(tmp_path, b'name = "\xff"\n'))


def test_a_profile_without_end_is_refused(tmp_path):
    with pytest.raises(InvalidProfile, match="expected at most 1048576 bytes"):
        load_profile(written(tmp_path, "#" * (1024 * 1024 + 1)))


@pytest.mark.parametrize("name", ["missing.toml", ".", "a\0b.toml", "x" * 5000 + ".toml"])
def test_a_profile_that_cannot_be_read_is_refused(tmp_path, name):
    with pytest.raises(InvalidProfile, match="the profile cannot be read"):
        load_profile(f"{tmp_path}/{name}")


# -- in a report -----------------------------------------------------------------------------------------------------


def test_a_level_of_the_profile_counts_in_the_report(tmp_path):
    name = derivative("initrd-without-microcode").write_layout(tmp_path / "image")
    own = written(tmp_path, 'name = "a"\nrequired = ["boot"]\nlevels = { COS033 = "error" }\n')

    assert Level.NOTE == result_of(inspect(name), "COS033").level
    report = inspect(name, profile=own)

    assert Level.ERROR == result_of(report, "COS033").level
    assert "a" == report.profile
    assert Verdict.FAIL == report.verdict  # an error that decides no capability stands by itself
    milder = written(tmp_path, 'name = "a"\nrequired = ["boot"]\nlevels = { COS033 = "warning" }\n')
    assert Verdict.PASS == inspect(name, profile=milder).verdict


def test_a_level_puts_a_result_before_graver_ones_of_others(tmp_path):
    name = derivative("kernel-removed").write_layout(tmp_path / "image")
    own = written(tmp_path, 'name = "a"\nrequired = ["boot"]\nlevels = { COS010 = "note" }\n')

    report = inspect(name, profile=own)

    assert Level.NOTE == report.failed[-1].level
    assert Status.NO == report.capabilities[Capability.BOOT].status
    assert Verdict.FAIL == report.verdict


def test_a_level_for_no_check_is_refused_before_anything_is_fetched(tmp_path):
    own = written(tmp_path, 'name = "a"\nrequired = ["boot"]\nlevels = { COS999 = "error" }\n')

    with pytest.raises(InvalidProfile, match="there is no check 'COS999'"):
        inspect(NOWHERE, profile=own)


def test_a_profile_that_does_not_load_costs_no_connection():
    with pytest.raises(InvalidProfile):
        inspect(NOWHERE, profile="no-such-profile")


def test_a_loaded_profile_can_be_given_as_it_is(tmp_path):
    report = inspect(derivative().write_layout(tmp_path), profile=load_profile("boot"))

    assert ((Capability.BOOT,), "boot") == (report.required, report.profile)


@pytest.mark.parametrize("capability", ["recovery", "iso", "aws", "gcp"])
def test_what_is_not_known_of_a_kind_of_image_never_passes(tmp_path, capability):
    own = written(tmp_path, f'name = "a"\nrequired = ["boot", "{capability}"]\n')

    report = inspect(derivative(generation="bootc").write_layout(tmp_path / "image"), profile=own)

    assert [] == [result for result in report.results if result.kind in (Kind.FAIL, Kind.OPEN)]
    assert Verdict.OPEN == report.verdict


@pytest.mark.parametrize("capability", ["upgrade", "recovery", "iso", "aws", "gcp"])
def test_every_operation_can_be_required(tmp_path, capability):
    own = written(tmp_path, f'name = "a"\nrequired = ["{capability}"]\n')

    assert Verdict.PASS == inspect(derivative().write_layout(tmp_path / "image"), profile=own).verdict


def test_verification_can_be_required(tmp_path):
    own = written(tmp_path, 'name = "a"\nrequired = ["verify"]\n')

    assert Verdict.PASS == inspect(derivative().write_layout(tmp_path / "good"), profile=own).verdict
    bad = derivative("no-cosign").write_layout(tmp_path / "bad")
    assert Verdict.FAIL == inspect(bad, profile=own).verdict
