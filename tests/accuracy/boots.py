"""Boots that really happened, row by row: what was done to an image, what the machine did, and so what `boot` has to be.

The first table was made under QEMU, in part through GRUB; the second under User Mode Linux, in part of a real image of toolkit v2.2.1.
A row is done here to the small derivative of its generation. Rows that the small derivative cannot express are in `NOT_EXPRESSED`.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve, frozen

from cosinspect.testing import Directory, File, ImageBuilder, Symlink
from cosinspect.testing.bootfiles import compress_initrd, cpio_archive, executable, microcode_archive
from cosinspect.testing.derivative import BREAKAGES, DEGRADATIONS, KERNEL_VERSION, derivative_of
from cosinspect.testing.derivative import toolkit_files as toolkit
from cosinspect.testing.derivative.base_breakages import argument
from cosinspect.testing.derivative.parts import Parts, initrd_of, parts_of, program
from cosinspect.testing.derivative.programs import linked_initrd_programs, linked_root_programs
from cosinspect.testing.entries import RawEntry
from cosinspect.testing.tar_writer import tar_header

VERSIONED = f"boot/vmlinuz-{KERNEL_VERSION}"
MODULES = f"usr/lib/modules/{KERNEL_VERSION}"
UNITS = "usr/lib/systemd/system"
ENABLED = "etc/systemd/system"
KINDS = {**BREAKAGES, **DEGRADATIONS}


@frozen
class Boot:
    """One row.

    Attributes:
        name: what was done to a good image, "initrd:" in front where it was done to the initrd.
        seen: what the machine did.
        boots: whether a login came and the machine ran.
        change: does it to a small derivative.
        generation: of the derivative.
        told: the checks of which one at least speaks of it where the machine boots with a loss; () for nothing to be told. An absolute
            link out of /boot boots, and the commands that make an ISO do not find the kernel behind it.
        arrange: lays the layers out otherwise; None for as they are.
    """

    name: str
    seen: str
    boots: bool
    change: Callable[[Parts], object]
    generation: toolkit.GenerationName = "G2"
    told: tuple[str, ...] = ()
    arrange: Callable[[list[dict[str, object]]], list[dict[str, object]]] | None = None

    def build(self):
        """Make the image, with programs linked as those of the machines were."""
        parts = parts_of(self.generation, "amd64")
        parts.base.update(linked_root_programs(parts.architecture))
        parts.initrd.update(linked_initrd_programs(parts.architecture))
        self.change(parts)
        if self.arrange is None:
            return derivative_of(parts)
        layers = [
            parts.base,
            parts.kernel,
            parts.packages,
            {**parts.boot, parts.initrd_path: initrd_of(parts)},
        ]
        builder = ImageBuilder(platform="linux/amd64")
        for entries in self.arrange(layers):
            builder = builder.layer(entries, created_by="COPY part /")
        return builder.build()


def kind(name):
    """Do a breakage or a degradation by its name."""
    return KINDS[name].apply


def gone(*paths):
    """Have a step remove paths."""
    return lambda parts: parts.remove(*paths)


def written(path, entry):
    """Have a step write a file."""
    return lambda parts: parts.write(path, entry)


def initrd_gone(*names):
    """Leave out of the initrd what has a name or a path; something has to go."""

    def change(parts):
        found = [path for path in parts.initrd if path in names or path.rpartition("/")[2] in names]
        assert found or names == ("cut",), names
        for path in found:
            del parts.initrd[path]

    return change


def without_accounts(parts):
    """The initrd of the small derivative has neither file to begin with."""
    assert {"etc/passwd", "etc/group"}.isdisjoint(parts.initrd)


def initrd_changed(edit, *names):
    """Change files of the initrd by their names; one has to be there."""

    def change(parts):
        found = [
            path
            for path, entry in parts.initrd.items()
            if path.rpartition("/")[2] in names and isinstance(entry, File)
        ]
        assert found, names
        for path in found:
            parts.initrd[path] = edit(parts.initrd[path])

    return change


def empty(entry):
    """No content, the mode as it was."""
    return evolve(entry, content=b"")


def not_executable(entry):
    """Mode 0644."""
    return evolve(entry, mode=0o644)


def nothing(_):
    """Leave it as it is."""


def replaced(link, *entries):
    """Have a layer bring a directory where the base has a link."""

    def change(parts):
        parts.base.setdefault(link, Symlink(f"usr/{link}"))
        parts.write(link, Directory())
        parts.top.update({f"{link}/{name}": "of a driver\n" for name in entries})

    return change


def bootargs_of(generation):
    """Give it the bootargs.cfg of another generation."""
    return written("etc/cos/bootargs.cfg", toolkit.bootargs(generation))


def configs_kept(*names):
    """Keep these cloud-configs alone."""

    def change(parts):
        paths = [path for path in parts.packages if path.startswith("system/oem/")]
        parts.remove(*(path for path in paths if path.rpartition("/")[2] not in names))

    return change


def linked(*chain):
    """Have /boot/vmlinuz lead to the kernel by links: targets in the order in which they are followed."""

    def change(parts):
        names = ["vmlinuz", *(f"hop{number}" for number in range(1, len(chain)))]
        parts.kernel.update({f"boot/{name}": Symlink(to) for name, to in zip(names, chain, strict=True)})

    return change


def in_modules(prefix):
    """Keep the kernel with its modules, and have /boot/vmlinuz lead there by a link that begins so."""

    def change(parts):
        parts.kernel[f"{MODULES}/vmlinuz"] = parts.kernel.pop(VERSIONED)
        parts.kernel["boot/vmlinuz"] = Symlink(f"{prefix}/modules/{KERNEL_VERSION}/vmlinuz")

    return change


def boot_is_a_link(layers):
    """Have /boot be a link to usr/boot from the lowest layer on."""
    moved = [
        {f"usr/{path}" if path.startswith("boot/") else path: entry for path, entry in layer.items()}
        for layer in layers
    ]
    moved[0]["boot"] = Symlink("usr/boot")
    moved[0]["usr/boot"] = Directory()
    return moved


def restored(layers):
    """Have one layer break what the next makes good."""
    kernel = layers[1]
    return [
        *layers,
        {VERSIONED: "junk\n", "usr/lib/os-release": "", "boot/vmlinuz": Symlink("nowhere")},
        {VERSIONED: kernel[VERSIONED], "boot/vmlinuz": kernel["boot/vmlinuz"], "usr/lib/os-release": layers[0]["usr/lib/os-release"]},
    ]  # fmt: skip


def mount_required(parts):
    """Have local-fs.target require a mount of an unknown label."""
    kind("mount-unknown")(parts)


def live_at(path, mode):
    """Write a directory with another mode."""
    return written(path, Directory(mode=mode))


def root_closed(parts):
    """Have a layer give the root a mode by which its owner alone enters."""
    parts.step = "ADD root.tar /"
    parts.top = {"the root itself": RawEntry(tar_header("./", typeflag=b"5", mode=0o700))}


def bus_gone(parts):
    """Have D-Bus enabled, and its program not there."""
    parts.base[f"{UNITS}/dbus.service"] = "[Service]\nExecStart=/usr/bin/dbus-daemon --system\n"
    parts.base[f"{UNITS}/multi-user.target.wants/dbus.service"] = Symlink("../dbus.service")


def shell_of_root(shell):
    """Give root another shell."""
    return written("etc/passwd", f"root:x:0:0:root:/root:{shell}\n")


def other_segment(parts):
    """Cut the initrd within its second archive, whose compressor notices."""
    main = compress_initrd(cpio_archive(parts.initrd), "xz")
    first = len(microcode_archive())
    parts.cut = lambda data: data[: first + len(main) // 2]


def appended(parts):
    """Put a further archive behind, at an offset that is a multiple of four."""
    parts.cut = lambda data: data + bytes(-len(data) % 4) + cpio_archive({"usr/bin/more": executable()})


def bare_of_oem(parts):
    """Keep no link that starts a stage in the initrd."""
    for path in [path for path in parts.initrd if ".requires/cos-setup-" in path]:
        del parts.initrd[path]


QEMU = (
    Boot("as built by dracut, without basename", "no login: basename: command not found", False, kind("initrd-without-basename")),
    Boot("with basename", "login", True, nothing),
    Boot("with basename, a further archive behind the initrd, through GRUB", "login", True, appended),
    Boot("initrd: cos-loop-img removed", "stuck, silent", False, initrd_gone("cos-loop-img")),
    Boot("initrd: cos-mount-layout removed", "emergency", False, initrd_gone("cos-mount-layout")),
    Boot("initrd: the hook of the command line removed", "stuck, silent", False, initrd_gone("30-parse-cos-cmdline.sh")),
    Boot("initrd: the generator removed", "a prompt, and nobody can log in", False, initrd_gone("dracut-cos-generator")),
    Boot("initrd: elemental removed", "emergency", False, initrd_gone("elemental")),
    Boot("initrd: .requires links of cos-setup removed", "emergency", False, bare_of_oem),
    Boot("initrd: findmnt removed", "login", True, initrd_gone("findmnt"), told=("COS027",)),
    Boot("initrd: rsync removed", "login", True, initrd_gone("rsync"), told=("COS027",)),
    Boot("initrd: sort removed", "a prompt, and nobody can log in", False, initrd_gone("sort")),
    Boot("initrd: cut absent", "no effect", True, initrd_gone("cut")),
    Boot("initrd: overlay.ko removed", "a prompt, and nobody can log in", False, initrd_gone("overlay.ko")),
    Boot("initrd: modules of another version", "no disk, stuck", False, kind("initrd-other-kernel")),
    Boot("initrd: dracut -H", "no driver of the disk, stuck", False, kind("initrd-hostonly")),
    Boot("initrd: dracut without 50-cos-initrd.conf", "login", True, kind("initrd-without-live"), told=("COS031",)),
    Boot("initrd: none of the toolkit", "stuck", False, kind("initrd-without-cos")),
    Boot("initrd: zstd", "login", True, lambda parts: setattr(parts, "compression", "zstd")),
    Boot("initrd: not compressed", "login", True, lambda parts: setattr(parts, "compression", "none")),
    Boot("initrd: junk", "panic", False, kind("initrd-junk")),
    Boot("initrd: cut within the microcode", "panic", False, lambda parts: setattr(parts, "cut", lambda data: data[: len(microcode_archive()) // 2])),
    Boot("initrd: cut within the second archive", "panic", False, other_segment),
    Boot("bootargs.cfg of toolkit v2", "emergency", False, kind("bootargs-v2")),
    Boot("bootargs.cfg of G3", "emergency", False, bootargs_of("G3")),
    Boot("bootargs.cfg with iso-scan/filename", "login", True, kind("bootargs-iso-scan"), told=("COS046",)),
    Boot("00_rootfs.yaml removed", "emergency", False, gone("system/oem/00_rootfs.yaml")),
    Boot("/system removed", "emergency", False, gone("system")),
    Boot("00_rootfs.yaml alone kept", "a prompt, and no account has a password", True, configs_kept("00_rootfs.yaml"), told=("COS072",)),
    Boot("elemental removed", "emergency", False, gone("usr/bin/elemental")),
    Boot("units of the stages removed", "login", True, kind("no-units"), told=("COS063",)),
    Boot("/opt removed", "emergency", False, gone("opt")),
    Boot("/oem removed", "emergency as it is; elemental makes it", True, gone("oem"), told=("COS066",)),
    Boot("/tmp removed", "emergency as it is; elemental makes it", True, gone("tmp"), told=("COS066",)),
    Boot("both os-release removed", "emergency", False, gone("etc/os-release", "usr/lib/os-release")),
    Boot("/etc/os-release removed", "login", True, gone("etc/os-release")),
    Boot("modules removed", "login, degraded", True, gone("usr/lib/modules"), told=("COS016",)),
    Boot("/sbin/init removed", "login", True, gone("usr/sbin/init"), told=("COS061",)),
    Boot("GRUB: bootargs.cfg removed", "you need to load the kernel first", False, gone("etc/cos/bootargs.cfg")),
    Boot("GRUB: the kernel dangles", "file not found", False, kind("kernel-dangling")),
    Boot("GRUB: no initrd", "file not found", False, gone("boot/initrd")),
    Boot("GRUB: the kernel is junk", "invalid magic number", False, kind("kernel-junk")),
    Boot("GRUB: /boot/vmlinuz through eight links", "too deep nesting of symlinks", False, kind("kernel-deep")),
    Boot("GRUB: /boot/vmlinuz through seven links", "opens", True, linked(*(f"hop{n}" for n in range(1, 7)), f"vmlinuz-{KERNEL_VERSION}")),
    Boot("GRUB: /boot/vmlinuz absolute", "kernel starts", True, linked(f"/{VERSIONED}")),
    Boot("GRUB: /boot/vmlinuz climbs above the root", "kernel starts", True, linked(f"../../../../{VERSIONED}")),
    Boot("GRUB: /boot/vmlinuz by ../usr/lib", "opens", True, in_modules("../usr/lib")),
    Boot("GRUB: /boot/vmlinuz by ../lib", "opens", True, in_modules("../lib")),
    Boot("GRUB: /boot/vmlinuz a loop", "too deep nesting of symlinks", False, linked("vmlinuz")),
    Boot("security=selinux without a policy", "login", True, argument("security=selinux selinux=1")),
)  # fmt: skip
"""The boots under QEMU, and what GRUB's own reader of ext2 opened."""

SYSTEMD = "usr/lib/systemd"
UML = (
    Boot("as it is", "login, running", True, nothing),
    Boot("toolkit v2.2.1, made by elemental init", "login", True, nothing, "G5"),
    Boot("the kernel by /lib among the modules", "login", True, in_modules("/lib"), told=("COS018",)),
    Boot("/boot a link to usr/boot", "login", True, nothing, arrange=boot_is_a_link),
    Boot("layers restore what others broke", "login", True, nothing, arrange=restored),
    Boot("00_rootfs.yaml gone", "emergency", False, gone("system/oem/00_rootfs.yaml")),
    Boot("/opt gone", "emergency", False, gone("opt")),
    Boot("/lib a directory over the link", "Failed to execute /sbin/init, freeze", False, replaced("lib", "driver")),
    Boot("/bin a directory over the link", "no getty", False, replaced("bin", "tool")),
    Boot("/sbin a directory over the link", "no getty", False, replaced("sbin", "tool")),
    Boot("libmount gone", "panic", False, gone("usr/lib/libmount.so.1.1.0")),
    Boot("libpam gone", "panic", False, gone("usr/lib/libpam.so.0")),
    Boot("libc empty", "panic", False, written("usr/lib/ld-musl-x86_64.so.1", executable(""))),
    Boot("systemd's shared library gone", "panic", False, gone(f"{SYSTEMD}/libsystemd-shared-252.so")),
    Boot("default.target dangles", "asks for the maintenance password", False, kind("default-target-dangling")),
    Boot("default.target gone", "asks for the maintenance password", False, gone(f"{UNITS}/default.target")),
    Boot("multi-user.target gone", "maintenance", False, gone(f"{UNITS}/multi-user.target")),
    Boot("basic.target gone", "freezing execution", False, gone(f"{UNITS}/basic.target")),
    Boot("a required mount of an unknown label", "90 s, emergency", False, mount_required),
    Boot("/etc/passwd gone", "login incorrect", False, gone("etc/passwd")),
    Boot("sh and dash gone", "login incorrect", False, gone("usr/bin/sh", "usr/bin/dash")),
    Boot("root's shell is not there", "logged out at once", False, shell_of_root("/usr/bin/nosuch")),
    Boot("agetty gone", "no prompt", False, gone("usr/sbin/agetty")),
    Boot("login gone", "no password prompt", False, gone("usr/bin/login")),
    Boot("pam_unix.so gone", "no password prompt", False, gone("usr/lib/security/pam_unix.so")),
    Boot("serial-getty@ and getty@ gone", "no prompt", False, gone(f"{UNITS}/serial-getty@.service", f"{UNITS}/getty@.service")),
    Boot("udevd and udevadm gone", "ttyS0 times out, no getty", False, gone(f"{SYSTEMD}/systemd-udevd", "usr/bin/udevadm", "usr/sbin/udevadm")),
    Boot("udev's rules gone", "stuck", False, gone("usr/lib/udev/rules.d")),
    Boot("RW_PATHS without /etc", "emergency, by a stand-in of the script", True, kind("layout-without-etc"), told=("COS176",)),
    Boot("/var a file", "emergency", False, written("var", "a file\n")),
    Boot("mount gone", "login, degraded", True, gone("usr/bin/mount"), told=("COS171",)),
    Boot("logind gone", "login, degraded", True, gone(f"{SYSTEMD}/systemd-logind"), told=("COS100",)),
    Boot("/usr mode 0700", "login as root, running", True, live_at("usr", 0o700)),
    Boot("/ mode 0700", "login as root, multi-user late or never", True, root_closed, told=("COS175",)),
    Boot("dbus-daemon gone", "login, multi-user not reached", True, bus_gone, told=("COS100",)),
    Boot("/root a dangling link to var/roothome", "login, running", True, written("root", Symlink("var/roothome"))),
    Boot("initrd: cos-mount-layout mode 0644", "emergency", False, initrd_changed(not_executable, "cos-mount-layout")),
    Boot("initrd: elemental mode 0644", "emergency", False, initrd_changed(not_executable, "elemental")),
    Boot("initrd: cos-loop-img mode 0644", "stuck, silent", False, initrd_changed(not_executable, "cos-loop-img")),
    Boot("initrd: cos-mount-layout empty", "emergency", False, initrd_changed(empty, "cos-mount-layout")),
    Boot("initrd: elemental empty", "emergency", False, initrd_changed(empty, "elemental")),
    Boot("initrd: systemd empty", "/init (error -8), a bare shell", False, initrd_changed(empty, "systemd")),
    Boot("initrd: mount of another architecture", "Exec format error without end", False, initrd_changed(lambda _: executable(program("arm64")), "mount")),
    Boot("initrd: cos-loop-img with carriage returns", "emergency", False, initrd_changed(lambda entry: evolve(entry, content=entry.content.replace(b"\n", b"\r\n")), "cos-loop-img")),
    Boot("initrd: libmount gone", "panic", False, initrd_gone("libmount.so.1", "libmount.so.1.1.0")),
    Boot("initrd: libblkid gone", "panic", False, initrd_gone("libblkid.so.1", "libblkid.so.1.1.0")),
    Boot("initrd: the loader gone", "panic", False, initrd_gone("ld-musl-x86_64.so.1")),
    Boot("initrd: udevd gone", "stuck", False, initrd_gone("systemd-udevd")),
    Boot("initrd: 60-persistent-storage.rules gone", "devices by label time out", False, initrd_gone("60-persistent-storage.rules")),
    Boot("initrd: a hook empty", "stuck", False, initrd_changed(empty, "30-parse-cos-cmdline.sh")),
    Boot("initrd: initrd-release gone", "waits for COS_ACTIVE", False, initrd_gone("initrd-release")),
    Boot("initrd: systemctl gone", "emergency", False, initrd_gone("systemctl")),
    Boot("initrd: sh gone", "failures", False, initrd_gone("sh")),
    Boot("initrd: initrd-switch-root.service gone", "stuck", False, initrd_gone("initrd-switch-root.service")),
    Boot("initrd: default.target gone", "login, running", True, initrd_gone("default.target")),
    Boot("initrd: no passwd and group", "login, running", True, without_accounts),
    Boot("initrd: /sysroot gone", "login, running", True, initrd_gone("sysroot")),
    # Not booted; that they fail is inferred.
    Boot("no root=", "not booted", False, written("etc/cos/bootargs.cfg", toolkit.bootargs("G2").replace("root=LABEL=", "noroot=LABEL="))),
    Boot("root= with a misspelt variable", "not booted", False, written("etc/cos/bootargs.cfg", toolkit.bootargs("G2").replace("root=LABEL=$label", "root=LABEL=$lable"))),
    Boot("init=/bin/nosuch", "not booted", False, argument("init=/bin/nosuch")),
    Boot("systemd.unit=nosuch.target", "not booted", False, argument("systemd.unit=nosuch.target")),
    Boot("rd.break", "not booted; it stops for somebody to go on", True, argument("rd.break"), told=("COS185",)),
    Boot("initrd: no loop.ko", "not booted", False, initrd_gone("loop.ko")),
    Boot("initrd: no virtio_blk.ko", "not booted; other disks need none", True, initrd_gone("virtio_blk.ko"), told=("COS188",)),
    Boot("initrd: no dracut-lib.sh", "not booted", False, initrd_gone("dracut-lib.sh")),
)  # fmt: skip
"""The boots under User Mode Linux, and what was inferred beside them."""

NOT_EXPRESSED = {
    "initrd: generator mode 0644": "the layout of the tested machine had defaults, which no release's has; the other table has the true row",
    "GRUB: grub.cfg not copied to the state partition": "that is the machine's disk, and in no image",
    "no-kernel, boot-opaque, symlink-parent, symlink-replaced-by-dir, multiarch": "the source says: not run",
}
"""Rows that are not done here, each with the reason."""
