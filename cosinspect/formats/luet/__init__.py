"""luet's files: its bbolt database, its records, its configuration.

It may import what `cosinspect.formats` may. `bolt` and `bolt_pages` read bbolt without a lock or a write; `records` and `database` give
packages and finalizers, `config` is luet.yaml.
"""
