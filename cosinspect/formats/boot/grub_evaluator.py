"""GRUB's script language, evaluated with the image's files: a script's effects on variables, menu and loaders.

Nothing is guessed: both branches of a condition that is unknown before the boot are evaluated, and their states are
merged after the branch, variable by variable (`grub_values`). So independent conditions add up and do not multiply.
The work is bounded; a bound that is reached raises `GrubBound`, which is not a fault of the script.

Control flow is that of grub-core/script/execute.c (2.06): the status of a command is in `$?`, a command that does not
exist succeeds, `return` takes effect after the command that is running.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from attrs import define, field

from cosinspect.deadline import spend
from cosinspect.formats.boot.grub_expansion import arguments, command_line, has_wildcard, open_condition
from cosinspect.formats.boot.grub_state import (
    BREAKS,
    CONTINUES,
    RETURNS,
    STOPS,
    WILDCARDS,
    GrubMachine,
    State,
)
from cosinspect.formats.boot.grub_syntax import (
    Block,
    For,
    Function,
    GrubScript,
    If,
    Loop,
    SimpleCommand,
    Statement,
    parse_grub_lines,
    parse_grub_script,
)
from cosinspect.formats.boot.grub_tokens import PartKind
from cosinspect.formats.boot.grub_values import (
    EMPTY,
    Atom,
    Conditional,
    Fork,
    GrubBound,
    Plain,
    Tree,
    Value,
    Work,
    joined,
    literal,
)

__all__ = ["MAX_CALLS", "MAX_WORK", "Call", "Evaluator", "Run"]

MAX_WORK = 60_000
"""The most commands and characters of one evaluation; the menus of the toolkits need less than two thousand."""

MAX_CALLS = 60
"""The deepest nesting of functions, files and constructs."""

SUCCESS = literal("0")
FAILURE = literal("1")
BAD_ARGUMENT = literal("18")

# Their arguments are joined again, so where one ends does not matter.
_JOINING = frozenset({"linux", "linuxefi", "linux16"})


@define
class Call:
    """A call of a command.

    Attributes:
        evaluator: the evaluator that runs it.
        state: the state that it changes.
        name: of the command.
        arguments: as values, without the command's name.
        command: as the script has it.
        file: the file that has it.
    """

    evaluator: Evaluator
    state: State
    name: str
    arguments: tuple[Value, ...]
    command: SimpleCommand
    file: str

    def plain(self, *values: Value) -> tuple[Plain, ...]:
        """Return values without choices; a choice splits the evaluation, and the command runs again on both branches.

        Raises:
            Split: internal to the evaluator.
        """
        resolved = tuple(map(self.state.known.resolve, values or self.arguments))
        for value in resolved:
            for part in value:
                if isinstance(part, Conditional):
                    raise Split(part.atom)
        return resolved  # type: ignore[return-value]  # no choice is left in them

    def decide(self, answer: Tree[bool]) -> bool:
        """Return an answer; an open condition splits the evaluation.

        Raises:
            Split: internal to the evaluator.
        """
        while isinstance(answer, Fork):
            spend()
            held = self.state.known.holds(answer.atom)
            if held is None:
                raise Split(answer.atom)
            answer = answer.yes if held else answer.no
        return answer

    def joined(self, skip: int) -> Value:
        """Return the kernel command line that the words after the first `skip` make."""
        return command_line(self.command.words[skip:], self.state)


class Split(Exception):
    """A command depends on a condition that is open."""

    def __init__(self, atom: Atom) -> None:
        """Keep the condition."""
        super().__init__(str(atom))
        self.atom = atom


Run: TypeAlias = "Callable[[Call], Value]"
"""The effect of a command; returns its status. It changes the state only after it has asked for all conditions."""


@define
class Evaluator:
    """An evaluation of scripts on a machine.

    Attributes:
        machine: the disks.
        commands: the effects of commands by name; any other name is a function or no command.
        work: the work that is left.
        sourced: the files that were read, in GRUB's names, each once.
        missing: the files that were requested and do not exist.
    """

    machine: GrubMachine
    commands: Mapping[str, Run]
    work: Work = field(factory=lambda: Work(MAX_WORK))
    sourced: dict[str, GrubScript] = field(factory=dict)
    missing: dict[str, None] = field(factory=dict)
    _functions: list[tuple[Block, str]] = field(factory=list)
    _calls: int = 0

    # -- scripts and files -----------------------------------------------------------------------------------------

    def run_script(self, script: GrubScript, state: State, file: str) -> None:
        """Run a file's scripts one after another.

        Raises:
            GrubBound: a bound is reached.
        """
        if script.is_bounded:
            raise GrubBound(f"{file} is longer than the evaluator's limit")
        self._scripts(script.scripts, state, file)

    def _scripts(self, scripts: tuple[Block, ...], state: State, file: str) -> None:
        for index, block in enumerate(scripts):
            atom = _open_flag(state, STOPS)
            if atom is not None:
                rest = scripts[index:]
                state.split(atom, lambda way, rest=rest: self._scripts(rest, way, file))  # type: ignore[misc]
                return
            if state.get(STOPS):
                return
            self.block(block, state, file)

    def run_file(self, device: str, path: str, state: State) -> bool:
        """Run a file of the machine; return False if there is none.

        Raises:
            GrubBound: a bound is reached.
        """
        text = self.machine.text(device, path)
        name = f"({device}){path}"
        if text is None:
            self.missing[name] = None
            return False
        script = self.sourced.get(name)
        if script is None:
            self.work.spend(len(text) // 4)
            script = self.sourced[name] = parse_grub_script(text)
        self._deeper(lambda: self.run_script(script, state, name))
        return True

    def run_text(self, text: str, state: State, file: str) -> None:
        """Run a text as `eval` does.

        Raises:
            GrubBound: a bound is reached.
        """
        self.work.spend(len(text) // 4)
        self._deeper(lambda: self.run_script(parse_grub_lines(text), state, file))

    def _deeper(self, run: Callable[[], None]) -> None:
        self._calls += 1
        if self._calls > MAX_CALLS:
            raise GrubBound("scripts, functions and conditions are nested more than the evaluator's limit")
        try:
            run()
        finally:
            self._calls -= 1

    # -- statements ------------------------------------------------------------------------------------------------

    def block(self, block: Block, state: State, file: str) -> None:
        """Run statements one after another."""
        self._deeper(lambda: self._statements(block, state, file))

    def _statements(self, block: Block, state: State, file: str) -> None:
        done = False
        for index, statement in enumerate(block):
            spend()
            if isinstance(statement, Function):  # a definition takes effect while the script is parsed
                self._define(statement, state, file)
                continue
            rest = block[index:]
            flags = (STOPS, BREAKS, RETURNS) if done else (STOPS, BREAKS)
            atom = next(filter(None, (_open_flag(state, flag) for flag in flags)), None)
            if atom is not None:
                state.split(atom, lambda way, rest=rest, done=done: self._rest(rest, way, file, done))  # type: ignore[misc]
                return
            if any(map(state.get, flags)):
                if not done:
                    state.set("?", SUCCESS)
                return
            self.statement(statement, state, file)
            done = True

    def _rest(self, block: Block, state: State, file: str, done: bool) -> None:
        if done and state.get(RETURNS):
            return
        self.block(block, state, file)

    def _define(self, function: Function, state: State, file: str) -> None:
        self._functions.append((function.body, file))
        state.set_function(function.name, len(self._functions) - 1)

    def statement(self, statement: Statement, state: State, file: str) -> None:
        """Run one statement, and put its status into `$?`."""
        self.work.spend(1)
        if isinstance(statement, SimpleCommand):
            self._command(statement, state, file)
        elif isinstance(statement, If):
            self._if(statement, 0, state, file)
        elif isinstance(statement, For):
            self._for(statement, state, file)
        elif isinstance(statement, Loop):
            state.loops += 1
            self._loop(statement, state, file)
            state.loops -= 1
        else:
            self._define(statement, state, file)

    def _if(self, statement: If, position: int, state: State, file: str) -> None:
        if position == len(statement.branches):
            if statement.otherwise is None:
                state.set("?", SUCCESS)
            else:
                self.block(statement.otherwise, state, file)
            return
        condition, body = statement.branches[position]
        self.block(condition, state, file)
        self._decide_if(statement, position, body, state, file)

    def _decide_if(self, statement: If, position: int, body: Block, state: State, file: str) -> None:
        atom = _open_flag(state, RETURNS) or _open_flag(state, "?")
        if atom is not None:
            self._deeper(
                lambda: state.split(atom, lambda way: self._decide_if(statement, position, body, way, file))
            )
        elif state.get(RETURNS):
            return
        elif state.get("?") == SUCCESS:
            self.block(body, state, file)
        else:
            self._if(statement, position + 1, state, file)

    def _for(self, statement: For, state: State, file: str) -> None:
        atom = open_condition(statement.words, state)
        if atom is not None:
            self._deeper(lambda: state.split(atom, lambda way: self._for(statement, way, file)))
            return
        words = arguments(statement.words, state)
        if not words:
            state.set("?", SUCCESS)
        state.loops += 1
        self._rounds(statement, words, state, file)
        self._leave_loop(state)
        state.loops -= 1

    def _rounds(self, statement: For, words: tuple[Value, ...], state: State, file: str) -> None:
        for index, word in enumerate(words):
            atom = next(
                filter(None, (_open_flag(state, flag) for flag in (STOPS, CONTINUES, BREAKS, RETURNS))), None
            )
            if atom is not None:
                rest = words[index:]
                self._deeper(
                    lambda atom=atom, rest=rest: state.split(  # type: ignore[misc]
                        atom, lambda way: self._rounds(statement, rest, way, file)
                    )
                )
                return
            if state.get(STOPS) or state.get(RETURNS):
                return
            if state.get(CONTINUES) and state.get(BREAKS) == literal("1"):
                state.set(BREAKS, EMPTY)
            if state.get(BREAKS):
                continue
            self.work.spend(1)
            state.set(statement.name, word)
            self.block(statement.body, state, file)

    def _loop(self, statement: Loop, state: State, file: str) -> None:
        while True:
            self.work.spend(1)
            self.block(statement.condition, state, file)
            if not self._loop_on(statement, state, file):
                return

    def _loop_on(self, statement: Loop, state: State, file: str) -> bool:
        """Run the body if the condition holds; return True to evaluate the condition again."""
        atom = _open_flag(state, STOPS) or _open_flag(state, RETURNS) or _open_flag(state, "?")
        if atom is not None:
            self._deeper(lambda: state.split(atom, lambda way: self._loop_way(statement, way, file)))
            return False
        if state.get(STOPS) or state.get(RETURNS):
            return False
        if (state.get("?") == SUCCESS) == statement.until:
            self._leave_loop(state)
            return False
        self.block(statement.body, state, file)
        return self._loop_again(statement, state, file)

    def _loop_way(self, statement: Loop, state: State, file: str) -> None:
        if self._loop_on(statement, state, file):
            self._loop(statement, state, file)

    def _loop_again(self, statement: Loop, state: State, file: str) -> bool:
        atom = next(
            filter(None, (_open_flag(state, flag) for flag in (STOPS, RETURNS, BREAKS, CONTINUES))), None
        )
        if atom is not None:

            def way_on(way: State) -> None:
                if self._loop_again(statement, way, file):
                    self._loop(statement, way, file)

            self._deeper(lambda: state.split(atom, way_on))
            return False
        if state.get(STOPS) or state.get(RETURNS):
            return False
        if state.get(BREAKS) == literal("1") and state.get(CONTINUES):
            state.set(BREAKS, EMPTY)
        if state.get(BREAKS):
            self._leave_loop(state)
            return False
        return True

    def _leave_loop(self, state: State) -> None:
        """Count down a `break` that leaves several loops."""
        atom = _open_flag(state, BREAKS)
        if atom is not None:
            state.split(atom, self._leave_loop)
            return
        breaks = state.get(BREAKS)
        if breaks:
            left = int(str(breaks[0])) - 1
            state.set(BREAKS, literal(str(left)) if left else EMPTY)

    # -- commands --------------------------------------------------------------------------------------------------

    def _command(self, command: SimpleCommand, state: State, file: str) -> None:
        name = _literal_name(command)
        joining = name in _JOINING
        words = command.words[:2] if joining else command.words
        atom = open_condition(words, state)
        if atom is None:
            if state.get(WILDCARDS) and has_wildcard(words, state):
                raise GrubBound("the names that match a wildcard are not known")
            found = arguments(words, state)
            try:
                status = self._call(found, command, state, file, joining)
            except Split as needed:
                atom = needed.atom
            else:
                state.set("?", status)
                return
        self._deeper(lambda: state.split(atom, lambda way: self._command(command, way, file)))

    def _call(
        self, words: tuple[Value, ...], command: SimpleCommand, state: State, file: str, joining: bool
    ) -> Value:
        """Call the command, else the function, that the first word names, else run the assignment."""
        if not words:
            return SUCCESS
        assigned = _assignment(words[0])
        if assigned is not None:
            state.set(*assigned)
            return SUCCESS
        call = Call(self, state, "", words[1:], command, file)
        (first,) = call.plain(words[0])
        invert = first == ("!",)
        if invert:
            if len(words) < 2:
                return BAD_ARGUMENT
            (first,) = call.plain(words[1])
            call.arguments = words[2:]
        if not all(isinstance(part, str) for part in first):
            raise GrubBound("the name of a command is unknown before the boot")
        call.name = str(first[0]) if first else ""
        run = self.commands.get(call.name)
        if run is not None:
            if not joining and call.name in _JOINING:  # by a variable or after `!`
                call.arguments = words[1 + invert :]
            status = run(call)
        else:
            (number,) = call.plain(state.function(call.name))
            if not number:
                assigned = _assignment(literal(call.name)) if invert else None
                if assigned is not None:
                    state.set(*assigned)
                return SUCCESS
            status = self._function(int(str(number[0])), call)
        return _inverted(status) if invert else status

    def _function(self, number: int, call: Call) -> Value:
        body, file = self._functions[number]
        state = call.state
        outer, loops = state.arguments, state.loops
        state.arguments, state.loops = call.arguments, 0
        self.block(body, state, file)
        state.set(RETURNS, EMPTY)
        state.arguments, state.loops = outer, loops
        return state.get("?")

    def run_entry(self, body: Block, given: tuple[Value, ...], state: State, file: str) -> None:
        """Run the body of a menu entry, each command as a script of its own.

        Raises:
            GrubBound: a bound is reached.
        """
        state.arguments = given
        self._scripts(tuple((statement,) for statement in body), state, file)
        state.arguments = None


def _literal_name(command: SimpleCommand) -> str:
    parts = command.words[0].parts
    return parts[0].text if len(parts) == 1 and parts[0].kind is PartKind.TEXT else ""


def _assignment(word: Value) -> tuple[str, Value] | None:
    """Split `name=value`; no command has a `=` in its name."""
    if not word or not isinstance(word[0], str):
        return None
    name, equals, value = word[0].partition("=")
    return (name, joined((value, *word[1:]))) if equals else None


def _open_flag(state: State, name: str) -> Atom | None:
    return next((part.atom for part in state.get(name) if isinstance(part, Conditional)), None)


def _inverted(status: Value) -> Value:
    found: list[str | Conditional] = []
    for part in status:
        if isinstance(part, Conditional):
            found.append(Conditional(part.atom, _inverted(part.yes), _inverted(part.no)))
        elif isinstance(part, str):
            found.append("1" if part == "0" else "0")
    return tuple(found)
