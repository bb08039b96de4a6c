"""The values of the image specification: descriptors, manifests, configurations, media types, platforms, image names.

Each document is parsed strictly into a frozen value. Nothing here does I/O. It may import only the ground.
Add a media type in `media_types`, a document in `documents` (values) and `wire` (JSON), a transport in
`reference`.
"""
