"""Codecs: gzip, zstd, xz, lz4 and others with one interface, inflated in bounded pieces.

It may import only the ground. No other room imports a codec. Add a compression in `codecs`: its magic bytes,
its inflater, its memory bound. `xz` reads the blocks of an xz stream in parallel.
"""
