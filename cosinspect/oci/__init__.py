"""The image specification's values: descriptors, manifests, configurations, media types, platforms, names of images.

Each document is parsed strictly and is a frozen value afterwards; nothing here does I/O. It may import the ground only.
A new media type goes to `media_types`, a new document to `documents` (values) and `wire` (its JSON), a new transport to `reference`.
"""
