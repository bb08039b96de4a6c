"""What several checks need to know about an image, parsed once: kernel, initrd, boot arguments, generation, packages.

It may import `cache`, `formats`, `layer`, `oci`, `profiles` and `rootfs`, and no check. A fact is a property of `facts.Facts`; the generation of a
toolkit is recognised in `generation`, what GRUB loads is evaluated in `boot_menu`, package databases in `packages`. `prefetch` unpacks an initrd while its layer is read.
"""
