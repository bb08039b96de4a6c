"""The server: protocols of clusters and registries, each mapped to the same inspection.

The server has no policy of its own: a rule names a profile and policies, as the command line does.

It may import `cache`, `image`, `inspection`, `kubernetes_images`, `oci`, `policy`, `render`, `report`,
`signatures` and `sources`. A protocol is a module (`admission`, `gatekeeper`, `harbor`); `inspector`
schedules inspections, `verdicts` stores the results.
"""
