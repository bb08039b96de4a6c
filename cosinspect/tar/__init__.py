"""Tar archives: blocks, headers by the rules of Go's reader, irregularities, names.

Bytes in, headers out, within bounds. It may import the ground only. How a header field is read is in `header`, what follows what is
in `reader`, how a name is cleaned is in `names`; a new kind of irregularity is noted where it is seen and ruled on in
`cosinspect.checks.layers`.
"""
