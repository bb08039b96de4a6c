"""Signatures of images: where they lie, who is trusted, and whether one of those signed this digest.

Nothing here talks to a registry: what does so is behind the port `SignatureStore`.

It may import `formats` and `oci`. `attached` finds signatures, `verification` decides, `keys` and `keyless` verify one of them.
"""
