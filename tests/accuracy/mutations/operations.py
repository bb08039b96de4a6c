"""Mutations of what operations read, for Elemental 3, bootc, Kairos, artefacts and the toolkit."""

import re

from tests.accuracy.mutations import mutation, text_of

from cosinspect.testing import Directory, File, Symlink
from cosinspect.testing.bootfiles import executable, linux_kernel
from cosinspect.testing.derivative import KERNEL_VERSION, program
from cosinspect.testing.derivative.programs import linked_root_programs
from cosinspect.testing.elf_files import elf_file

MODULES = f"usr/lib/modules/{KERNEL_VERSION}/"
UNITS = "usr/lib/systemd/system/"
MOUNT = (
    "[Unit]\nDescription=d\n[Mount]\nWhat=LABEL=DATA\nWhere=/data\n[Install]\nRequiredBy=local-fs.target\n"
)


@mutation("G6", boot="no", install="no")
def g6_hmac_missing(parts):
    parts.remove(MODULES + ".vmlinuz.hmac")


@mutation("G6", boot="no")
def g6_second_kernel_sorts_first(parts):
    parts.top = {"usr/lib/modules/6.9.0-1-default/vmlinuz": linux_kernel("6.9.0-1-default")}
    parts.step = "zypper"


@mutation("G6", boot="no")
def g6_image_beside(parts):
    parts.top = {MODULES + "vmlinuz-x": linux_kernel(KERNEL_VERSION)}
    parts.step = "x"


@mutation("G6", boot="no")
def g6_kernel_link_absolute_to_boot(parts):
    key = parts.kernel.pop(MODULES + "vmlinuz")
    parts.kernel["boot/vmlinuz-" + KERNEL_VERSION] = key
    parts.kernel[MODULES + "vmlinuz"] = Symlink("/boot/vmlinuz-" + KERNEL_VERSION)


@mutation("G6", boot="no")
def g6_kernel_link_deep(parts):
    key = parts.kernel.pop(MODULES + "vmlinuz")
    parts.kernel[MODULES + "k5"] = key
    for i in range(4, 0, -1):
        parts.kernel[MODULES + f"k{i}"] = Symlink(f"k{i + 1}")
    parts.kernel[MODULES + "vmlinuz"] = Symlink("k1")
    parts.kernel[MODULES + ".k5.hmac"] = "0"


@mutation("G6", install="no")
def g6_fstab_comment(parts):
    parts.write("etc/fstab", "# /etc/fstab\n")


@mutation("G6", install="no")
def g6_fstab_empty(parts):
    parts.write("etc/fstab", "")


@mutation("G6", install="no")
def g6_fstab_six_fields(parts):
    parts.write("etc/fstab", "LABEL=x /x ext4 defaults 0 0\n")


@mutation("G6", install="no")
def g6_snapper_foreign(parts):
    parts.write("usr/bin/snapper", executable(program("arm64")))


@mutation("G6", install="no")
def g6_snapper_template_dir(parts):
    parts.write("usr/share/snapper/config-templates/default", Directory())


@mutation("G6", install="no")
def g6_os_release_no_id(parts):
    parts.write("usr/lib/os-release", "NAME=x\n")


@mutation("G6", install="no")
def g6_os_release_crlf_quote(parts):
    parts.write("usr/lib/os-release", 'ID="x\nNAME=y\n')


@mutation("G6", install="no")
def g6_shim_dangling(parts):
    parts.write("usr/share/efi/x86_64/shim.efi", Symlink("/usr/lib64/efi/shim.efi"))


@mutation("G6", install="no")
def g6_grub2_a_file(parts):
    parts.remove("usr/share/grub2")
    parts.write("usr/share/grub2", File("x"))


@mutation("G6", install="no")
def g6_setfiles_gone(parts):
    parts.remove("usr/sbin/setfiles")


@mutation("G6", install="no", boot="yes")
def g6_etc_elemental_file(parts):
    parts.write("etc/elemental", File("x"))


@mutation("G6", boot="no")
def g6_btrfs_gone(parts):
    parts.initrd.pop(f"{MODULES}kernel/fs/btrfs/btrfs.ko")


@mutation("G6", boot="no")
def g6_btrfs_empty(parts):
    parts.initrd[f"{MODULES}kernel/fs/btrfs/btrfs.ko"] = File(b"")


@mutation("G6", boot="no")
def g6_fstab_generator_mode(parts):
    parts.initrd["usr/lib/systemd/system-generators/systemd-fstab-generator"] = File(program(), mode=0o644)


@mutation("G6", recovery="no")
def g6_no_dmsquash(parts):
    text = parts.initrd["usr/lib/dracut/modules.txt"]
    text = text if isinstance(text, str) else text.content.decode()
    parts.initrd["usr/lib/dracut/modules.txt"] = text.replace("dmsquash-live\n", "")


@mutation("G6", upgrade="no")
def g6_ctl_not_exec(parts):
    parts.write("usr/bin/elemental3ctl", File(program(), mode=0o644))


@mutation("G6", install="no")
def g6_initrd_is_link_dangling(parts):
    parts.write(parts.initrd_path, Symlink("initrd-x"))


@mutation("bootc", install="no")
def bootc_prepare_root_gone(parts):
    parts.remove("usr/lib/ostree/prepare-root.conf")


@mutation("bootc", install="yes")
def bootc_prepare_root_in_etc(parts):
    parts.packages["etc/ostree/prepare-root.conf"] = parts.packages.pop("usr/lib/ostree/prepare-root.conf")


@mutation("bootc", install="no")
def bootc_no_filesystem(parts):
    parts.write("usr/lib/bootc/install/00-defaults.toml", "[install]\n")


@mutation("bootc", install="no")
def bootc_filesystem_crlf_bad(parts):
    parts.write("usr/lib/bootc/install/00-defaults.toml", "[install.filesystem.root\r\ntype = 'ext4'\r\n")


@mutation("bootc", install="no")
def bootc_kargs_unknown(parts):
    parts.write("usr/lib/bootc/kargs.d/20.toml", 'kargs = ["a"]\nfoo = 1\n')


@mutation("bootc", install="no")
def bootc_kargs_is_file(parts):
    parts.remove("usr/lib/bootc/kargs.d")
    parts.write("usr/lib/bootc/kargs.d", File("x"))


@mutation("bootc", boot="no")
def bootc_two_kernels(parts):
    parts.top = {"usr/lib/modules/6.2.0/vmlinuz": linux_kernel("6.2.0")}
    parts.step = "x"


@mutation("bootc", fails="COS264")
def bootc_updates_gone(parts):
    parts.remove("usr/lib/bootupd/updates/EFI.json")


@mutation("bootc", install="no")
def bootc_two_shims(parts):
    parts.write("usr/lib/bootupd/updates/EFI/other/shimx64.efi", b"MZ")


@mutation("bootc", install="no")
def bootc_var_run_dir(parts):
    parts.write("var/run", Directory())


@mutation("bootc", install="no")
def bootc_usr_etc(parts):
    parts.write("usr/etc/foo", "x")


@mutation("bootc", boot="no")
def bootc_ostree_prepare_root_foreign(parts):
    parts.initrd["usr/lib/ostree/ostree-prepare-root"] = executable(program("arm64"))


@mutation("bootc", boot="yes")
def bootc_fstab_nofail(parts):
    parts.write("etc/fstab", "UUID=abcd /data ext4 nofail 0 0\n\t# c\nLABEL=x /y xfs defaults 0 0\n")


@mutation("bootc", boot="no")
def bootc_fstab_tabs_uuid(parts):
    parts.write("etc/fstab", "/dev/disk/by-uuid/abcd\t/data\tauto\tdefaults\t0\t0\r\n")


@mutation("bootc", boot="no")
def bootc_fstab_nofail_crlf(parts):
    parts.write("etc/fstab", "UUID=abcd\t/data\tauto\tnofail\r\n")


@mutation("bootc-sealed", boot="no")
def sealed_initrd_systemd_empty(parts):
    parts.initrd["usr/lib/systemd/systemd"] = executable(b"")


@mutation("bootc-sealed", boot="no")
def sealed_initrd_foreign_mount(parts):
    parts.initrd["usr/bin/mount"] = executable(program("arm64"))


@mutation("uki-artefact", boot="no")
def uki_immucore_foreign(parts):
    parts.initrd["usr/bin/kairos"] = executable(program("arm64"))


@mutation("uki-artefact", boot="no")
def uki_systemd_empty(parts):
    parts.initrd["usr/lib/systemd/systemd"] = executable(b"")


@mutation("uki-artefact", boot="no")
def uki_libs(parts):
    parts.initrd.update(linked_root_programs("amd64"))
    parts.initrd.pop("usr/lib/libpam.so.0")


@mutation("uki-artefact", boot="no")
def uki_init_mode(parts):
    parts.initrd["usr/bin/kairos"] = File(program(), mode=0o644)


@mutation("kairos", boot="no")
def kairos_immucore_gone_initrd(parts):
    parts.initrd.pop("usr/bin/immucore")
    parts.initrd.pop("usr/bin/kairos-agent")


@mutation("kairos", boot="no")
def kairos_immucore_service_gone(parts):
    parts.initrd.pop("usr/lib/systemd/system/immucore.service")


@mutation("kairos", fails="COS147")
def kairos_grub_install_foreign(parts):
    parts.write("usr/sbin/grub2-install", executable(program("arm64")))


@mutation("kairos", install="no")
def kairos_agent_empty(parts):
    parts.write("usr/bin/kairos-agent", executable(b""))


@mutation("kairos-multi-call", fails="COS130")
def kairos_multicall_link_relative_broken(parts):
    parts.write("usr/bin/immucore", Symlink("../kairos"))


@mutation("kairos-trusted", boot="no")
def trusted_init_exists(parts):
    parts.write("init", Symlink("usr/bin/immucore"))


@mutation("kairos-trusted", boot="no")
def trusted_kernel_link_modules(parts):
    parts.write("boot/vmlinuz", Symlink(f"../usr/lib/modules/{KERNEL_VERSION}/vmlinuz"))


@mutation("kairos-trusted", boot="no")
def trusted_release_unquoted(parts):
    text = text_of(parts, "etc/kairos-release")
    parts.write("etc/kairos-release", re.sub('KAIROS_RELEASE="(.*?)"', "KAIROS_RELEASE=\\1", text))


@mutation("kairos-trusted", boot="no")
def trusted_release_single_quotes(parts):
    text = text_of(parts, "etc/kairos-release")
    parts.write("etc/kairos-release", re.sub('KAIROS_RELEASE="(.*?)"', "KAIROS_RELEASE='\\1'", text))


@mutation("G5", install="no")
def g5_no_loopback_mod(parts):
    parts.remove("usr/share/grub2/x86_64-efi/loopback.mod")


@mutation("G5", install="no")
def g5_shim_is_directory(parts):
    parts.write("usr/share/efi/x86_64/shim.efi", Directory())


@mutation("G5", install="no")
def g5_grub_efi_loop(parts):
    parts.write("usr/share/grub2/x86_64-efi/grub.efi", Symlink("grub.efi"))


@mutation("G5", recovery="no")
def g5_only_cos_bootargs(parts):
    parts.packages["etc/cos/bootargs.cfg"] = parts.packages.pop("etc/elemental/bootargs.cfg")


@mutation("G5", install="no")
def g5_elemental_initrd_dir(parts):
    parts.write("boot/elemental.initrd-0", Directory())


@mutation("G5", install="no")
def g5_kernel_plain_name(parts):
    key = parts.kernel.pop(f"boot/vmlinuz-{KERNEL_VERSION}")
    parts.kernel["boot/vmlinuz"] = key


@mutation("G5", install="no")
def g5_uimage_stray(parts):
    parts.write("boot/uImage", File("x"))


@mutation("G5", install="no")
def g5_setfiles_missing_lib(parts):
    parts.top = {
        "etc/selinux/targeted/contexts/files/file_contexts": "/.* system_u:object_r:default_t:s0\n",
        "usr/sbin/setfiles": executable(
            elf_file(interpreter="/lib/ld-musl-x86_64.so.1", needed=["libselinux.so.1"])
        ),
    }
    parts.step = "x"


@mutation("G4", install="no")
def g4_blkdeactivate_gone(parts):
    parts.remove("usr/sbin/blkdeactivate")


@mutation("G3 G4", install="no")
def g4_blkdeactivate_crlf(parts):
    parts.write("usr/sbin/blkdeactivate", executable("#!/bin/bash\r\nexit 0\r\n"))


@mutation("G2 G3 G4 G5", install="no")
def config_yaml_tab(parts):
    parts.write("etc/elemental/config.yaml", "install:\n\tlabel: x\n")


@mutation("G2", upgrade="no", install="no")
def os_release_env_bad(parts):
    parts.write("usr/lib/os-release", 'NAME="cOS"\nthis is not a line\n')


@mutation("G2 G4 G5", install="no")
def rsync_foreign(parts):
    parts.write("usr/bin/rsync", executable(program("arm64")))


@mutation("G2 G4 G5", upgrade="no")
def tune2fs_dangling(parts):
    parts.write("usr/sbin/tune2fs", Symlink("/usr/lib/e2fs/tune2fs"))


@mutation("G2 G4 G5", install="no")
def mkfs_mode(parts):
    parts.write("usr/sbin/mkfs.ext4", File(program(), mode=0o644))


@mutation("G2 G4 G5", install="no")
def long_name(parts):
    parts.write("usr/share/" + "x" * 256, File("x"))


@mutation("G2 G5", iso="no")
def iso_no_dmsquash(parts):
    text = parts.initrd["usr/lib/dracut/modules.txt"]
    text = text if isinstance(text, str) else text.content.decode()
    parts.initrd["usr/lib/dracut/modules.txt"] = text.replace("dmsquash-live\n", "")


@mutation("G2 G5", iso="no")
def iso_no_squashfs(parts):
    parts.initrd.pop(f"{MODULES}kernel/fs/squashfs/squashfs.ko")


@mutation("G2 G5", iso="no")
def iso_isofs_empty(parts):
    parts.initrd[f"{MODULES}kernel/fs/isofs/isofs.ko"] = File(b"")


@mutation("G2 G5", aws="no")
def aws_ena_gone_nvme_dangling(parts):
    parts.initrd.pop(f"{MODULES}kernel/drivers/net/ethernet/amazon/ena/ena.ko")
    parts.initrd[f"{MODULES}kernel/drivers/nvme/host/nvme.ko"] = Symlink("x")


@mutation("G2 G4", boot="yes")
def oem_yaml_crlf(parts):
    for key in list(parts.packages):
        if key.startswith("system/oem/"):
            parts.packages[key] = File(parts.packages[key].content.replace(b"\n", b"\r\n"), mode=0o600)


@mutation("G2", boot="no")
def oem_first_rootfs_if_false(parts):
    text = parts.packages["system/oem/00_rootfs.yaml"].content.decode()
    parts.write("system/oem/00_rootfs.yaml", File(re.sub("if: '.*'", "if: 'false'", text)))


@mutation("G2", boot="no")
def oem_rootfs_bad_type(parts):
    text = parts.packages["system/oem/00_rootfs.yaml"].content.decode()
    parts.write("system/oem/00_rootfs.yaml", File(text.replace('OVERLAY: "tmpfs:25%"', "OVERLAY: [a]")))


@mutation("G2 G5", boot="no")
def units_kmod_initrd_mode(parts):
    parts.initrd["usr/bin/kmod"] = File(program(), mode=0o644)
