"""Signatures of images: where they are, who is trusted, and whether a trusted signer signed a digest.

Nothing here accesses a registry; the port `SignatureStore` does.

It may import `formats` and `oci`. `attached` finds signatures, `verification` decides, `keys` and `keyless`
verify single signatures.
"""
