"""luet's files: its bbolt database, its records, its configuration.

It may import what `cosinspect.formats` may. `bolt` and `bolt_pages` read bbolt without a lock or a write; `records` and `database`
return packages and finalizers, `config` reads luet.yaml.
"""
