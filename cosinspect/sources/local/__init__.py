"""Images in files: OCI layouts, `docker save` archives, directories.

It may import what `cosinspect.sources` may, and not `cosinspect.sources.registry`. `files` reads a directory and an archive alike; a new
form of local image is a module here and an entry in `cosinspect.image.opening`.
"""
