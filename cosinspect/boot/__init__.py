"""A boot that is tried: the merged tree written to a disk, the disk started in an emulator, and what its console says.

It may import `checks`, `compression`, `facts`, `formats`, `image`, `inspection`, `oci`, `profiles`, `report`, `rootfs` and `testing`. `ext2`, `fat` and `partitions` write
file systems, `layout` says what a generation's disk has, `disk` writes it; `startup` takes kernel, initrd and command line from what GRUB
loads; `emulator` runs QEMU, `console` and `proof` read what the machine prints, `outcome` is the result, `trial` does all of it.
A generation's disk is changed in `layout`, the signs of a failure in `console`.
"""
