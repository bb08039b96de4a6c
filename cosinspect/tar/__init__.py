"""Tar archives: blocks, headers by the rules of Go's reader, irregularities, names.

Bytes in, headers out, within bounds. It may import only the ground. `header` reads the fields of a header,
`reader` the sequence of headers, `names` cleans names. A new kind of irregularity is noted by the module that
sees it and ruled on in `cosinspect.checks.layers`.
"""
