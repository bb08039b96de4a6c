"""The places that images come from: registries, layout directories, archives. Each is a `cosinspect.blob.Source`.

It may import `blob`, `compression`, `formats`, `oci` and `tar`. A new source is a module of `registry` or `local`, and an entry in
`cosinspect.image.opening`; where credentials come from is in `config`.
"""
