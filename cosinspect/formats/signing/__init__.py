"""Signature documents: DSSE envelopes, in-toto statements, simple signing, Sigstore bundles, log entries.

It may import what `cosinspect.formats` may. A document is decoded here and verified in `cosinspect.signatures`.
"""
