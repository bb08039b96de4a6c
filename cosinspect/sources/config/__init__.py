"""The user's configuration for registries: credentials, pull secrets, registries.conf, certificates.

It may import what `cosinspect.sources` may, and no source. `access` puts it together; a new place for credentials is a module here.
"""
