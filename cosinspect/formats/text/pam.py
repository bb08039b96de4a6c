"""PAM services: the modules that a program such as login calls, and whether they can admit a user.

Follows libpam of Linux-PAM 1.5 (`libpam/pam_handlers.c`, `libpam/pam_dispatch.c`) and Debian's `@include`. Modules are not run:
the caller says which exist, and the possible results of a module are in the list below, or open.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from attrs import Factory, define, frozen

from cosinspect.deadline import spend
from cosinspect.formats.text.problem import bounded

__all__ = ["MAX_HANDLERS", "Handler", "Kind", "Stack", "passes", "read_stack"]

MAX_HANDLERS = 1000
"""The most lines of one stack, with includes expanded; further lines are left out, and the stack is `cut`."""

Kind: TypeAlias = Literal["auth", "account", "password", "session"]

_LEVELS = 16  # PAM_SUBSTACK_MAX_LEVEL
_MAX_STATES = 20_000
_TOKEN = re.compile(r"\[(?:\\\]|[^\]])*\]|[^\s\[]\S*|\[\S*")
_PAIR = re.compile(r"([a-z_]+)\s*=\s*([a-z]+|\d{1,4})")
_WORDS: Mapping[str, Mapping[str, str]] = {
    "required": {"success": "ok", "new_authtok_reqd": "ok", "ignore": "ignore", "default": "bad"},
    "requisite": {"success": "ok", "new_authtok_reqd": "ok", "ignore": "ignore", "default": "die"},
    "sufficient": {"success": "done", "new_authtok_reqd": "done", "default": "ignore"},
    "optional": {"success": "ok", "new_authtok_reqd": "ok", "default": "ignore"},
}
_FAILS: Mapping[str, str] = {"default": "bad"}
# The fixed results of some modules; any other can accept, refuse, or be ignored.
_ALWAYS = {
    "pam_deny": frozenset({"auth_err"}),
    "pam_permit": frozenset({"success"}),
    "pam_warn": frozenset({"ignore"}),
}
_OPEN = frozenset({"success", "auth_err", "ignore"})
# They check accounts of a directory, a fingerprint or a key, and not the password of an account of the image.
_OF_OTHERS = frozenset(
    [
        "pam_sss",
        "pam_fprintd",
        "pam_krb5",
        "pam_ldap",
        "pam_winbind",
        "pam_systemd_home",
        "pam_u2f",
        "pam_yubico",
    ]
)


# The next line, the level of the line before, the impression so far, whether it is a success, and both at each level's start.
_State: TypeAlias = "tuple[int, int, int, bool, tuple[tuple[int, bool], ...]]"


@frozen
class Handler:
    """A line of a stack.

    Attributes:
        module: the file name or the path of the module, "" for a line that libpam makes fail.
        actions: the action for each return value, `default` for those not named.
        level: the number of substacks around the line.
        silent: whether a missing module is not reported (`-` before the type).
        source: the name of the configuration that has the line.
        opens: whether the line only opens a substack, whose lines follow one level deeper.
    """

    module: str
    actions: Mapping[str, str]
    level: int
    silent: bool
    source: str
    opens: bool = False

    @property
    def name(self) -> str:
        """The module's name without directory and ending."""
        return self.module.rpartition("/")[2].removesuffix(".so")


@frozen
class Stack:
    """The lines of one kind of a service, in order.

    Attributes:
        handlers: the lines, includes expanded.
        missing: the included configurations that do not exist.
        cut: whether lines were left out.
    """

    handlers: tuple[Handler, ...]
    missing: tuple[str, ...] = ()
    cut: bool = False


@define
class _StackReader:
    kind: Kind
    read: Callable[[str], str | None]
    handlers: list[Handler] = Factory(list)
    missing: list[str] = Factory(list)
    cut: bool = False
    opened: int = 0

    def load(self, name: str, depth: int, level: int) -> bool:
        """Read a configuration; return whether it exists."""
        self.opened += 1
        if depth >= _LEVELS or self.opened > MAX_HANDLERS:
            self.cut = self.cut or self.opened > MAX_HANDLERS
            return False
        text = self.read(name)
        if text is None:
            self.missing.append(name)
            return False
        for line in _lines(text):
            if len(self.handlers) >= MAX_HANDLERS or self.cut:
                self.cut = True
                break
            self.line(_TOKEN.findall(line), name, depth, level)
        return True

    def line(self, words: list[str], source: str, depth: int, level: int) -> None:
        """Add a line."""
        if words[0].lower() == "@include":
            if len(words) < 2 or not self.load(words[1], depth + 1, level):
                self.add("", _FAILS, level, source)
            return
        silent = words[0].startswith("-")
        if words[0].lstrip("-").lower() != self.kind:
            return
        control = words[1].lower() if len(words) > 1 else ""
        module = words[2] if len(words) > 2 else ""
        if control in ("include", "substack"):
            if control == "substack":
                self.handlers.append(Handler(module, {}, level, silent, source, opens=True))
            if not module or not self.load(module, depth + 1, level + (control == "substack")):
                self.add("", _FAILS, level, source)
            return
        self.add(module, _WORDS.get(control) or _actions(control), level, source, silent=silent)

    def add(
        self, module: str, actions: Mapping[str, str], level: int, source: str, *, silent: bool = False
    ) -> None:
        """Append a line."""
        self.handlers.append(Handler(module, actions, level, silent, source))


def read_stack(service: str, kind: Kind, read: Callable[[str], str | None]) -> Stack:
    """Return the lines of one kind of a service; those of `other` if the service has none of that kind.

    Args:
        service: its name, such as `login`.
        kind: of the lines.
        read: returns the text of a configuration by its name, None if there is none.
    """
    missing: tuple[str, ...] = ()
    for name in (service, "other"):
        reading = _StackReader(kind, read)
        reading.load(name, 0, 0)
        if reading.handlers or reading.cut:
            return Stack(tuple(reading.handlers), tuple(reading.missing), reading.cut)
        missing += tuple(reading.missing)
    return Stack((), missing)


def passes(stack: Stack, exists: Callable[[Handler], bool], *, password: bool = False) -> bool:
    """Return whether some results of the existing modules make libpam return success.

    Args:
        stack: the lines.
        exists: returns whether a line's module exists.
        password: whether the account is of the image and has a password: modules for other accounts then refuse.
    """
    handlers = stack.handlers
    start: _State = (0, 0, 0, False, ((0, False),))
    waiting = [start]
    seen = {start}
    while waiting and len(seen) <= _MAX_STATES:
        spend()
        at, before, impression, status, saved = waiting.pop()
        if at >= len(handlers):
            if status and impression > 0:
                return True
            continue
        handler = handlers[at]
        if handler.opens:
            following: _State = (at + 1, handler.level, impression, status, saved)
            if following not in seen:
                seen.add(following)
                waiting.append(following)
            continue
        if before < handler.level:
            entered = (impression, status)
            saved = (*saved[: before + 1], *[entered] * (handler.level - before))
        # After a jump into a substack, libpam has not stored the level's state.
        saved = (*saved, *[(0, False)] * (handler.level + 1 - len(saved)))[: handler.level + 1]
        for outcome in _outcomes(handler, exists, password):
            action = handler.actions.get(outcome, handler.actions.get("default", "bad"))
            behind, now, fine = _step(handlers, at, action, outcome == "success", (impression, status), saved)
            following = (behind, handler.level, now, fine, saved)
            if following not in seen:
                seen.add(following)
                waiting.append(following)
    return bool(waiting)  # a stack that is too large does not prove that nobody is admitted


def _outcomes(handler: Handler, exists: Callable[[Handler], bool], password: bool) -> frozenset[str]:
    if not handler.module:
        return frozenset({"perm_denied"})
    if not exists(handler):
        return frozenset({"module_unknown"})
    if password and handler.name in _OF_OTHERS:
        return _OPEN - {"success"}
    return _ALWAYS.get(handler.name, _OPEN)


def _step(
    handlers: tuple[Handler, ...],
    at: int,
    action: str,
    success: bool,
    state: tuple[int, bool],
    saved: tuple[tuple[int, bool], ...],
) -> tuple[int, int, bool]:
    """Return the line at which libpam continues, its impression, and whether that is a success."""
    impression, status = state
    level = handlers[at].level
    if action == "reset":
        impression, status = saved[level]
    elif action in ("ok", "done"):
        if impression == 0 or (impression > 0 and status):
            impression, status = 1, success
        if impression > 0 and action == "done":
            at = _end(handlers, at, level)
    elif action in ("bad", "die"):
        if impression >= 0:
            impression, status = -1, False
        if action == "die":
            at = _end(handlers, at, level)
    elif action.isdigit():
        left = int(action)
        while at + 1 < len(handlers) and handlers[at + 1].level >= level and left:
            at += 1
            while at + 1 < len(handlers) and handlers[at + 1].level > level:
                at += 1
            left -= 1
        if left:
            impression, status = -1, False
    return at + 1, impression, status


def _end(handlers: tuple[Handler, ...], at: int, level: int) -> int:
    """Return the last line of a line's substack."""
    while at + 1 < len(handlers) and handlers[at + 1].level >= level:
        at += 1
    return at


def _lines(text: str) -> list[str]:
    """Return the lines with words, without comments, with continued lines joined."""
    lines = []
    pending = ""
    for raw in bounded(text)[0].split("\n"):
        line = raw.strip()
        comment = re.search(r"(?<!\\)#", line)
        if comment is not None:
            line = line[: comment.start()].rstrip()
            if not line and pending:
                continue
        if line.endswith("\\"):
            pending += line[:-1] + " "
            continue
        if whole := (pending + line).strip():
            lines.append(whole)
        pending = ""
    if pending.strip():
        lines.append(pending.strip())
    return lines


def _actions(control: str) -> Mapping[str, str]:
    found = (
        {name: action for name, action in _PAIR.findall(control) if action != "0"}
        if control.startswith("[")
        else {}
    )
    return {"default": "bad", **found}
