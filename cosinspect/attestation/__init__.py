"""The verdict as a signed statement beside the image, so that others can enforce it with no server of ours.

It may import `formats`, `oci`, `report`, `signatures` and `sources`. `statement` is what is signed, `place` finds and stores it, `verdict`
signs and verifies it.
"""
