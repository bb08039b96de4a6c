"""One layer: its verified stream, its index in a single pass, its table of contents.

It may import `blob`, `compression`, `formats`, `oci` and `tar`. `stream` verifies and inflates, `indexing` turns headers into a `LayerIndex`
(`changeset`), `outline` notes what a layer contradicts itself in, `checkpoints` are the offsets to resume at, `retain` says which
bodies are kept; `toc`, `toc_layer` and `toc_audit` read eStargz and zstd:chunked tables.
"""
