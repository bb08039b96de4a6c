"""cloud-config documents as yip decodes them: YAML nodes, go-yaml's conversions, yip's schema by version, conditions.

It may import `errors`, `limits` and nothing of the other formats. A new version of yip is a line in `schema`, which holds the differences of
versions as data. `document` loads a file, `conditions` evaluates the `if` of a step.
"""
