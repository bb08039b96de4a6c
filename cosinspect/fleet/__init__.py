"""Many images: their names, their inspection with each layer read once, and the output.

It may import `cache`, `checks`, `formats`, `image`, `inspection`, `kubernetes_images`, `oci`, `report` and
`sources`. `names` selects the images, `scan` and `workers` inspect them, `record` and `export` are the
output.
"""
