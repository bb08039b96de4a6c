"""File formats: bytes or text in, one frozen value out. No I/O, and no exception but `FormatError`.

It may import `compression`, `kubernetes_images`, `oci` and the ground. Every parser bounds its time and memory and has a property test with
arbitrary bytes and a fuzz target. A new format is a module of the package that it belongs to: `boot`, `luet`, `shell`, `signing`, `text`.
"""
