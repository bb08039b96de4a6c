"""Configuration as text: YAML, cloud-config, os-release and other KEY=value files, systemd units, JSON as Go reads it.

It may import what `cosinspect.formats` may. Only `yaml` loads YAML, with bounds. A document is decoded with the types of the
program that reads it.
"""
