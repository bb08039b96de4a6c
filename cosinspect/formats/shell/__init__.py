"""Shell scripts: words, quoting, grammar, and the commands and functions of a script.

It may import what `cosinspect.formats` may. `script` is what others call; `grammar` and `quoting` follow the shell command language of
POSIX and what bash adds. Nothing here knows what a command does.
"""
