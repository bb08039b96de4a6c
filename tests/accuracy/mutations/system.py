"""Mutations of targets, mounts, the way to a login, kernel arguments, GRUB's scripts, kernels and initrds."""

import gzip

from tests.accuracy.mutations import bootargs_path, mutation, text_of

from cosinspect.testing import Directory, File, Opaque, Symlink
from cosinspect.testing.bootfiles import linux_kernel
from cosinspect.testing.derivative import KERNEL_VERSION

MODULES = f"usr/lib/modules/{KERNEL_VERSION}/"
UNITS = "usr/lib/systemd/system/"
MOUNT = (
    "[Unit]\nDescription=d\n[Mount]\nWhat=LABEL=DATA\nWhere=/data\n[Install]\nRequiredBy=local-fs.target\n"
)


@mutation("G2 G5 kairos bootc G6", boot="no")
def default_target_masked(parts):
    parts.write("etc/systemd/system/default.target", Symlink("/dev/null"))


@mutation("G2 G5 kairos bootc G6", boot="no")
def multi_user_masked_empty(parts):
    parts.write("etc/systemd/system/multi-user.target", File(""))


@mutation("G2 G5 kairos bootc G6", boot="no")
def basic_target_masked(parts):
    parts.write("etc/systemd/system/basic.target", Symlink("../../../dev/null"))


@mutation("G2 G5 kairos bootc G6", boot="yes")
def default_target_absolute_alias(parts):
    parts.write("etc/systemd/system/default.target", Symlink("/usr/lib/systemd/system/multi-user.target"))


@mutation("G2 G5 kairos bootc G6", boot="no")
def default_target_is_directory(parts):
    parts.remove(UNITS + "default.target")
    parts.top = {}
    parts.write("etc/systemd/system/default.target", Directory())
    parts.base.pop(UNITS + "default.target")


@mutation("G2 G5 kairos bootc G6", boot="no")
def default_target_rescue_only(parts):
    parts.write("etc/systemd/system/default.target", Symlink("/usr/lib/systemd/system/emergency.target"))


@mutation("G2 G5", boot="no")
def sysinit_requires_missing_by_dropin(parts):
    parts.write(
        "etc/systemd/system/sysinit.target.d/10-x.conf",
        "[Unit]\nRequires=nosuch.target\nAfter=nosuch.target\n",
    )


@mutation("G2 G5", boot="no")
def multi_user_requires_missing_by_dropin(parts):
    parts.write(
        "usr/lib/systemd/system/multi-user.target.d/10-x.conf", "[Unit]\r\nRequires=nosuch.service\r\n"
    )


@mutation("G2 G5", boot="no")
def mount_by_requires_in_dropin(parts):
    parts.base["data"] = Directory()
    parts.top = {
        "etc/systemd/system/data.mount": MOUNT,
        "etc/systemd/system/local-fs.target.d/d.conf": "[Unit]\nRequires=data.mount\n",
    }
    parts.step = "COPY"


@mutation("G2 G5", boot="no")
def mount_quoted_label(parts):
    parts.top = {
        "etc/systemd/system/data.mount": MOUNT.replace("LABEL=DATA", '"LABEL=DATA"'),
        "etc/systemd/system/local-fs.target.requires/data.mount": Symlink("../data.mount"),
    }
    parts.step = "COPY"


@mutation("G2 G5", boot="yes")
def mount_nofail_wanted(parts):
    parts.top = {
        "etc/systemd/system/data.mount": MOUNT,
        "etc/systemd/system/local-fs.target.wants/data.mount": Symlink("../data.mount"),
    }
    parts.step = "COPY"


@mutation("G2 G5", boot="no")
def mount_crlf(parts):
    parts.top = {
        "etc/systemd/system/data.mount": MOUNT.replace("\n", "\r\n"),
        "etc/systemd/system/local-fs.target.requires/data.mount": Symlink("../data.mount"),
    }
    parts.step = "COPY"


@mutation("G2 G5", boot="no")
def mount_in_usr_lib(parts):
    parts.top = {
        UNITS + "data.mount": MOUNT,
        UNITS + "local-fs.target.requires/data.mount": Symlink("../data.mount"),
    }
    parts.step = "COPY"


@mutation("G2", boot="no")
def volumes_unknown_label(parts):
    text = parts.packages["system/oem/00_rootfs.yaml"].content.decode()
    parts.write(
        "system/oem/00_rootfs.yaml",
        File(text.replace("LABEL=COS_PERSISTENT:/usr/local", "LABEL=DATA:/usr/local")),
    )


@mutation("G2", boot="no")
def volumes_second_file_overrides(parts):
    parts.write(
        "system/oem/90_vol.yaml",
        'stages:\n  rootfs:\n  - environment_file: /run/cos/cos-layout.env\n    environment:\n      VOLUMES: "LABEL=COS_OEM:/oem LABEL=STORE:/var/lib/store"\n',
    )


@mutation("G2", boot="yes")
def volumes_label_made_by_layout(parts):
    parts.base["var/lib/store"] = Directory()
    parts.write(
        "system/oem/90_vol.yaml",
        'stages:\n  rootfs.before:\n  - layout:\n      device: {label: COS_STATE}\n      add_partitions:\n      - fsLabel: STORE\n        pLabel: store\n        size: 10\n  rootfs:\n  - environment_file: /run/cos/cos-layout.env\n    environment:\n      VOLUMES: "LABEL=COS_OEM:/oem LABEL=STORE:/var/lib/store LABEL=COS_PERSISTENT:/usr/local"\n',
    )


@mutation("G2", boot="no")
def rw_paths_missing_dir(parts):
    parts.write(
        "system/oem/90_rw.yaml",
        'stages:\n  rootfs:\n  - environment_file: /run/cos/cos-layout.env\n    environment:\n      RW_PATHS: "/etc /root /home /opt /srv /usr/local /var /data"\n',
    )


@mutation("G2", fails="COS176")
def rw_paths_tabs_without_etc(parts):
    text = parts.packages["system/oem/00_rootfs.yaml"].content.decode()
    parts.write("system/oem/00_rootfs.yaml", File(text.replace('"/etc /root', '"/etc2 /root')))


@mutation("G2", boot="no")
def opt_removed_by_opaque_root_layer(parts):
    parts.remove("opt")
    parts.base.pop("opt")
    [parts.packages.pop(key) for key in list(parts.packages) if key.startswith("opt")]
    [parts.base.pop(key) for key in list(parts.base) if key.startswith("opt")]
    parts.kernel.pop("opt/old")


@mutation("G2", boot="no")
def opt_a_file(parts):
    parts.write("opt", File("x"))


@mutation("G2 G5", boot="no")
def var_a_file(parts):
    parts.write("var", File("x"))


@mutation("G2", boot="no")
def var_dangling(parts):
    parts.write("var", Symlink("/data/var"))


@mutation("G2 G5", boot="yes")
def srv_link(parts):
    parts.base["usr/local/srv"] = Directory()
    parts.write("srv", Symlink("usr/local/srv"))


@mutation("G2", boot="no")
def srv_dangling(parts):
    parts.write("srv", Symlink("/data/srv"))


@mutation("G2", boot="no", install="no")
def tmp_a_file(parts):
    parts.write("tmp", File("x"))


@mutation("G2 G5 G6", install="no")
def dev_a_file(parts):
    parts.write("dev", File("x"))


@mutation("G2 G5", install="no")
def proc_dangling(parts):
    parts.write("proc", Symlink("/nowhere/proc"))


@mutation("G2 G5", install="no")
def boot_replaced_by_file(parts):
    parts.write("boot", File("x"))


@mutation("G2 G5 kairos bootc G6", boot="no")
def pam_module_missing_by_include(parts):
    parts.write("etc/pam.d/login", "auth include common-auth\n")
    parts.top["etc/pam.d/common-auth"] = "auth required pam_nothing.so\n"


@mutation("G2 G5", boot="yes")
def pam_optional_missing(parts):
    text = parts.base["etc/pam.d/login"]
    text = text if isinstance(text, str) else text.content.decode()
    parts.write("etc/pam.d/login", text + "-session optional pam_gnome_keyring.so\n")


@mutation("G2 G5", boot="no")
def pam_login_dir(parts):
    parts.write("etc/pam.d/login", Directory())


@mutation("G2 G5", boot="no")
def getty_units_masked(parts):
    parts.top = {
        "etc/systemd/system/getty@.service": Symlink("/dev/null"),
        "etc/systemd/system/serial-getty@.service": Symlink("/dev/null"),
        "etc/systemd/system/getty.target": Symlink("/dev/null"),
    }
    parts.step = "x"


@mutation("G2 G5", boot="no")
def getty_exec_missing_via_dropin(parts):
    parts.top = {
        f"etc/systemd/system/{u}@.service.d/o.conf": "[Service]\nExecStart=\nExecStart=-/usr/local/bin/mygetty %I\n"
        for u in ("getty", "serial-getty")
    }
    parts.step = "x"


@mutation("G2 G5", boot="no")
def agetty_missing_by_whiteout(parts):
    parts.remove("usr/sbin/agetty")


@mutation("G2 G5 kairos", boot="no")
def bootargs_bom(parts):
    parts.write(bootargs_path(parts), "\ufeff" + text_of(parts, bootargs_path(parts)))


@mutation("G2 G5", boot="no")
def bootargs_root_typo(parts):
    parts.write(
        bootargs_path(parts),
        text_of(parts, bootargs_path(parts))
        .replace("LABEL=$label", "LABEL=$lable")
        .replace("LABEL=${state_label}", "LABEL=${stat_label}"),
    )


@mutation("G2 G5", boot="no")
def bootargs_root_unknown_label(parts):
    parts.write(
        bootargs_path(parts),
        text_of(parts, bootargs_path(parts))
        .replace("LABEL=$label", "LABEL=ROOT")
        .replace("LABEL=${state_label}", "LABEL=ROOT"),
    )


@mutation("G2 G5", boot="no")
def bootargs_init_missing(parts):
    parts.write(
        bootargs_path(parts),
        text_of(parts, bootargs_path(parts)).replace("panic=5", "panic=5 init=/bin/nosuch"),
    )


@mutation("G2 G5", boot="yes")
def bootargs_init_good(parts):
    parts.write(
        bootargs_path(parts),
        text_of(parts, bootargs_path(parts)).replace("panic=5", "panic=5 init=/usr/lib/systemd/systemd"),
    )


@mutation("G2 G5", boot="no")
def bootargs_unit_missing(parts):
    parts.write(
        bootargs_path(parts),
        text_of(parts, bootargs_path(parts)).replace("panic=5", "panic=5 systemd.unit=kiosk.target"),
    )


@mutation("G2 G5", boot="yes")
def bootargs_hash_in_value(parts):
    parts.write(
        bootargs_path(parts),
        text_of(parts, bootargs_path(parts)).replace("panic=5", "panic=5 foo=a#b")
        + "# set kernel=/nothing\n",
    )


@mutation("G2 G5", boot="yes")
def bootargs_tabs(parts):
    parts.write(
        bootargs_path(parts),
        text_of(parts, bootargs_path(parts)).replace("    ", "\t").replace("set kernel=", "\tset\tkernel="),
    )


@mutation("G2 G5", boot="no")
def bootargs_kernel_dir(parts):
    parts.write(bootargs_path(parts), text_of(parts, bootargs_path(parts)).replace("boot/vmlinuz", "boot"))


@mutation("G2 G5 kairos", boot="no")
def bootargs_directory(parts):
    parts.write(bootargs_path(parts), Directory())


@mutation("G2 G5", boot="no")
def bootargs_opaque_etc(parts):
    parts.top = {"etc/cos" if parts.generation == "G2" else "etc/elemental": Opaque()}
    parts.step = "x"


@mutation("G2 G5", boot="no")
def bootargs_unset_at_end(parts):
    parts.write(bootargs_path(parts), text_of(parts, bootargs_path(parts)) + "unset kernel\n")


@mutation("G2 G5", boot="no")
def bootargs_return_first(parts):
    parts.write(bootargs_path(parts), "return\n" + text_of(parts, bootargs_path(parts)))


@mutation("G2 G5", boot="yes")
def bootargs_semicolon_quote(parts):
    parts.write(bootargs_path(parts), text_of(parts, bootargs_path(parts)) + 'set kernel="/boot/vmlinuz "\n')


@mutation("G2 G5", boot="yes", fails="COS115")
def bootargs_unclosed_if(parts):
    parts.write(bootargs_path(parts), text_of(parts, bootargs_path(parts)) + "if [ -n x ]; then\n")


@mutation("G2 G5", boot="no")
def bootargs_truncated(parts):
    parts.write(bootargs_path(parts), text_of(parts, bootargs_path(parts))[:60])


@mutation("G2 G5", boot="no")
def kernel_truncated(parts):
    path = f"boot/vmlinuz-{KERNEL_VERSION}"
    text = parts.kernel[path]
    text = text if isinstance(text, bytes) else text.content
    parts.write(path, text[:300])


@mutation("G2 G5 kairos", boot="yes")
def kernel_gz_wrapped(parts):
    path = f"boot/vmlinuz-{KERNEL_VERSION}"
    text = parts.kernel[path]
    text = text if isinstance(text, bytes) else text.content
    parts.write(path, gzip.compress(text))


@mutation("G2 G5 kairos", boot="no")
def kernel_foreign(parts):
    parts.write(f"boot/vmlinuz-{KERNEL_VERSION}", linux_kernel(KERNEL_VERSION, "arm64"))


@mutation("bootc G6", boot="no")
def kernel_foreign_modules(parts):
    parts.write(f"usr/lib/modules/{KERNEL_VERSION}/vmlinuz", linux_kernel(KERNEL_VERSION, "arm64"))


@mutation("bootc G6", boot="no")
def kernel_dir_modules(parts):
    parts.write(f"usr/lib/modules/{KERNEL_VERSION}/vmlinuz", Directory())


@mutation("bootc", boot="no")
def bootc_initramfs_truncated(parts):
    parts.cut = lambda body: body[: len(body) // 2]


@mutation("G2 G5 kairos G6", boot="no")
def initrd_truncated(parts):
    parts.cut = lambda body: body[: len(body) * 3 // 4]


@mutation("G2 G5 kairos", boot="no")
def initrd_is_directory(parts):
    parts.write(parts.initrd_path, Directory())


@mutation("G2 G5 kairos", boot="no")
def initrd_link_by_later_layer(parts):
    parts.write("boot/initrd", Symlink("initrd-6.1.0-51-amd64"))


@mutation("G2 G5 kairos", boot="no")
def boot_whiteout_then_partial(parts):
    parts.top = {"boot": Opaque(), "boot/vmlinuz": linux_kernel(KERNEL_VERSION)}
    parts.step = "x"


@mutation("G2", boot="no")
def os_release_both_gone(parts):
    parts.remove("etc/os-release", "usr/lib/os-release")


@mutation("G2 G5 kairos", boot="no")
def os_release_loop(parts):
    parts.top = {
        "etc/os-release": Symlink("../usr/lib/os-release"),
        "usr/lib/os-release": Symlink("../../etc/os-release"),
    }
    parts.step = "x"


@mutation("G2 G5 kairos bootc G6", fails="COS175")
def root_mode_0700(parts):
    parts.top = {"./": Directory(mode=0o700)}
    parts.step = "x"


@mutation("G2 G5", install="no")
def grub_cfg_include_missing_menu(parts):
    path = bootargs_path(parts).replace("bootargs", "grub")
    parts.write(path, "source /etc/cos/menu.cfg\n")


@mutation("G2 G5", fails="COS115")
def grub_cfg_bom(parts):
    path = bootargs_path(parts).replace("bootargs", "grub")
    parts.write(path, "\ufeff" + text_of(parts, path))


@mutation("G2 G5", boot="yes")
def grub_cfg_comment_mid(parts):
    path = bootargs_path(parts).replace("bootargs", "grub")
    parts.write(
        path,
        text_of(parts, path).replace("insmod loopback", "insmod loopback # comment 'quote\n#insmod nothing"),
    )


@mutation("G2 G5", boot="yes")
def grub_default_to_missing_entry(parts):
    path = bootargs_path(parts).replace("bootargs", "grub")
    parts.write(path, text_of(parts, path) + "set default=nothing\nset fallback=nothing2\n")
