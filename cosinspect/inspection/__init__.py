"""The pipeline from a name to a report: the only place that connects all rooms.

It may import `attestation`, `cache`, `checks`, `facts`, `formats`, `image`, `layer`, `oci`, `policy`,
`profiles`, `report`, `rootfs`, `signatures` and `sources`. `inspection` runs it as `options` and `plan` say,
`verification` verifies signatures, `early` decides checks before all layers are read, `cached_results` stores
what the checks found, `explanation` orders the evidence of a result, `rulebook` and `worker` inspect in other
processes.
"""
