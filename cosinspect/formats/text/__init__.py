"""Configuration as text: YAML, cloud-config, os-release and other KEY=value files, systemd units, JSON as Go reads it.

It may import what `cosinspect.formats` may. YAML is loaded by `yaml` alone, with its bounds; a document is decoded by the types of the
program that reads it.
"""
