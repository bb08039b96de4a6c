"""The page of what was booted, and where inspection and boot disagree."""

from pathlib import Path

from tests.boots.unforeseen import unforeseen_rows

PAGE = Path(__file__).parent.parent.parent / "docs" / "boots.md"
HEAD = """\
# Boots

`cosinspect boot IMAGE` takes an image from its registry and starts it: no root, no daemon, no loop device, nothing unpacked. It needs
QEMU (`apt-get install qemu-system-x86`), and OVMF for `--firmware`.

1. The merged tree is written to one sparse file in a private directory: a GUID partition table, COS_GRUB, COS_OEM, COS_RECOVERY,
   COS_STATE with the image's file, COS_PERSISTENT, as the generation's installation lays them out. Each layer is read once. Directories
   that installation makes are made.
2. QEMU starts the kernel, the initrd and the command line that GRUB's evaluation gives for the entry (`--entry active|recovery`), with
   `console=ttyS0 systemd.show_status=1 systemd.log_target=console panic=-1` in addition, without a network. With `--firmware` OVMF starts the
   image's own shim, GRUB and menu (G3 to G5).
3. The console is watched. A prompt proves nothing: a cloud-config on the OEM partition makes the machine say how it is in its stage `boot`,
   and somebody logs in where the image's own cloud-configs give a password. Where the tree is the root of a plain disk, a unit in it replaces the
   cloud-config.

| result | means | exit status |
|---|---|---|
| booted | somebody logged in; or, where no password is known, the stage `boot` ran our commands and multi-user.target is reached | 0 |
| half booted | the system is up, and nobody can log in | 1 |
| emergency in the initrd, emergency in the system | the console shows a maintenance shell, before or after the root is switched | 1 |
| panic | the kernel gives up | 1 |
| stuck | nothing new for 60 s of the emulator's own processor time, or a guest that rests for 130 s; "so far" | 1 |
| restarted | the machine ends by itself | 1 |
| not started by the firmware | GRUB or the firmware stops, with `--firmware` | 1 |
| undecided | `--timeout` is reached, which counts processor time, or the tenfold by the clock; or a prompt comes, no password is known, and the image runs no command of ours | 3 |

A boot that cannot be tried ends with 3 and says why: no emulator, no space, no kernel that GRUB finds, a tree that no disk holds. `--anyway` takes
any kernel and initrd of the image. Images for amd64 and arm64 are started (`qemu-system-arm`). `--accel auto` uses KVM where a machine runs by it; where /dev/kvm opens and no machine runs, it starts again without,
and says so. On a busy computer a machine's own timeouts fire although it is sound: where it waited for a processor longer than it computed, and the
result is one that timeouts cause, it starts again with a clock that follows its instructions, and the report says so. `--format json` is the report of `check` with the key `boot`. Where the inspection and the boot differ, both are shown.

"booted" holds for QEMU, virtio and this disk: not for other hardware, and not for the installation itself. For bootc and images of no evident
generation the tree is the root of a plain disk, which is called partial. For Elemental 3 (G6) the same: its btrfs subvolumes are not written.

ext2 is written by code of our own: `mke2fs -d` takes an archive from 1.47.1 on and Debian 12 has 1.47.0, `genext2fs` keeps no extended attributes, and what
reads a directory needs the tree unpacked and root, or fakeroot. e2fsck, debugfs and dissect.extfs judge it.

A small image made of the machine's kernel and busybox shows a boot in seconds, here at 4 s of processor time for amd64, and 4 s for arm64 on the
same x86 machine:

```text
$ cosinspect boot --demo
BOOTED  127.0.0.1:36931/cos/derivative:demo
  root logged in, and a shell answered

  digest       sha256:6848722228e8d0afbc3dbedd64adb8db371712eb19e16bbef49cebfac898a199
  generation   cOS toolkit v0.8.2 to v0.9.7 (G2)
  inspection   boots
  proof        somebody logged in
  system       running
  took         4 s of processor time, 21 s by the clock (tcg)
```

## Inspection and boot

The table holds the inspection's verdict against boots of good derivatives and their mutations. `python -m tests.boots` makes it: Debian 12
with the toolkits' own configuration files at their places, stages run by the code of elemental-cli, and stand-ins of our own
(`tests/boots/standins`) for the toolkits' scripts, which no package registry has. Each row was booted once, without hardware acceleration,
on two processors that others used as well: processor time is the measure, the clock is not. No row is of Kairos: its initrd requires immucore, which no
package registry has.

"""


def disagreements(rows, results):
    """Give a line for each row in which inspection and boot, or a boot and what is known of it, disagree without an explanation."""
    found = []
    for name, row in rows.items():
        result = results.get(name)
        if result is None or row.because:
            continue
        if result["booted"] is None:
            found.append(f"{name}: undecided: {result['reason']}")
        elif {"yes": True, "no": False}.get(result["said"]) is not result["booted"]:
            found.append(
                f"{name}: the inspection says {result['said']}, the boot: {result['result']} ({result['reason']})"
            )
        elif row.boots is not None and row.boots is not result["booted"]:
            found.append(
                f"{name}: known as {'booting' if row.boots else 'not booting'}, the boot: {result['result']}"
            )
    return found


def write_page(rows, results):
    """Write the page."""
    booted = [name for name in rows if name in results]
    agree = len(booted) - len(disagreements(rows, results)) - sum(bool(rows[name].because) for name in booted)
    lines = [HEAD]
    lines.append(
        f"{len(booted)} rows were booted; inspection and boot agree in {agree}, and the last column explains the others.\n\n"
    )
    lines.append(
        "| row | what is changed | inspection: boots | real boot | its work | clock | accel | |\n|---|---|---|---|---|---|---|---|\n"
    )
    wrong = {line.partition(":")[0] for line in disagreements(rows, results)}
    for name in booted:
        row, result = rows[name], results[name]
        said = result["said"] + (f" ({', '.join(result['checks'][:3])})" if result["checks"] else "")
        came = result["result"]
        note = row.because or ("disagrees" if name in wrong else "")
        lines.append(
            f"| {name} | {row.generation}: {row.summary} | {said} | {came} | {result['cpu']:.0f} s | {result['wall']:.0f} s | {result['accel']} | {note} |\n"
        )
    missing = {name for name in rows if name not in results}
    later = {row.name for row in unforeseen_rows()} & missing
    if missing - later:
        lines.append(f"\nNot booted yet: {', '.join(name for name in rows if name in missing - later)}.\n")
    if later:
        lines.append(f"\n{len(later)} mutations of `tests/boots/unforeseen.py` are not booted yet.\n")
    return "".join(lines)
