"""The parser of a command's arguments: it raises exceptions, and says what was expected and what was found."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from cosinspect.commands.command import WrongUse

__all__ = ["CommandParser"]

_REQUIRED = re.compile(r"the following arguments are required: (.*)")
_NO_VALUE = re.compile(r"argument (\S+): expected (?:one|at least one) argument")
_NEEDLESS_VALUE = re.compile(r"argument (\S+): ignored explicit argument (.*)")
_EXCLUSIVE = re.compile(r"argument (\S+): not allowed with argument (\S+)")
_OF_ARGUMENT = re.compile(r"argument (\S+): (.*)", re.DOTALL)
MOST_CHOICES = 20
"""The number of choices that a message lists."""


class CommandParser(argparse.ArgumentParser):
    """A parser that raises `WrongUse`; argparse has no other way not to exit."""

    def error(self, message: str) -> NoReturn:
        """Raise the message of argparse in the words of this project.

        Raises:
            WrongUse: always.
        """
        text = _reworded(message)
        # A question is an advice already.
        raise WrongUse(text if text.endswith("?") else f"{text}; see {self.prog} --help")

    def parse_intermixed_args(  # type: ignore[override]  # typeshed has an overload for each kind of namespace
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        """Parse arguments; options may be between positional ones.

        Raises:
            WrongUse: the arguments are invalid.
        """
        arguments, unexpected = self.parse_known_intermixed_args(args, namespace)
        if unexpected:
            self.error(self._unexpected([*unexpected], dict(vars(arguments))))
        return arguments

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        choices = [str(each) for each in action.choices]
        near = difflib.get_close_matches(str(value), choices, n=1)
        more = f" and {len(choices) - MOST_CHOICES} more" if len(choices) > MOST_CHOICES else ""
        raise argparse.ArgumentError(
            action,
            f"expected one of {', '.join(choices[:MOST_CHOICES])}{more}, found {str(value)[:60]!r}"
            + (f"; did you mean {near[0]}?" if near else ""),
        )

    def _unexpected(self, words: list[str], given: dict[str, Any]) -> str:
        option = next((word for word in words if word.startswith("-") and word != "-"), None)
        if option is not None:
            name = option.partition("=")[0]
            known = [each for each in self._option_string_actions if each.startswith("--")]
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
            shorter = [each for each in known if each.startswith(name)] if name.startswith("--") else []
            meant = (near or shorter or [""])[0]
            return f"there is no option {name[:60]}" + (f"; did you mean {meant}?" if meant else "")
        image = given.get("image")
        if isinstance(image, str) and self.prog.endswith(" check"):
            names = " ".join([image, *words])
            return f"expected one image, found {len(words) + 1}; for several images: cosinspect scan {names[:200]}"
        return f"expected nothing more, found {' '.join(words)[:100]}"


def _reworded(message: str) -> str:
    if found := _REQUIRED.fullmatch(message):
        return f"expected {found[1]}, found nothing"
    if found := _NO_VALUE.fullmatch(message):
        return f"{found[1]}: expected a value, found nothing"
    if found := _NEEDLESS_VALUE.fullmatch(message):
        return f"{found[1]}: expected no value, found {found[2][:60]}"
    if found := _EXCLUSIVE.fullmatch(message):
        return f"{found[1]} and {found[2]} exclude each other; leave one out"
    if found := _OF_ARGUMENT.fullmatch(message):
        return f"{found[1]}: {found[2]}"
    return message
