"""cloud-config documents as yip decodes them: YAML nodes, go-yaml's conversions, yip's schema by version, conditions."""
