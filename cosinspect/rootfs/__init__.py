"""The merged tree: layers applied in order, links followed, and what each layer did to a path.

It may import `formats` and `layer`. How runtimes differ is a table in `semantics`; `tree` writes entries by it, `overlay` merges indexes,
`rootfs` is the view that checks use, `history` says which layer did what, `differences` compares two trees, `partial` is the view
before all layers are read.
"""
