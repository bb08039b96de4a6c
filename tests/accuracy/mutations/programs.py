"""Mutations of what is executed, in the root and in the initrd, and of the initrd's drivers."""

from tests.accuracy.mutations import mutation

from cosinspect.testing import Directory, File, Opaque, Symlink
from cosinspect.testing.bootfiles import executable
from cosinspect.testing.derivative import KERNEL_VERSION, program
from cosinspect.testing.derivative.program_breakages import link_programs
from cosinspect.testing.elf_files import LOADERS, elf_file, loader_file

MODULES = f"usr/lib/modules/{KERNEL_VERSION}/"
UNITS = "usr/lib/systemd/system/"
MOUNT = (
    "[Unit]\nDescription=d\n[Mount]\nWhat=LABEL=DATA\nWhere=/data\n[Install]\nRequiredBy=local-fs.target\n"
)


@mutation("G2 G3 G5 kairos bootc G6", boot="no")
def login_needs_newer_libc(parts):
    parts.base[LOADERS["amd64"]] = executable(loader_file())
    parts.base["usr/lib64/libc.so.6"] = File(
        elf_file(soname="libc.so.6", shared=True, defines=["GLIBC_2.2.5", "GLIBC_2.36"]), mode=0o755
    )
    parts.base["lib64"] = Symlink("usr/lib64")
    parts.base.pop(LOADERS["amd64"])
    parts.base["usr/" + LOADERS["amd64"]] = executable(loader_file())
    parts.base["usr/bin/login"] = executable(
        elf_file(
            interpreter="/" + LOADERS["amd64"], needed=["libc.so.6"], wants={"libc.so.6": ["GLIBC_2.38"]}
        )
    )


@mutation("G2 G5 kairos bootc", boot="yes")
def login_needs_this_libc(parts):
    login_needs_newer_libc(parts)
    parts.base["usr/bin/login"] = executable(
        elf_file(
            interpreter="/" + LOADERS["amd64"], needed=["libc.so.6"], wants={"libc.so.6": ["GLIBC_2.36"]}
        )
    )


@mutation("G2 G5 G6 kairos", boot="no")
def initrd_mount_newer_libc(parts):
    parts.initrd["lib64"] = Symlink("usr/lib64")
    parts.initrd["usr/" + LOADERS["amd64"]] = executable(loader_file())
    parts.initrd["usr/lib64/libc.so.6"] = File(
        elf_file(soname="libc.so.6", shared=True, defines=["GLIBC_2.2.5", "GLIBC_2.36"]), mode=0o755
    )
    parts.initrd["usr/bin/mount"] = executable(
        elf_file(
            interpreter="/" + LOADERS["amd64"], needed=["libc.so.6"], wants={"libc.so.6": ["GLIBC_2.38"]}
        )
    )


@mutation("G2 G5 kairos bootc", boot="no")
def missing_library_two_hops_away(parts):
    link_programs(parts)
    parts.remove("usr/lib/libblkid.so.1")


@mutation("G2 G5", boot="no")
def library_replaced_by_directory(parts):
    link_programs(parts)
    parts.write("usr/lib/libpam.so.0", Directory())


@mutation("G2 G5", boot="no")
def library_link_loop(parts):
    link_programs(parts)
    parts.write("usr/lib/libkmod.so.2", Symlink("libkmod.so.2"))


@mutation("G2 G5", boot="no")
def library_truncated(parts):
    link_programs(parts)
    body = parts.base["usr/lib/libpam.so.0.1.0"].content
    parts.write("usr/lib/libpam.so.0.1.0", File(body[:100]))


@mutation("G2 G5 kairos bootc", boot="no")
def systemd_foreign(parts):
    parts.write("usr/lib/systemd/systemd", executable(program("arm64")))


@mutation("G2 G5 kairos bootc G6", boot="no")
def systemd_truncated(parts):
    parts.write("usr/lib/systemd/systemd", executable(program()[:80]))


@mutation("G2 G5 bootc G6 kairos", boot="no")
def udevd_is_a_script_with_bom(parts):
    parts.write("usr/lib/systemd/systemd-udevd", executable("\ufeff#!/bin/sh\nexec udevadm\n"))


@mutation("G2 G5 bootc", boot="no")
def agetty_opaque_sbin(parts):
    parts.top["usr/sbin"] = Directory()
    parts.top["usr/sbin/"] = Opaque()
    parts.step = "x"
    parts.top = {"usr/sbin": Opaque()}


@mutation("G2 G5 kairos bootc", boot="no")
def sh_link_loop(parts):
    parts.write("usr/bin/sh", Symlink("bash2"))
    parts.write("usr/bin/bash2", Symlink("sh"))


@mutation("G2 G5", boot="no")
def login_a_directory(parts):
    parts.write("usr/bin/login", Directory())


@mutation("G2 G5 bootc", boot="no")
def login_chmod(parts):
    parts.write("usr/bin/login", File(program(), mode=0o644))


@mutation("G2 G5", boot="no")
def shell_of_root_nowhere(parts):
    parts.write("etc/passwd", "root:x:0:0:root:/root:/usr/bin/fish\n")


@mutation("G2 G5", boot="no")
def passwd_with_crlf(parts):
    parts.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\r\n")


@mutation("G2", boot="no")
def passwd_bom(parts):
    parts.write("etc/passwd", "\ufeffroot:x:0:0:root:/root:/bin/bash\n")


@mutation("G2 G5", boot="yes")
def passwd_without_shell(parts):
    parts.write("etc/passwd", "root:x:0:0:root:/root:\n")


@mutation("G2 G5", boot="yes")
def passwd_root_second_line(parts):
    parts.write("etc/passwd", "bin:x:1:1:bin:/bin:/sbin/nologin\n\nroot:x:0:0:root:/root:/bin/bash\n")


@mutation("G2 G5 kairos bootc G6", boot="no")
def lib_a_directory(parts):
    parts.top = {"lib": Directory(), "lib/firmware": Directory(), "lib/firmware/a.bin": "x"}
    parts.step = "ADD"
    link_programs(parts)


@mutation("G2 G5", boot="no")
def bin_a_directory(parts):
    parts.top = {"bin": Directory(), "bin/tool": executable("#!/bin/sh\n")}
    parts.step = "ADD"


@mutation("G2 G5 bootc", boot="no")
def sbin_a_directory_opaque(parts):
    parts.top = {"sbin": Directory(), "sbin/x": "y"}
    parts.step = "ADD"


@mutation("G2 G5 kairos", boot="yes")
def lib_a_link_written_absolute(parts):
    parts.top = {"lib": Symlink("/usr/lib"), "bin": Symlink("/usr/bin")}
    parts.step = "ADD"


@mutation("G2 G3", boot="no")
def initrd_layout_interp_crlf(parts):
    path = "usr/sbin/cos-mount-layout"
    body = parts.initrd[path].content
    parts.initrd[path] = executable(body.replace(b"\n", b"\r\n", 1))


@mutation("G2", boot="no")
def initrd_layout_bom(parts):
    path = "usr/sbin/cos-mount-layout"
    body = parts.initrd[path].content
    parts.initrd[path] = executable(b"\xef\xbb\xbf" + body)


@mutation("G2", boot="no")
def initrd_layout_interp_missing(parts):
    path = "usr/sbin/cos-mount-layout"
    body = parts.initrd[path].content
    parts.initrd[path] = executable(body.replace(b"#!/bin/bash", b"#!/usr/bin/zsh", 1))


@mutation("G2", boot="no")
def initrd_layout_env_missing(parts):
    path = "usr/sbin/cos-mount-layout"
    body = parts.initrd[path].content
    parts.initrd[path] = executable(body.replace(b"#!/bin/bash", b"#!/usr/bin/env bash", 1))


@mutation("G2", boot="no")
def initrd_loop_calls_absent_absolute(parts):
    path = "usr/sbin/cos-loop-img"
    body = parts.initrd[path].content
    parts.initrd[path] = executable(body.replace(b"mkdir -p", b"/usr/sbin/mkdir2 -p", 1))


@mutation("G5", boot="no")
def initrd_cmdline_hook_dir(parts):
    path = next(each for each in parts.initrd if "hooks/cmdline/30" in each)
    parts.initrd[path] = Directory()


@mutation("G5", boot="no")
def initrd_fsck_missing(parts):
    del parts.initrd["usr/sbin/elemental-fsck"]


@mutation("G2 G5 kairos G6 bootc", boot="no")
def initrd_init_dangling(parts):
    parts.initrd["init"] = Symlink("usr/lib/systemd/systemd2")


@mutation("G2 G5 kairos G6 bootc", boot="no")
def initrd_init_loop(parts):
    parts.initrd["init"] = Symlink("init")


@mutation("G2 G5 kairos G6 bootc", boot="no")
def initrd_systemd_mode0(parts):
    parts.initrd["usr/lib/systemd/systemd"] = File(program(), mode=0o600)


@mutation("G2 G5 kairos G6 bootc", boot="no")
def initrd_sh_gone(parts):
    for path in ("usr/bin/sh", "usr/bin/dash", "usr/bin/bash"):
        parts.initrd.pop(path, None)


@mutation("G2 G5 kairos G6 bootc", boot="no")
def initrd_switch_root_masked(parts):
    parts.initrd["etc/systemd/system/initrd-switch-root.service"] = Symlink("/dev/null")


@mutation("G2 G5 kairos G6 bootc", boot="no")
def initrd_udevd_unit_masked(parts):
    parts.initrd["etc/systemd/system/systemd-udevd.service"] = Symlink("/dev/null")


@mutation("G2 G5 kairos G6 bootc", boot="no")
def initrd_storage_rules_masked(parts):
    parts.initrd["etc/udev/rules.d/60-persistent-storage.rules"] = Symlink("/dev/null")


@mutation("G2 G5 kairos G6 bootc", boot="no")
def initrd_initrd_release_dangling(parts):
    parts.initrd["etc/initrd-release"] = Symlink("../usr/lib/nothing")


@mutation("G2 G5 kairos", boot="no")
def initrd_kernel_other_version(parts):
    for path in [path for path in parts.initrd if KERNEL_VERSION in path]:
        parts.initrd[path.replace(KERNEL_VERSION, "6.1.0-49-amd64")] = parts.initrd.pop(path)


@mutation("G2 G5 kairos bootc G6", boot="no")
def initrd_depmod_empty(parts):
    parts.initrd[f"usr/lib/modules/{KERNEL_VERSION}/modules.dep.bin"] = File(b"")


@mutation("G2 G5 kairos G6", boot="no")
def initrd_depmod_truncated(parts):
    e = parts.initrd[f"usr/lib/modules/{KERNEL_VERSION}/modules.dep.bin"]
    body = e.content if isinstance(e, File) else e
    parts.initrd[f"usr/lib/modules/{KERNEL_VERSION}/modules.dep.bin"] = File(body[: len(body) // 2])


@mutation("G2 G5 kairos", boot="no")
def initrd_ext4_dependency_missing(parts):
    parts.initrd.pop(f"usr/lib/modules/{KERNEL_VERSION}/kernel/fs/jbd2/jbd2.ko")


@mutation("G2 G3", boot="no")
def initrd_no_loop(parts):
    parts.initrd.pop(f"usr/lib/modules/{KERNEL_VERSION}/kernel/drivers/block/loop.ko")


@mutation("G2 G5", boot="no")
def initrd_overlay_in_other_dir(parts):
    path = f"usr/lib/modules/{KERNEL_VERSION}/kernel/fs/overlayfs/overlay.ko"
    body = parts.initrd.pop(path)
    parts.initrd["usr/lib/modules/6.0/kernel/fs/overlayfs/overlay.ko"] = body


@mutation("G2 G5", boot="no")
def initrd_overlay_empty(parts):
    path = f"usr/lib/modules/{KERNEL_VERSION}/kernel/fs/overlayfs/overlay.ko"
    parts.initrd[path] = File(b"")


@mutation("G2 G5", boot="no")
def initrd_overlay_dangling(parts):
    path = f"usr/lib/modules/{KERNEL_VERSION}/kernel/fs/overlayfs/overlay.ko"
    parts.initrd[path] = Symlink("nothing.ko")


@mutation("G2 G5 kairos bootc", boot="no")
def udevd_empty(parts):
    parts.initrd["usr/lib/systemd/systemd-udevd"] = executable(b"")


@mutation("G2 G5 kairos bootc", boot="no")
def udevd_link_to_nothing(parts):
    parts.initrd["usr/lib/systemd/systemd-udevd"] = Symlink("../../bin/udevadm2")


@mutation("G2 G5 kairos bootc", boot="no")
def udevadm_empty(parts):
    parts.initrd["usr/bin/udevadm"] = executable(b"")
    parts.initrd["usr/sbin/udevadm"] = executable(b"")


@mutation("G2 G5 kairos bootc", boot="no")
def systemctl_dir(parts):
    parts.initrd["usr/bin/systemctl"] = Directory()
