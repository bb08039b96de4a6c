"""Many images: which they are, in what order they are inspected so that each layer is read once, and what is written of them.

It may import `cache`, `checks`, `formats`, `image`, `inspection`, `kubernetes_images`, `oci`, `report` and `sources`. `names` says which images are meant,
`scan` and `workers` inspect them, `record` and `export` are the output.
"""
