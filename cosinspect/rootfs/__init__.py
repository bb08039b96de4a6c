"""The merged tree: layers applied in order, links followed, and what each layer did to a path.

It may import `formats`, `layer` and `tar`. `semantics` is a table of the differences between runtimes; `tree` writes
entries by it, `batches` those of a directory at once, `packed_names` holds them, `overlay` merges indexes, `rootfs` is the view that
checks use, `history` finds each layer's changes, `effects` counts them, `differences` compares two trees, `agreement` shows that
readers make the same one, `archive` writes one as a tar archive, `partial` is the view before all layers are read.
"""
