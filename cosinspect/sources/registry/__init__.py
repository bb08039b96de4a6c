"""Registries over HTTP: the distribution specification's client side, authentication, retries, mirrors.

It may import `cosinspect.sources.config` and what `cosinspect.sources` may. `source` is the port's implementation, `client` sends requests,
`auth` answers challenges, `retries` says what is tried again, `error_documents` reads what a registry answers and removes secrets.
"""
