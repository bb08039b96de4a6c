"""An image: manifest, configuration and layers, and the source of its name.

It may import `blob`, `cache`, `layer`, `oci`, `rootfs` and `sources`. `image` schedules the layers and merges
them; `opening` selects the source of a name. Add a transport there, in `cosinspect.oci.reference` and in
`cosinspect.sources`.
"""
