"""The mutations that were judged wrongly once; the others are tried by a command of their own."""

import pytest
from tests.accuracy.mutations import MUTATIONS

WRONG_ONCE = [
    "login_needs_newer_libc-G2",
    "login_needs_newer_libc-bootc",
    "initrd_mount_newer_libc-G5",
    "passwd_with_crlf-G2",
    "initrd_cmdline_hook_dir-G5",
    "initrd_storage_rules_masked-kairos",
    "initrd_overlay_in_other_dir-G2",
    "initrd_overlay_empty-G2",
    "initrd_overlay_dangling-G5",
    "default_target_rescue_only-G5",
    "default_target_rescue_only-bootc",
    "volumes_unknown_label-G2",
    "volumes_second_file_overrides-G2",
    "volumes_label_made_by_layout-G2",
    "var_a_file-G5",
    "tmp_a_file-G2",
    "pam_login_dir-G2",
    "bootargs_return_first-G2",
    "grub_cfg_bom-G5",
    "g6_snapper_foreign-G6",
    "g6_snapper_template_dir-G6",
    "g6_os_release_crlf_quote-G6",
    "g6_fstab_generator_mode-G6",
    "g6_btrfs_empty-G6",
    "kairos_grub_install_foreign-kairos",
    "tune2fs_dangling-G5",
    "bootc_fstab_tabs_uuid-bootc",
    "bootc_fstab_nofail-bootc",
    "bootc_fstab_nofail_crlf-bootc",
    "uki_immucore_foreign-uki-artefact",
    "uki_systemd_empty-uki-artefact",
    "uki_libs-uki-artefact",
    "uki_init_mode-uki-artefact",
    "iso_isofs_empty-G2",
    "systemctl_dir-G2",
]


@pytest.mark.parametrize("name", WRONG_ONCE)
def test_a_mutation_is_judged_by_what_a_machine_does(tmp_path, name):
    assert MUTATIONS[name].outcome(tmp_path) == ""
