"""One layer: its verified stream, its index in a single pass, its table of contents.

It may import `blob`, `compression`, `formats`, `oci` and `tar`. `stream` verifies and inflates, `indexing`
turns headers into a `LayerIndex` (`changeset`), `outline` notes contradictions within a layer, `checkpoints`
stores offsets from which reading can resume, `retain` selects the bodies to keep; `toc`, `toc_layer` and
`toc_audit` read eStargz and zstd:chunked tables.
"""
