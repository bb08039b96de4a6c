"""The commands, a module each: what arguments they take and what they do with them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from cosinspect.commands import (
    cache,
    cat,
    check,
    checks,
    demo,
    diff,
    explain,
    history,
    ls,
    packages,
    scan,
    serve,
)
from cosinspect.commands.command import Command

__all__ = ["COMMANDS"]

COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        module.COMMAND.name: module.COMMAND
        for module in (check, explain, diff, ls, cat, history, packages, checks, scan, serve, cache, demo)
    }
)
"""Every command by its name, in the order in which people are told of them."""
