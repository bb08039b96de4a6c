"""Codecs: gzip, zstd, xz, lz4 and others behind one interface, inflated in bounded pieces.

It may import the ground only, and no other room imports a codec. A new compression goes to `codecs`: its magic bytes, its inflater,
its bound of memory. `xz` reads the blocks of an xz stream in parallel.
"""
