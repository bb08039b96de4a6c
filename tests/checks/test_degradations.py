"""What makes a derivative worse without keeping it from booting, and what real boots showed, row by row.

The rows are of a table of boots of such an image under QEMU, whole and varied: what really happened is the verdict here.
"""

import itertools

import pytest

from cosinspect import inspect
from cosinspect.checks import CATALOGUE
from cosinspect.report.report import NEEDS, Capability, Kind, Level, Status, Verdict
from cosinspect.testing import Directory, Opaque, Symlink, Whiteout
from cosinspect.testing.bootfiles import compress_initrd, cpio_archive, executable, linux_kernel
from cosinspect.testing.derivative import BREAKAGES, DEGRADATIONS, KERNEL_VERSION, derivative, derivative_of
from cosinspect.testing.derivative import toolkit_files as toolkit
from cosinspect.testing.derivative.parts import parts_of
from cosinspect.testing.entries import Hardlink, RawEntry
from cosinspect.testing.tar_writer import pax_header, tar_header

MODULES = f"usr/lib/modules/{KERNEL_VERSION}"
GENERIC = ("/ahci.ko", "/nvme.ko", "/sd_mod.ko", "/virtio_blk.ko")
LAYOUT = toolkit.CLOUD_CONFIGS["00_rootfs.yaml"]

# What is not so in another generation, and why: the check that fails in place of the one named, or none.
NOT_SO_IN = {
    # No script of theirs queues the image file, which the generator makes dracut wait for.
    ("G0", "initrd-without-root-generator"): [],
    ("G4", "initrd-without-root-generator"): [],
    ("G5", "initrd-without-root-generator"): [],
    # Its hooks are files that dracut sources: no units, no links, no layout file, other commands.
    ("G0", "initrd-without-links"): [],
    ("G0", "initrd-without-basename"): [],
    ("G0", "initrd-without-findmnt"): [],
    ("G0", "initrd-without-rsync"): [],
    ("G0", "no-layout"): [],
    ("G0", "no-dracut-config"): [],  # it had none
    ("G0", "bootargs-iso-scan"): [],  # is what it has
    ("G0", "dracut-live-missing"): [],  # nothing asks for it
    ("G3", "initrd-without-basename"): [],  # its scripts do not call it
    ("G3", "bootargs-iso-scan"): ["COS045"],  # root= names the partition there, which holds no system
    ("G4", "bootargs-iso-scan"): ["COS045"],
    ("G4", "no-opt"): [],  # its script goes on without a directory
    ("G4", "no-layout"): ["COS073"],  # it has a default
    ("G5", "no-opt"): [],
    ("G5", "no-layout"): [],  # the layout is in another file
    ("G5", "bootargs-iso-scan"): [],  # nothing of it is there to be replaced
    ("G5", "bootargs-v2"): [],  # is its own
    **{
        ("G0", kind): []  # its hooks are read and not executed
        for kind in ("initrd-layout-mode", "initrd-layout-empty", "initrd-loop-mode", "initrd-loop-returns")
    },
    # It has no layout file, or takes the persistent partition from the settings of elemental.
    ("G0", "volume-unknown"): [],
    ("G5", "volume-unknown"): [],
    ("G5", "fallback-broken"): [],  # its menu falls back to recovery, not to the older image
    # `elemental mount` does what scripts did.
    ("G5", "initrd-layout-mode"): [],
    ("G5", "initrd-layout-empty"): [],
    # Its layout is a default of its own, or in another file.
    ("G4", "layout-without-etc"): [],
    ("G5", "layout-without-etc"): [],
    ("G5", "initrd-without-loop"): [],
    ("G5", "initrd-without-basename"): [],
    ("G5", "initrd-without-sort"): [],
    ("G5", "initrd-without-findmnt"): [],
    ("G5", "initrd-without-rsync"): [],
    # Neither has luet.
    **{
        (generation, kind): []
        for generation in ("G4", "G5")
        for kind in ("no-luet", "no-luet-cosign", "package-incomplete")
    },
    ("G5", "no-modules"): ["COS016", "COS109"],  # it tells the kernel's version by them
    ("G5", "kernel-elsewhere"): ["COS109"],  # installation searches as well
    ("G0", "kernel-second"): [],  # luet-makeiso takes exactly /boot/vmlinuz
    ("G1", "kernel-second"): [],
    **{
        (generation, kind): []
        for generation in ("G4", "G5")
        for kind in ("package-requirement-missing", "package-script-replaced", "no-firstboot")
    },
    # Only the elemental of these reads the environment files; the scripts before have a shell source them.
    **{(generation, "settings-malformed"): [] for generation in ("G0", "G1", "G4", "G5")},
    **{(generation, "fstab"): [] for generation in ("G0", "G5")},  # whether it is overwritten is not known
    **{(generation, "no-sgdisk"): [] for generation in ("G0", "G1", "G5")},  # parted and partx do it
    # grub2-install makes what EFI starts; from elemental-cli v0.0.16 on it is copied.
    # The whole directory is lost with one file.
    ("G3", "cloud-config-broken"): ["COS070", "COS072", "COS074", "COS075", "COS076", "COS077"],
    ("G4", "cloud-config-broken"): ["COS072", "COS073", "COS074", "COS075", "COS077"],
    ("G5", "cloud-config-broken"): ["COS072", "COS074", "COS075", "COS077"],
    # What the machine keeps in /usr/local stands in front of the image's files, and does not cover them.
    ("G5", "covered-files"): ["COS122"],
    ("G5", "covered-program"): ["COS122"],
    ("G5", "covered-link"): ["COS122"],
    ("G0", "no-efi"): [],
    ("G1", "no-efi"): [],
    # Their elemental copies it.
    **{(generation, "no-efi"): ["COS049"] for generation in ("G3", "G4", "G5")},
    # The scripts of these are not elemental, and copy otherwise.
    **{
        (generation, kind): []
        for generation in ("G0", "G1")
        for kind in ("attribute-large", "hook-without-command", "no-live-config")
    },
    ("G5", "no-mv"): [],  # its snapshotter moves nothing
    ("G0", "selinux-unlabelled"): [],
    ("G1", "selinux-unlabelled"): [],
    ("G4", "hardlink-to-deleted"): ["COS002"],  # what is linked to never was there
    ("G5", "hardlink-to-deleted"): ["COS002"],
}
LUET_KINDS = [name for name, item in {**BREAKAGES, **DEGRADATIONS}.items() if item.generation == "G2"]


def report(tmp_path, change=lambda _: None, *, generation="G2", architecture="amd64"):
    """Inspect a derivative whose parts were changed."""
    parts = parts_of(generation, architecture)
    change(parts)
    return inspect(derivative_of(parts).write_layout(tmp_path))


def failed(found):
    return sorted(result.check for result in found.failed)


def undecided(found):
    return [result.check for result in found.results if result.kind is Kind.OPEN]


def others(*checks):
    return [item.id for item in CATALOGUE if item.id not in checks]


def result_of(found, check):
    return next(result for result in found.results if result.check == check)


# -- every check can fail --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_each_degradation_turns_exactly_its_check_red_and_the_verdict_stays(tmp_path, kind):
    found = inspect(derivative(kind).write_layout(tmp_path))

    assert DEGRADATIONS[kind].checks == failed(found)
    assert [] == undecided(found)
    assert Verdict.PASS == found.verdict
    for finding in found.failed[0].findings:
        assert finding.message
        assert finding.remedy


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_a_degradation_takes_the_capabilities_that_its_check_decides_and_no_other(tmp_path, kind):
    found = inspect(derivative(kind).write_layout(tmp_path))

    lost = {name for name, result in found.capabilities.items() if result.status is Status.NO}
    decided = set(found.failed[0].capabilities)
    # A cloud's image needs what recovery needs.
    assert decided | {name for name, needs in NEEDS.items() if needs & decided} == lost


@pytest.mark.parametrize("generation", ["G0", "G1", "G3", "G4", "G5"])
@pytest.mark.parametrize("kind", LUET_KINDS)
def test_the_other_generations_break_alike(tmp_path, kind, generation):
    found = inspect(derivative(kind, generation=generation).write_layout(tmp_path))

    expected = {**BREAKAGES, **DEGRADATIONS}[kind].checks
    assert NOT_SO_IN.get((generation, kind), expected) == failed(found)
    assert ([] if kind != "layer-damaged" else others(*expected)) == undecided(found)


def test_a_layer_that_cannot_be_read_leaves_everything_else_undecided(tmp_path):
    found = inspect(derivative("layer-damaged").write_layout(tmp_path))

    assert ["COS005", "COS201"] == failed(found)
    assert others("COS005", "COS201") == undecided(found)
    assert {"layer 4 cannot be read"} == {
        result.reason.partition(":")[0] for result in found.results if result.kind is Kind.OPEN
    }
    assert "" == found.generation
    (finding,) = found.failed[0].findings
    assert 4 == finding.layer
    assert "byte 0 of the uncompressed layer" in finding.evidence


def test_every_check_of_the_catalogue_can_be_made_to_fail():
    # COS092 is of signatures and COS203 of an index, which are no part of the image; a root directory's mode is nothing to some readers (COS200);
    # COS275 is of images that hold no system; those of an upgrade compare two images (test_upgrade.py).
    ids = {item.id for item in CATALOGUE if not item.id.startswith("COS28")}
    ids -= {"COS092", "COS175", "COS203", "COS275"}

    assert ids == {item.check for item in (*BREAKAGES.values(), *DEGRADATIONS.values())}


def test_a_root_directory_that_others_may_not_enter_is_told(tmp_path):
    def close(parts):
        parts.base = {"./": Directory(mode=0o700), **parts.base}

    found = report(tmp_path, close)

    assert ["COS175", "COS200"] == failed(found)
    assert "its mode is 0700" in found.failed[0].findings[0].message


def test_what_breaks_and_what_degrades_have_names_of_their_own():
    assert not BREAKAGES.keys() & DEGRADATIONS.keys()


def test_no_degradation_is_an_error():
    wanted = {Capability.BOOT, Capability.INSTALL}
    levels = {
        item.id: item.level for item in CATALOGUE if not item.capabilities or wanted & {*item.capabilities}
    }

    assert Level.ERROR not in {levels.get(item.check) for item in DEGRADATIONS.values()}


def test_the_size_of_a_file_system_counts_holes_and_no_file_twice(tmp_path):
    """Whoever unpacks a hole writes zeros; a hard link takes no room."""
    keys = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    keys |= {"GNU.sparse.name": "opt/data", "GNU.sparse.realsize": str(2 << 30)}
    hole = pax_header(keys) + tar_header("opt/GNUSparseFile.1/data", size=512) + b"0\n".ljust(512, b"\0")

    def change(parts, *names):
        parts.top["opt/data"] = RawEntry(hole)
        parts.top |= dict.fromkeys(names, Hardlink("opt/data"))

    once = report(tmp_path / "once", change, generation="G1")
    twice = report(tmp_path / "twice", lambda parts: change(parts, "opt/again"), generation="G1")

    # The generation's file system has 3240 MiB.
    assert Kind.PASS == result_of(once, "COS103").kind == result_of(twice, "COS103").kind
    assert result_of(once, "COS103").evidence == result_of(twice, "COS103").evidence
    assert result_of(once, "COS103").evidence[0].startswith("the files take 204")

    def larger(parts):
        change(parts)
        parts.top["opt/more"] = RawEntry(hole.replace(b"opt/data", b"opt/more"))

    (finding,) = result_of(report(tmp_path / "larger", larger, generation="G1"), "COS103").findings
    assert "at most 3240 MiB" in finding.message


# -- what boots ------------------------------------------------------------------------------------------------------


def moved_kernel(*links):
    """Put the kernel among its modules, and link to it."""

    def change(parts):
        parts.kernel[f"{MODULES}/vmlinuz"] = parts.kernel.pop(f"boot/vmlinuz-{KERNEL_VERSION}")
        parts.kernel |= {path: Symlink(target) for path, target in links}

    return change


def linked(*links):
    return lambda parts: parts.kernel.update({path: Symlink(target) for path, target in links})


def chain_of(count):
    """Put the kernel behind so many links."""
    names = ["vmlinuz", *(f"hop{number}" for number in range(1, count)), f"vmlinuz-{KERNEL_VERSION}"]
    return linked(*((f"boot/{name}", target) for name, target in itertools.pairwise(names)))


def compressed(how):
    def change(parts):
        parts.compression = how

    return change


def basename_appended(data):
    """The one-file archive that made the first real image boot, at a multiple of 4."""
    return data + bytes(-len(data) % 4) + cpio_archive({"usr/bin/basename": executable()})


def without_basename(cut):
    def change(parts):
        del parts.initrd["usr/bin/basename"]
        parts.cut = cut

    return change


def own_paths(parts):
    """Keep kernel and initrd where nobody would look without bootargs.cfg."""
    del parts.kernel["boot/vmlinuz"]
    parts.kernel["os/kernel"] = parts.kernel.pop(f"boot/vmlinuz-{KERNEL_VERSION}")
    parts.boot = {"os/ramdisk": Symlink(f"../boot/initrd-{KERNEL_VERSION}")}
    text = toolkit.bootargs("G2").replace("/boot/vmlinuz", "/os/kernel")
    parts.packages["etc/cos/bootargs.cfg"] = text.replace("/boot/initrd", "/os/ramdisk")


def overlay_built_in(parts):
    del parts.initrd[f"{MODULES}/kernel/fs/overlayfs/overlay.ko"]
    parts.kernel[f"boot/config-{KERNEL_VERSION}"] = (
        "CONFIG_OVERLAY_FS=y\nCONFIG_RD_XZ=y\nCONFIG_SQUASHFS_XZ=y\n"
    )


def opt_not_writable(parts):
    parts.packages["system/oem/00_rootfs.yaml"] = LAYOUT.replace("/opt ", "")
    parts.remove("opt")


def root_linked(parts):
    parts.base["root"] = Symlink("var/roothome")


def srv_linked(parts):
    parts.base["srv"] = Symlink("usr/local/srv")
    parts.base["usr/local/srv"] = Directory()


def hooks_below_var(parts):
    """Lay the initrd out as dracut 102 and later do."""
    hook = "lib/dracut/hooks/cmdline/30-parse-cos-cmdline.sh"
    parts.initrd[f"var/{hook}"] = parts.initrd.pop(f"usr/{hook}")


def as_docker_does(parts):
    """Give the layout by a file of one's own, in place of the one that comes with the toolkit."""
    parts.remove("system/oem/00_rootfs.yaml")
    parts.top["system/oem/90_custom.yaml"] = LAYOUT


BOOTS = {
    "image as built, with basename": lambda _: None,
    "initrd: basename in a further segment": without_basename(basename_appended),
    "initrd: uncompressed": compressed("none"),
    "initrd: gzip": compressed("gzip"),
    "initrd: xz": compressed("xz"),
    "initrd: zstd": compressed("zstd"),
    "initrd: lz4": compressed("lz4"),
    "initrd: bzip2": compressed("bzip2"),
    "initrd: lzma": compressed("lzma"),
    "initrd: overlay built into the kernel": overlay_built_in,
    "initrd: hooks below /var": hooks_below_var,
    "rootfs: only /etc/os-release removed": lambda parts: parts.remove("etc/os-release"),
    "rootfs: only /usr/lib/os-release removed": lambda parts: parts.top.update(
        {"usr/lib/os-release": Whiteout(), "etc/os-release": "ID=cos\nNAME=cOS\n"}
    ),
    "rootfs: /opt removed, which the layout leaves alone": opt_not_writable,
    "rootfs: /srv is a link to a directory": srv_linked,
    "rootfs: /root is a link to what a directory that is mounted gets": root_linked,
    "rootfs: the layout comes from a file of its own": as_docker_does,
    "GRUB: vmlinuz through 7 links": chain_of(7),
    "GRUB: vmlinuz-absolute": linked(("boot/vmlinuz", f"/boot/vmlinuz-{KERNEL_VERSION}")),
    "GRUB: vmlinuz-climb": linked(("boot/vmlinuz", f"../../../../boot/vmlinuz-{KERNEL_VERSION}")),
    "GRUB: vmlinuz-usrmerge": moved_kernel(("boot/vmlinuz", f"../{MODULES}/vmlinuz")),
    "GRUB: vmlinuz-via-lib": moved_kernel(("boot/vmlinuz", f"../{MODULES.removeprefix('usr/')}/vmlinuz")),
    "GRUB: vmlinuz by two links, as Tumbleweed has it": moved_kernel(
        ("boot/vmlinuz", f"vmlinuz-{KERNEL_VERSION}"),
        (f"boot/vmlinuz-{KERNEL_VERSION}", f"../{MODULES}/vmlinuz"),
    ),
    "GRUB: kernel and initrd at paths of their own": own_paths,
}


@pytest.mark.parametrize("case", BOOTS)
def test_what_booted_passes_every_check(tmp_path, case):
    found = report(tmp_path, BOOTS[case])

    # What makes an ISO does not read bootargs.cfg.
    assert (["COS018"] if BOOTS[case] is own_paths else []) == failed(found)
    assert [] == undecided(found)
    assert Verdict.PASS == found.verdict


def test_a_dangling_link_that_enables_a_unit_in_the_initrd_is_harmless(tmp_path):
    link = "usr/lib/systemd/system/initrd-fs.target.requires/cos-immutable-rootfs.service"
    parts = parts_of("G2", "amd64")
    target = parts.initrd[link].target.decode()
    assert target.startswith("../../../../../../")
    assert target.removeprefix("../" * 6) not in parts.initrd

    assert Verdict.PASS == inspect(derivative_of(parts).write_layout(tmp_path)).verdict


@pytest.mark.parametrize("generation", ["G1", "G2"])
def test_a_command_that_no_script_calls_is_not_missed(tmp_path, generation):
    parts = parts_of(generation, "amd64")
    assert not [path for path in parts.initrd if path.endswith("/cut")]

    assert Verdict.PASS == inspect(derivative_of(parts).write_layout(tmp_path)).verdict


def test_a_command_is_missed_as_soon_as_a_script_calls_it(tmp_path):
    def change(parts):
        script = toolkit.mount_script() + 'first=$(echo "$RW_PATHS" | cut -d " " -f 1)\n'
        parts.initrd["usr/sbin/cos-mount-layout"] = executable(script)

    found = report(tmp_path, change)

    assert ["COS026"] == failed(found)
    assert "expected the command cut" in found.failed[0].findings[0].message


# -- what boots, and is worse ----------------------------------------------------------------------------------------


def only_layout(parts):
    parts.remove(*(f"system/oem/{name}" for name in toolkit.CLOUD_CONFIGS if name != "00_rootfs.yaml"))


def dracut_defaults(parts):
    """Build the initrd as Debian's dracut does when nobody tells it anything."""
    DEGRADATIONS["initrd-without-live"].apply(parts)
    parts.remove("etc/dracut.conf.d/50-cos-initrd.conf")


def units_and_links(parts):
    parts.remove(*(path for path in parts.packages if "/system/" in path and "cos-setup" in path))


WORSE = {
    "initrd: findmnt removed": (DEGRADATIONS["initrd-without-findmnt"].apply, ["COS027"]),
    "initrd: rsync removed": (DEGRADATIONS["initrd-without-rsync"].apply, ["COS027"]),
    "initrd: dracut without 50-cos-initrd.conf": (dracut_defaults, ["COS031", "COS051"]),
    "initrd: an archive behind an odd offset": (DEGRADATIONS["initrd-unaligned"].apply, ["COS034"]),
    "bootargs iso-scan/filename, dmsquash-live in the initrd": (
        DEGRADATIONS["bootargs-iso-scan"].apply,
        ["COS046"],
    ),
    "rootfs: only 00_rootfs.yaml kept": (only_layout, ["COS072", "COS074", "COS075", "COS220"]),
    "rootfs: cos-setup-* units and links removed": (units_and_links, ["COS063"]),
    "rootfs: /usr/lib/modules/* removed": (lambda parts: parts.remove(MODULES), ["COS016"]),
    "rootfs: /sbin/init link removed": (lambda parts: parts.remove("usr/sbin/init"), ["COS061"]),
    "rootfs: /oem removed": (lambda parts: parts.remove("oem"), ["COS066"]),
    "rootfs: /tmp removed": (lambda parts: parts.remove("tmp"), ["COS066"]),
    "rootfs: /usr/local removed, which elemental makes": (
        lambda parts: parts.remove("usr/local"),
        ["COS066"],
    ),
}


@pytest.mark.parametrize("case", WORSE)
def test_what_booted_with_something_amiss_passes_and_is_told(tmp_path, case):
    change, expected = WORSE[case]

    found = report(tmp_path, change)

    assert expected == failed(found)
    assert Level.ERROR not in {result.level for result in found.failed}
    assert Verdict.PASS == found.verdict
    assert Status.YES == next(
        result.status for name, result in found.capabilities.items() if name.value == "boot"
    )


# -- what does not boot ----------------------------------------------------------------------------------------------


def rsync_needed(parts):
    del parts.initrd["usr/bin/rsync"]
    parts.packages["system/oem/00_rootfs.yaml"] = LAYOUT + '        PERSISTENT_STATE_BIND: "true"\n'


def iso_scan_without_live(parts):
    DEGRADATIONS["initrd-without-live"].apply(parts)
    DEGRADATIONS["bootargs-iso-scan"].apply(parts)


def iso_scan_of_the_partition(parts):
    text = toolkit.bootargs("G2").replace("cos-img/filename=", "iso-scan/filename=")
    parts.write("etc/cos/bootargs.cfg", text.replace("root=LABEL=$label", "root=LABEL=$state_label"))


def data_writable(parts):
    parts.packages["system/oem/00_rootfs.yaml"] = LAYOUT.replace("/opt ", "/opt /data ")


def initrd_member_removed(*names):
    def change(parts):
        for name in names:
            del parts.initrd[name]

    return change


def cut_in_main_segment(data):
    return data[:-2000]


def layout_broken(text):
    return lambda parts: parts.write("system/oem/00_rootfs.yaml", text)


FAILS = {
    "initrd: cos-loop-img removed": (initrd_member_removed("usr/sbin/cos-loop-img"), ["COS025"]),
    "initrd: cos-mount-layout removed": (initrd_member_removed("usr/sbin/cos-mount-layout"), ["COS025"]),
    "initrd: parse-cos-cmdline hook removed": (
        initrd_member_removed("usr/lib/dracut/hooks/cmdline/30-parse-cos-cmdline.sh"),
        ["COS025"],
    ),
    "initrd: the drivers of one machine only": (
        lambda parts: [parts.initrd.pop(path) for path in list(parts.initrd) if path.endswith(GENERIC)],
        ["COS030", "COS224"],
    ),
    "initrd: cut in the microcode segment": (
        lambda parts: setattr(parts, "cut", lambda data: data[:1000]),
        ["COS023"],
    ),
    "initrd: bash removed": (initrd_member_removed("usr/bin/bash"), ["COS026"]),
    "initrd: rsync removed, PERSISTENT_STATE_BIND=true": (rsync_needed, ["COS026"]),
    "initrd: basename behind an odd offset": (
        without_basename(
            lambda data: data + bytes((3 - len(data)) % 4) + cpio_archive({"usr/bin/basename": executable()})
        ),
        ["COS026", "COS034"],
    ),
    "initrd: cut in the xz segment": (
        lambda parts: setattr(parts, "cut", cut_in_main_segment),
        ["COS023"],
    ),
    "initrd: compressed with xz and CRC64": (
        lambda parts: setattr(parts, "cut", lambda _: compress_initrd_crc64(parts)),
        ["COS023"],
    ),
    "bootargs iso-scan/filename, no dmsquash-live": (iso_scan_without_live, ["COS031", "COS045"]),
    "bootargs iso-scan/filename, the partition as root": (iso_scan_of_the_partition, ["COS112"]),
    "rootfs: whole /system removed": (lambda parts: parts.remove("system"), ["COS070"]),
    "rootfs: 00_rootfs.yaml is no YAML": (layout_broken("stages: [\n"), ["COS070"]),
    "rootfs: 00_rootfs.yaml has a value that yip cannot take": (
        layout_broken(LAYOUT + "      commands: false\n"),
        ["COS070"],
    ),
    "rootfs: elemental removed, kept in the initrd": (
        lambda parts: parts.remove("usr/bin/elemental"),
        ["COS062"],
    ),
    "rootfs: both os-release removed": (
        lambda parts: parts.remove("etc/os-release", "usr/lib/os-release"),
        ["COS064"],
    ),
    "rootfs: a further target of RW_PATHS is not there": (data_writable, ["COS065"]),
    "rootfs: /srv links to nothing": (
        lambda parts: parts.base.update({"srv": Symlink("usr/share/srv")}),
        ["COS065"],
    ),
    "rootfs: /opt is a file": (lambda parts: parts.write("opt", "not a directory\n"), ["COS065"]),
    "GRUB: vmlinuz through 8 links": (chain_of(8), ["COS012"]),
    "GRUB: vmlinuz is a directory": (
        lambda parts: parts.kernel.update({"boot/vmlinuz": Directory()}),
        ["COS013"],
    ),
    "GRUB: boot-opaque": (lambda parts: parts.top.update({"boot": Opaque()}), ["COS010", "COS020", "COS200"]),
    "GRUB: vmlinuz-loop": (linked(("boot/vmlinuz", "a"), ("boot/a", "vmlinuz")), ["COS011"]),
}


def compress_initrd_crc64(parts):
    """What xz(1) makes unless it is told otherwise, and no kernel unpacks."""
    data = bytearray(compress_initrd(cpio_archive(parts.initrd), "xz"))
    data[7] = 4
    return bytes(data)


@pytest.mark.parametrize("case", FAILS)
def test_what_did_not_boot_fails_by_name(tmp_path, case):
    change, expected = FAILS[case]

    found = report(tmp_path, change)

    assert expected == failed(found)
    assert [] == undecided(found)
    assert Verdict.FAIL == found.verdict


# -- what is told ----------------------------------------------------------------------------------------------------


def test_a_cloud_config_that_is_passed_over_is_evidence_for_the_missing_layout(tmp_path):
    found = report(tmp_path, layout_broken("stages: [\n"))

    (finding,) = result_of(found, "COS070").findings
    assert any(line.startswith("/system/oem/00_rootfs.yaml is passed over: ") for line in finding.evidence)


def test_a_cloud_config_that_is_passed_over_is_evidence_for_the_missing_login(tmp_path):
    found = report(tmp_path, lambda parts: parts.write("system/oem/04_accounting.yaml", "stages: [\n"))

    assert ["COS072"] == failed(found)
    (finding,) = result_of(found, "COS072").findings
    assert any("04_accounting.yaml is passed over" in line for line in finding.evidence)


def test_an_initrd_that_cannot_be_unpacked_makes_nothing_else_of_it_fail(tmp_path):
    found = report(tmp_path, lambda parts: setattr(parts, "cut", cut_in_main_segment), architecture="arm64")

    assert ["COS023"] == failed(found)
    assert Kind.NOT_APPLICABLE == result_of(found, "COS025").kind


def test_a_kernel_that_only_the_boot_can_name_is_undecided(tmp_path):
    text = toolkit.bootargs("G2").replace("set kernel=/boot/vmlinuz", "set kernel=/boot/$grub_cpu/vmlinuz")

    found = report(tmp_path, lambda parts: parts.write("etc/cos/bootargs.cfg", text))

    assert ["COS010"] == undecided(found)
    assert "/boot/${grub_cpu}/vmlinuz" in result_of(found, "COS010").reason
    assert Verdict.OPEN == found.verdict


def test_a_missing_kernel_is_missing_even_where_another_cannot_be_named(tmp_path):
    text = toolkit.bootargs("G2") + "if cmostest 1:2; then set kernel=/boot/$grub_cpu; fi\n"

    def change(parts):
        parts.write("etc/cos/bootargs.cfg", text)
        parts.top["boot/vmlinuz"] = Whiteout()

    found = report(tmp_path, change)

    assert ["COS010"] == failed(found)
    assert "/boot/${grub_cpu}" in result_of(found, "COS010").reason
    assert Verdict.FAIL == found.verdict


def test_the_units_tell_the_generation_and_not_what_else_is_there(tmp_path):
    found = report(tmp_path, lambda parts: parts.write("usr/bin/elemental", executable()), generation="G1")

    assert "G1" == found.generation
    assert Verdict.PASS == found.verdict


def test_an_irregular_entry_is_told_by_its_whole_name(tmp_path):
    found = report(tmp_path, lambda parts: parts.write(".wh.hidden", "not empty\n"))

    (finding,) = result_of(found, "COS009").findings
    assert "/.wh.hidden" == finding.path


def test_a_kernel_of_another_name_and_version_is_held_against_its_own_modules(tmp_path):
    def change(parts):
        parts.kernel["boot/vmlinuz"] = linux_kernel("5.14.21-default", "amd64")

    found = report(tmp_path, change)

    assert ["COS016", "COS028"] == failed(found)
    assert f"found {KERNEL_VERSION}" in result_of(found, "COS016").findings[0].message
