"""Rules of Kairos, AuroraBoot and bootc one by one, with the line of upstream's code or test that has each."""

import pytest

from cosinspect import inspect
from cosinspect.checks.kairos_system import choose_kernel
from cosinspect.report.report import Kind, Verdict
from cosinspect.testing import Directory, File, Symlink
from cosinspect.testing.bootfiles import executable, linux_kernel, unified_kernel_image
from cosinspect.testing.derivative import KERNEL_VERSION, derivative_of
from cosinspect.testing.derivative.parts import UnifiedParts, parts_of, program
from cosinspect.testing.derivative.variants import COMPOSEFS_DIGEST, VARIANTS

MODULES = f"usr/lib/modules/{KERNEL_VERSION}"


def report(tmp_path, base, change=lambda _: None, architecture="amd64"):
    """Inspect a good image of a generation or another layout, changed."""
    parts = VARIANTS[base].parts(architecture) if base in VARIANTS else parts_of(base, architecture)
    change(parts)
    return inspect(derivative_of(parts).write_layout(tmp_path))


def failed(found):
    return sorted(result.check for result in found.failed)


def said(found, check):
    result = next(each for each in found.results if each.check == check)
    return " ".join([*(finding.message for finding in result.findings), *result.evidence, result.reason])


def written(**entries):
    """Write files into the packages' layer; `__` stands for a slash and `_dot_` for a dot."""

    def change(parts):
        for name, entry in entries.items():
            parts.packages[name.replace("__", "/").replace("_dot_", ".").replace("_dash_", "-")] = entry

    return change


# -- Kairos ----------------------------------------------------------------------------------------------------------


def test_the_program_of_today_is_asked_for_once_where_all_links_lead_to_it(tmp_path):
    """sdk/constants: agent, immucore and the challenger are absolute links to /usr/bin/kairos."""
    found = report(tmp_path, "kairos-multi-call", lambda parts: parts.remove("usr/bin/kairos"))

    assert ["COS062"] == failed(found)
    assert "which another check reports" in said(found, "COS130")


@pytest.mark.parametrize("name", ["kairos-agent", "immucore"])
def test_either_name_runs_the_stages_in_the_initrd(tmp_path, name):
    def change(parts):
        other = {"kairos-agent": "immucore", "immucore": "kairos-agent"}[name]
        if other == "kairos-agent":
            del parts.initrd["usr/bin/kairos-agent"]

    assert Verdict.PASS == report(tmp_path, "kairos", change).verdict


@pytest.mark.parametrize(
    ("names", "model", "chosen"),
    [
        ((), "generic", None),
        (("6.1.0-50-amd64",), "generic", "6.1.0-50-amd64"),
        (
            ("6.8.0-40-generic", "6.8.0-9-generic"),
            "generic",
            "6.8.0-9-generic",
        ),  # words are compared as words
        (
            ("5.14.0-503.el9.x86_64", "5.14.0-70.el9.x86_64"),
            "generic",
            "5.14.0-503.el9.x86_64",
        ),  # no versions
        (("6.8.0-1013-raspi", "6.11.0-9-generic"), "rpi4", "6.8.0-1013-raspi"),
        (("6.8.0-1013-raspi", "6.11.0-9-generic"), "generic", "6.11.0-9-generic"),
        (("6.12",), "generic", "6.12.0"),
    ],
)
def test_the_kernel_is_chosen_as_kairos_init_does(names, model, chosen):
    assert chosen == choose_kernel(names, model)


def test_a_version_that_is_written_otherwise_than_the_directory_is_told(tmp_path):
    """kernel.go returns the version's own spelling, which is then no directory."""

    def change(parts):
        for group in (parts.kernel, parts.boot, parts.initrd):
            for path in [path for path in group if KERNEL_VERSION in path]:
                group[path.replace(KERNEL_VERSION, "6.12")] = group.pop(path)
        parts.kernel["boot/vmlinuz-6.12"] = linux_kernel("6.12")
        parts.kernel["boot/vmlinuz"] = Symlink("vmlinuz-6.12")

    found = report(tmp_path, "kairos", change)

    assert ["COS141"] == failed(found)
    assert "6.12.0, which does not exist" in said(found, "COS141")


def test_hadron_needs_no_nfs_client_and_others_do(tmp_path):
    """validate.go:50."""

    def change(parts):
        for path in [path for path in parts.packages if path.endswith("/mount.nfs")]:
            del parts.packages[path]

    assert [] == failed(report(tmp_path / "hadron", "kairos-hadron", change))
    assert ["COS131"] == failed(report(tmp_path / "other", "kairos-multi-call", change))


@pytest.mark.parametrize("check", ["COS020", "COS024", "COS040", "COS042", "COS043"])
def test_rules_of_grub_and_the_initrd_are_not_for_trusted_boot(tmp_path, check):
    """steps_init.go removes the initrd, steps_install.go writes no bootargs.cfg."""
    found = report(tmp_path, "kairos-trusted")

    assert Kind.NOT_APPLICABLE == next(each.kind for each in found.results if each.check == check)


def test_trusted_boot_without_a_kernel_fails_by_the_kernels_check(tmp_path):
    found = report(tmp_path, "kairos-trusted", lambda parts: parts.remove("boot/vmlinuz"))

    assert ["COS010"] == failed(found)


def test_an_older_trusted_image_has_its_keys_in_os_release(tmp_path):
    def change(parts):
        text = parts.packages.pop("etc/kairos-release")
        parts.base["usr/lib/os-release"] = f"ID=kairos\n{text}"

    found = report(tmp_path, "kairos-trusted", change)

    assert "kairos-trusted" == found.generation
    assert [] == failed(found)


# -- UKI artefacts ---------------------------------------------------------------------------------------------------


def test_every_unified_kernel_image_of_an_artefact_is_looked_at(tmp_path):
    """`--single-efi-cmdline` makes one more."""

    def change(parts):
        parts.unified["EFI/kairos/norole_debug.efi"] = UnifiedParts(b"none", "rd.immucore.uki debug")
        parts.base["loader/entries/norole_debug.conf"] = "title Debug\nefi /EFI/kairos/norole_debug.efi\n"

    assert ["COS251"] == failed(report(tmp_path, "uki-artefact", change))


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        ("title Kairos\nlinux /EFI/kairos/norole.efi\n", "efi or uki"),
        ("title Kairos\n", "efi or uki"),
        ("uki /EFI/kairos/norole.efi\n", "title"),
        ("title Kairos\nuki /EFI/kairos\n", "not there"),
        ("# nothing\n", "efi or uki"),
    ],
)
def test_an_entry_needs_a_title_and_a_program(tmp_path, entry, word):
    """agent/pkg/uki/common.go, replaceRoleInKey and replaceConfTitle."""
    found = report(
        tmp_path, "uki-artefact", lambda parts: parts.base.update({"loader/entries/norole.conf": entry})
    )

    assert ["COS256"] == failed(found)
    assert word in said(found, "COS256")


@pytest.mark.parametrize(("architecture", "name"), [("amd64", "BOOTX64.EFI"), ("arm64", "BOOTAA64.EFI")])
def test_the_boot_loader_has_the_name_that_firmware_looks_for(tmp_path, architecture, name):
    found = report(tmp_path, "uki-artefact", lambda parts: parts.remove(f"EFI/BOOT/{name}"), architecture)

    assert ["COS255"] == failed(found)
    assert name in said(found, "COS255")


def test_an_initrd_that_is_too_large_for_us_is_undecided(tmp_path):
    found = report(
        tmp_path, "uki-artefact", lambda parts: setattr(parts, "cut", lambda _: b"\x89LZO\0\r\n\x1a\n" * 99)
    )

    assert Verdict.OPEN == found.verdict
    assert ["COS252"] == [each.check for each in found.results if each.kind is Kind.OPEN]


# -- bootc: lints ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/sysroot/ostree", "sysroot/ostree/", "./sysroot/ostree", "sysroot"])
def test_the_link_ostree_is_taken_letter_by_letter(tmp_path, target):
    """lints.rs:623 compares the bytes."""
    assert ["COS156"] == failed(report(tmp_path, "bootc", written(ostree=Symlink(target))))


def test_the_base_images_own_account_is_held_to_the_same_rules(tmp_path):
    """lints.rs: usr/share/doc/bootc/baseimage/base."""
    base = "usr/share/doc/bootc/baseimage/base"

    def change(parts):
        parts.packages |= {f"{base}/sysroot": Directory(), f"{base}/ostree": Symlink("/sysroot/ostree")}

    assert ["COS156", "COS161"] == failed(report(tmp_path, "bootc", change))


@pytest.mark.parametrize(
    "text",
    [
        "[composefs]\nenabled = no\n",
        "[composefs]\nenabled = True\n",
        "[composefs]\nenabled = yes \n",  # the value has a blank behind it
        "[composefs]\n",
        "[root]\ntransient = false\n",
        "[other]\nenabled = yes\n",
    ],
)
def test_what_does_not_enable_composefs_is_told(tmp_path, text):
    """ostree_prepareroot.rs, test_tristate and test_overlayfs_enabled."""
    found = report(tmp_path, "bootc", written(usr__lib__ostree__prepare_dash_root_dot_conf=text))

    assert ["COS161"] == failed(found)


def test_the_file_in_etc_counts_before_the_one_in_usr(tmp_path):
    """load_config_from_root looks into etc first."""
    found = report(
        tmp_path, "bootc", written(etc__ostree__prepare_dash_root_dot_conf="[composefs]\nenabled = no\n")
    )

    assert ["COS161"] == failed(found)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('kargs = ["a"]\nfoo = "bar"\n', True),
        ('foo = "bar"\n', True),
        ("kargs = [1]\n", True),
        ('kargs = "a"\n', True),
        ("kargs = []\n", False),
        ('kargs = ["a"]\nmatch-architectures = []\n', False),
    ],
)
def test_kernel_arguments_are_parsed_as_bootc_does(tmp_path, text, fault):
    """bootc_kargs.rs, test_invalid and test_arch."""
    found = report(tmp_path, "bootc", written(usr__lib__bootc__kargs_dot_d__20_dot_toml=text))

    assert (["COS152"] if fault else []) == failed(found)


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ({"run/dnf": Directory()}, True),
        ({"run/leaked-file": "data"}, True),
        ({"tmp/build": Directory()}, True),
        ({"run/systemd/resolve": Directory()}, False),
        ({"run/systemd/resolve/stub-resolv.conf": "data"}, False),
        ({"run/systemd/resolve/something-else": "data"}, True),
        ({"run/systemd/resolve/stub-resolv.conf": "", "run/systemd/journal": Directory()}, True),
    ],
)
def test_run_and_tmp_are_empty_but_for_the_resolver(tmp_path, entries, told):
    """lints.rs, test_runtime_only_dirs."""
    found = report(tmp_path, "bootc", lambda parts: parts.packages.update(entries))

    assert (["COS166"] if told else []) == failed(found)


def test_boot_may_have_efi_and_nothing_else(tmp_path):
    """lints.rs, test_boot; a missing directory is told too."""
    unified = unified_kernel_image(linux_kernel(), b"", command_line=f"composefs={COMPOSEFS_DIGEST}")

    def with_directory(parts):
        parts.packages["boot/somesubdir"] = Directory()

    assert "COS165" not in failed(
        report(tmp_path / "a", "bootc", written(boot__EFI__Linux__x_dot_efi=unified))
    )
    assert ["COS165"] == failed(report(tmp_path / "b", "bootc", with_directory))
    assert ["COS165"] == failed(report(tmp_path / "c", "bootc", lambda parts: parts.base.pop("boot")))


def test_logs_are_regular_files_that_are_not_empty(tmp_path):
    """lints.rs, test_varlog."""
    lines = "d /var/log 0755\nL /var/log/README - - - - x\nf /var/log/wtmp 0664\nd /var/log/app 0755\n"

    def harmless(parts):
        parts.packages |= {
            "var/log/README": Symlink("../../usr/share/doc/systemd/README.logs"),
            "var/log/wtmp": "",
            "var/log/app": Directory(),
            "usr/lib/tmpfiles.d/log.conf": lines,
        }

    def grave(parts):
        harmless(parts)
        parts.packages["var/log/app/info.log"] = "info"
        parts.packages["usr/lib/tmpfiles.d/log.conf"] = f"{lines}f /var/log/app/info.log\n"

    assert [] == failed(report(tmp_path / "a", "bootc", harmless))
    assert ["COS162"] == failed(report(tmp_path / "b", "bootc", grave))


def test_accounts_are_told_by_name(tmp_path):
    """crates/sysusers, test_missing."""
    text = "root:x:0:0:Super User:/root:/bin/bash\npassim:x:982:982::/:/x\navahi:x:70:70::/:/x\n"
    found = report(tmp_path, "bootc", written(etc__passwd=text))

    assert ["COS168"] == failed(found)
    assert "passim, avahi have none" in said(found, "COS168")


def test_a_name_in_a_link_is_held_to_utf8_too(tmp_path):
    """lints.rs:502."""
    assert ["COS154"] == failed(report(tmp_path, "bootc", written(usr__share__doc=Symlink("caf\udce9"))))


# -- bootc: installation ---------------------------------------------------------------------------------------------


def test_systemd_boot_without_a_unified_kernel_image_is_refused_with_ostree(tmp_path):
    """install.rs:1886."""

    def change(parts):
        parts.remove("usr/bin/bootupctl", "usr/lib/bootupd")
        parts.packages["usr/lib/systemd/boot/efi/systemd-bootx64.efi"] = b"MZ"

    found = report(tmp_path, "bootc", change)

    assert ["COS163"] == failed(found)
    assert "which ostree cannot use" in said(found, "COS163")


def test_settings_may_leave_the_boot_loader_to_others(tmp_path):
    def change(parts):
        parts.remove("usr/bin/bootupctl", "usr/lib/bootupd")
        parts.packages["usr/lib/bootc/install/10-boot.toml"] = '[install]\nbootloader = "none"\n'

    assert [] == failed(report(tmp_path, "bootc", change))


def test_settings_that_ask_for_systemd_boot_need_a_unified_kernel_image(tmp_path):
    text = '[install]\nbootloader = "systemd"\n'
    found = report(tmp_path, "bootc", written(usr__lib__bootc__install__10_dot_toml=text))

    assert ["COS163"] == failed(found)


@pytest.mark.parametrize(("there", "checks"), [(True, []), (False, ["COS163"])])
def test_s390x_needs_zipl(tmp_path, there, checks):
    def change(parts):
        parts.platform = "linux/s390x"
        if there:
            parts.packages["usr/sbin/zipl"] = executable()

    found = inspect_for(tmp_path, change, "linux/s390x")

    assert checks == [check for check in failed(found) if check == "COS163"]


def inspect_for(tmp_path, change, platform):
    parts = parts_of("bootc", "amd64")
    change(parts)
    return inspect(derivative_of(parts).write_layout(tmp_path), platform=platform)


@pytest.mark.parametrize(
    ("files", "filesystem"),
    [
        ({"usr/lib/bootc/install/00.toml": '[install]\nroot-fs-type = "xfs"\n'}, "xfs"),
        (
            {
                "usr/lib/bootc/install/00.toml": '[install.filesystem.root]\ntype = "xfs"\n',
                "etc/bootc/install/50.toml": '[install.filesystem.root]\ntype = "btrfs"\n',
            },
            "btrfs",
        ),
        (
            {
                "usr/lib/bootc/install/00.toml": '[install.filesystem.root]\ntype = "xfs"\n',
                "etc/bootc/install/00.toml": '[install.filesystem.root]\ntype = "btrfs"\n',
            },
            "btrfs",
        ),
        (
            {
                "usr/lib/bootc/install/00.toml": '[install.filesystem.root]\ntype = "xfs"\n',
                "usr/lib/bootc/install/50.toml": '[install]\nmatch-architectures = ["aarch64"]\nroot-fs-type = "ext4"\n',
            },
            "xfs",
        ),
    ],
)
def test_settings_are_put_together_as_bootc_does(tmp_path, files, filesystem):
    """install/config.rs, load_config and canonicalize."""

    def change(parts):
        del parts.packages["usr/lib/bootc/install/00-defaults.toml"]
        parts.packages |= files | {f"usr/bin/mkfs.{filesystem}": executable(program())}

    found = report(tmp_path, "bootc", change)

    assert [] == failed(found)
    assert f"is {filesystem}" in said(found, "COS262")


def test_encryption_by_default_needs_its_commands(tmp_path):
    """install/baseline.rs, BlockSetup::Tpm2Luks."""
    text = '[install]\nblock = ["tpm2-luks"]\n'
    found = report(tmp_path, "bootc", written(usr__lib__bootc__install__10_dot_toml=text))

    assert ["COS265"] == failed(found)
    assert "cryptsetup" in said(found, "COS265")
    assert "systemd-cryptenroll" in said(found, "COS265")


def test_a_sealed_image_cannot_leave_the_boot_loader_to_others(tmp_path):
    """install.rs: not supported with the composefs backend."""
    text = '[install]\nbootloader = "none"\n'
    found = report(tmp_path, "bootc-sealed", written(usr__lib__bootc__install__10_dot_toml=text))

    assert ["COS163"] == failed(found)


def test_shim_is_searched_where_newer_fedora_has_it(tmp_path):
    """bootupd, efi.rs: usr/lib/efi before the updates."""

    def change(parts):
        for path in [path for path in parts.packages if "updates/EFI/" in path]:
            name = path.rpartition("/")[2]
            parts.packages[f"usr/lib/efi/shim/15.8/EFI/fedora/{name}"] = parts.packages.pop(path)

    assert [] == failed(report(tmp_path, "bootc", change))


def test_a_sealed_image_may_be_insecure_on_purpose(tmp_path):
    """status.rs: composefs=?<digest>."""

    def change(parts):
        (unified,) = parts.unified.values()
        unified.command_line = f"root=UUID=0 composefs=?{COMPOSEFS_DIGEST}"
        parts.packages["usr/lib/bootc/install/00-defaults.toml"] = '[install]\nroot-fs-type = "xfs"\n'
        parts.packages["usr/bin/mkfs.xfs"] = File(program(), mode=0o755)

    assert [] == failed(report(tmp_path, "bootc-sealed", change))


def test_the_first_unified_kernel_image_by_name_is_the_one(tmp_path):
    """kernel.rs, test_find_uki_path_sorted."""

    def change(parts):
        parts.packages["boot/EFI/Linux/9-older.efi"] = b"not read"

    assert [] == failed(report(tmp_path, "bootc-sealed", change))


def test_a_unified_kernel_image_takes_precedence_over_a_kernel_beside_the_modules(tmp_path):
    """kernel.rs, test_find_kernel_uki_takes_precedence."""

    def change(parts):
        parts.kernel[f"{MODULES}/vmlinuz"] = b"fake kernel"

    assert [] == failed(report(tmp_path, "bootc-sealed", change))


def test_the_initrd_of_a_sealed_image_is_that_of_the_unified_kernel_image(tmp_path):
    """kernel.rs: the first of /boot/EFI/Linux/*.efi, whatever lies beside the modules."""

    def change(parts):
        for path in [path for path in parts.initrd if "ostree-prepare-root" in path]:
            del parts.initrd[path]

    found = report(tmp_path, "bootc-sealed", change)

    assert ["COS189"] == failed(found)
    assert f"/boot/EFI/Linux/{KERNEL_VERSION}.efi" in {
        finding.path for each in found.failed for finding in each.findings
    }


def test_the_initrd_of_a_sealed_image_has_the_modules_of_its_kernel(tmp_path):
    def change(parts):
        for path in [path for path in parts.initrd if f"modules/{KERNEL_VERSION}" in path]:
            parts.initrd[path.replace(KERNEL_VERSION, "5.0.0-other")] = parts.initrd.pop(path)

    assert ["COS189"] == failed(report(tmp_path, "bootc-sealed", change))
