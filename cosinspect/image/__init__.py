"""An image: manifest, configuration and layers, and the source of its name.

It may import `blob`, `cache`, `layer`, `oci`, `rootfs` and `sources`. `resolution` finds the image's documents, `schedule` reads
layers in parallel, `image` merges them, `filesystem` shows them to fsspec; `opening` chooses the source of a name: a new transport is added there, in
`cosinspect.oci.reference` and in `cosinspect.sources`.
"""
