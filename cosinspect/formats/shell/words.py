"""Names with a meaning to a shell, which runs no file for them."""

from __future__ import annotations

__all__ = ["BASH_BUILTINS", "BUILTINS", "DASH_BUILTINS", "RESERVED_WORDS"]

RESERVED_WORDS = frozenset(
    {
        *("!", "[[", "]]", "{", "}", "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for"),
        *("function", "if", "in", "select", "then", "time", "until", "while"),
    }
)
"""Words that bash reserves (bash 5.2, "Reserved Words"); dash knows all but `[[`, `]]`, `coproc`, `function`, `select`."""

BASH_BUILTINS = frozenset(
    {
        *(".", ":", "[", "alias", "bg", "bind", "break", "builtin", "caller", "cd", "command"),
        *("compgen", "complete", "compopt", "continue", "declare", "dirs", "disown", "echo", "enable"),
        *("eval", "exec", "exit", "export", "false", "fc", "fg", "getopts", "hash", "help", "history"),
        *("jobs", "kill", "let", "local", "logout", "mapfile", "popd", "printf", "pushd", "pwd"),
        *("read", "readarray", "readonly", "return", "set", "shift", "shopt", "source", "suspend"),
        *("test", "times", "trap", "true", "type", "typeset", "ulimit", "umask", "unalias", "unset"),
        *("wait",),
    }
)
"""The builtins of bash 5.2 (`compgen -b`)."""

DASH_BUILTINS = frozenset(
    {
        *(".", ":", "[", "alias", "bg", "break", "cd", "chdir", "command", "continue", "echo", "eval"),
        *("exec", "exit", "export", "false", "fg", "getopts", "hash", "jobs", "kill", "local"),
        *("printf", "pwd", "read", "readonly", "return", "set", "shift", "test", "times", "trap"),
        *("true", "type", "ulimit", "umask", "unalias", "unset", "wait"),
    }
)
"""The builtins of dash 0.5.12 (its manual page, "Builtins")."""

BUILTINS = BASH_BUILTINS | DASH_BUILTINS
"""The builtins of either shell. A builtin of only one may be a file for the other; that file is then not reported."""
