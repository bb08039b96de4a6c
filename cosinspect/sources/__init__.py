"""The places that images come from: registries, layout directories, archives. Each is a `cosinspect.blob.Source`."""
