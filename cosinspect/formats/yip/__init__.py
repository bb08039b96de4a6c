"""cloud-config documents as yip decodes them: YAML nodes, go-yaml's conversions, yip's schema by version, conditions.

It may import `errors`, `limits` and nothing of the other formats. A new version of yip is a line in `schema`; what the versions differ in
stands there as data. `document` loads a file, `conditions` evaluates the `if` of a step.
"""
