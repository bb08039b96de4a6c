"""The verdict as a signed statement beside the image, which others can enforce without a cosinspect server.

It may import `formats`, `oci`, `report`, `signatures` and `sources`. `statement` is the content, `artifact`
its manifest, `place` stores and finds it, `verdict` signs and verifies it.
"""
