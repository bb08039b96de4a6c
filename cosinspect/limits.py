"""The bounds on the size of an image, as one value.

A limit makes hostile input end in a typed error. Honest images stay far below each limit. Sizes are in bytes.
Use `attrs.evolve(DEFAULT_LIMITS, ...)` to raise one for an honest image that is larger.

Bounds on the shape of one format (the depth of a document, the commands of a script, the length of a name)
are constants of the module that reads the format: they follow from the format, not from the image's size.
"""

from __future__ import annotations

from attrs import frozen

__all__ = ["DEFAULT_LIMITS", "Limits"]

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


@frozen(kw_only=True)
class Limits:
    """The bounds within which one image is read."""

    seconds: float = 3600.0
    """From the first request to the last check; honest images take seconds, or minutes over slow lines."""

    manifest_bytes: int = 4 * MIB
    """A manifest or index (what containers/image allows)."""
    config_bytes: int = 4 * MIB
    """An image configuration (what containers/image allows)."""
    token_bytes: int = 1 * MIB
    """The answer of a token server."""
    error_bytes: int = 64 * KIB
    """The part of a registry's error body that is read."""
    listing_bytes: int = 4 * MIB
    """One page of a list of tags or referrers."""
    listed: int = 100_000
    """Tags of one repository, or referrers of one manifest, on all pages."""
    listing_pages: int = 1000
    """Pages of one list."""
    index_depth: int = 4
    """Image indexes nested in each other."""
    candidates: int = 1000
    """Manifests and nested indexes looked at to find a platform."""
    layers: int = 1000
    """Layers of one image; runtimes stop near 127 or 500."""
    signatures: int = 100
    """Signatures of one image, and other referrers, that are examined."""
    signature_bytes: int = 1 * MIB
    """The payload of one signature, or one bundle."""

    inflated_bytes: int = 64 * GIB
    """One layer, uncompressed."""
    inflated_ratio: int = 1100
    """Uncompressed to compressed size of one layer; deflate itself cannot exceed 1032."""
    zstd_window_bytes: int = 128 * MIB
    """The window a zstd frame may ask for (the zstd command's own default)."""
    entries: int = 2_000_000
    """Entries of one layer."""
    directories: int = 1_000_000
    """Directories that one layer lists, uses, or deletes something in."""
    path_bytes: int = 64 * KIB
    """A name in a layer; Linux itself stops at 4 KiB."""
    path_depth: int = 1000
    """Components of a name in a layer."""
    pax_bytes: int = 1 * MIB
    """One PAX or GNU long-name record (what Go's reader allows)."""
    table_bytes: int = 64 * MIB
    """A layer's table of contents, compressed or not (containers/storage takes 150 MiB)."""
    chunk_bytes: int = 64 * MIB
    """One chunk of a table of contents; writers make chunks of at most 4 MiB."""
    metadata_characters: int = 256 * MIB
    """Names, links, attributes and sparse maps of one layer, in characters."""
    index_bytes: int = 800 * MIB
    """Memory that the entries of all layers take together, in their indexes and in the trees made of them, as estimated for layers
    that readers read differently: about 1.1 million entries with names of 60 characters. Others take a fifth of it at most."""
    differences: int = 500_000
    """Paths that two readers of the same layers see differently; each takes about 1 KiB, with its cause and the other tree."""
    program_characters: int = 64 * MIB
    """Names in executable files and libraries of one layer, in characters; names beyond that are read on demand."""
    notes_of_a_kind: int = 1000
    """Reported irregularities of one kind in one layer."""
    link_hops: int = 40
    """Symbolic links followed for one path (Linux's own limit)."""

    retained_file_bytes: int = 64 * MIB
    """A file kept in memory while its layer is read; larger ones are read in a second pass."""
    retained_bytes: int = 96 * MIB
    """All files of one image kept in memory while layers are read."""

    yaml_nodes: int = 500_000
    """Nodes of one YAML document, aliases expanded where the reader expands them."""
    yaml_events: int = 1_000_000
    """Scalars, and beginnings and ends of collections, in all YAML files of one image, each reading of a file counted."""
    parsed_file_bytes: int = 16 * MIB
    """A configuration file, script or unit that is parsed whole."""
    database_bytes: int = 128 * MIB
    """A package database."""
    database_records: int = 200_000
    """Records of one package database."""
    database_values: int = 5_000_000
    """Values in all records of one package database."""
    cloud_config_bytes: int = 8 * MIB
    """All cloud-configs of one image; the toolkits' own take less than 100 KiB."""
    program_bytes: int = 512 * MIB
    """A program that is searched for the modules that it was built from."""
    units: int = 3000
    """Units that systemd starts for one target."""
    initrd_bytes: int = 2 * GIB
    """All segments of an initrd, uncompressed."""
    initrd_entries: int = 500_000
    """Members of an initrd."""
    initrd_segments: int = 1000
    """Archives that follow each other in an initrd."""
    initrd_body_bytes: int = 4 * MIB
    """One member of an initrd that is kept for reading."""


DEFAULT_LIMITS = Limits()
