"""A registry for tests: a real server on a local port, with authentication and with configurable faults.

It may import what `cosinspect.testing` may. `server` listens, `store` keeps blobs and manifests, `messages` are requests and responses, `auth`
asks for credentials, `faults` are the ways to fail. `Registry` is exported by `cosinspect.testing`.
"""
