"""What boots a machine: kernels, initrds, boot loader scripts, boot arguments, dracut settings, ELF files.

It may import what `cosinspect.formats` may. Each module is one format: bytes in, one value out. The kernel's name for a format, or
its documentation, is the source to cite.
"""
