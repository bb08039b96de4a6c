"""Shell scripts: words, quoting, grammar, and the commands and functions of a script.

It may import what `cosinspect.formats` may. Other packages call `script`; `grammar` and `quoting` follow the shell command language of
POSIX and bash's additions. Nothing here knows the effects of commands.
"""
