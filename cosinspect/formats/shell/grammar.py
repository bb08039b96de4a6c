"""The grammar of shell scripts, as far as it is needed to find simple commands.

Follows POSIX.1-2017, "Shell Command Language", 2.9 and 2.10, with bash's additions. It reads the text once with a stack of
open constructs and without recursion. Only text in backquotes is read again, without one level of backslashes.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable

from attrs import Factory, define

from cosinspect.deadline import spend
from cosinspect.formats.shell.quoting import (
    BREAKS,
    PLAIN,
    Frame,
    FrameKind,
    OpenWord,
    ShellLexer,
    Stopped,
    WordState,
)
from cosinspect.formats.shell.words import RESERVED_WORDS

__all__ = ["ScriptReader"]

_BLANKS = re.compile(r"[ \t]++")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*(?:\[[^\]\n]{0,200}\])?\+?=", re.ASCII)
_DESCRIPTOR = re.compile(r"[0-9]+|\{[A-Za-z_]\w*\}", re.ASCII)
_REDIRECTION = re.compile(r"&>>?|<<<|<<-?|<>|<&|>>|>\||>&|[<>]")
_DELIMITER = re.compile(r"""[ \t]*((?:[^ \t\n;&|<>()'"\\]++|\\.|'[^'\n]*'|"[^"\n]*")++)""")
_DELIMITER_QUOTES = re.compile(r"""['"\\]""")
_SEPARATOR = re.compile(r";;&|;;|;&|;|&&|&|\|\||\|&|\|")
_NO_PARAMETERS = re.compile(r"[ \t]*\([ \t]*\)")

# By reserved word: the state in which a compound command must be, and its state after the word.
_GOES_ON = {
    "then": ({"if"}, "if"),
    "elif": ({"if"}, "if"),
    "else": ({"if"}, "if"),
    "do": ({"for", "while"}, "loop"),
}
_CLOSES = {"fi": "if", "done": "loop", "esac": "case", "}": "{"}
_OPENS = {
    "if": ("if", WordState.COMMAND),
    "while": ("while", WordState.COMMAND),
    "until": ("while", WordState.COMMAND),
    "for": ("for", WordState.FOR_NAME),
    "select": ("for", WordState.FOR_NAME),
    "case": ("case", WordState.CASE_WORD),
    "{": ("{", WordState.COMMAND),
}
_IN_CASE_HEAD = frozenset({WordState.CASE_WORD, WordState.CASE_IN, WordState.PATTERN})


@define(eq=False)
class ScriptReader:
    """Reads one script and reports each simple command at its end.

    Attributes:
        scanner: at the script's start.
        report: is called with the words of each simple command and each `[[`, None for words that are not literal, with the
            offset and the line of the first word.
        functions: the names of the functions defined.
        open_since: the offset of the outermost construct that was open when reading stopped, or None.
    """

    scanner: ShellLexer
    report: Callable[[list[str | None], int, int], None]
    functions: set[str] = Factory(set)
    open_since: int | None = None

    def read(self) -> None:
        """Read to the end, to an unconditional `exit`, or to text that cannot be parsed."""
        scanner = self.scanner
        steps: dict[FrameKind, Callable[[Frame, str], None]] = {
            FrameKind.COMMANDS: self._commands,
            FrameKind.TEST: self._test,
            FrameKind.QUOTES: scanner.quotes,
            FrameKind.BRACES: scanner.braces,
            FrameKind.PARENS: scanner.parens,
        }
        with contextlib.suppress(Stopped):
            while scanner.position < len(scanner.text):
                spend()
                frame = scanner.stack[-1]
                steps[frame.kind](frame, scanner.text[scanner.position])
            if len(scanner.stack) > 1 or scanner.stack[0].compounds:
                scanner.fail("unclosed", "a quote, substitution or compound command is not closed")
        opened = [frame.start for frame in scanner.stack[1:2]]
        opened += [start for _, start in scanner.stack[0].compounds[:1]]
        self.open_since = min(opened, default=None)

    def _commands(self, frame: Frame, character: str) -> None:
        scanner = self.scanner
        if match := PLAIN.match(scanner.text, scanner.position):
            self._begin(frame).parts.append(match[0])
            scanner.position = match.end()
        elif match := _BLANKS.match(scanner.text, scanner.position):
            self._end_word(frame)
            scanner.position = max(scanner.position, match.end())
        elif character == "\n":
            self._separator(frame, "\n")
        elif character == "#":
            if frame.word is None:
                scanner.comment()
            else:
                frame.word.parts.append("#")
                scanner.position += 1
        elif character in "<>" or scanner.text.startswith("&>", scanner.position):
            self._redirection(frame)
        elif character in ";&|":
            match = _SEPARATOR.match(scanner.text, scanner.position)
            self._separator(frame, match[0] if match else character)
        elif character == "(":
            self._open_paren(frame)
        elif character == ")":
            self._close_paren(frame)
        elif character == "\\" and scanner.text[scanner.position + 1] == "\n":
            scanner.position += 2
        else:
            scanner.quoting(self._begin(frame), character)

    def _begin(self, frame: Frame) -> OpenWord:
        if frame.word is None and frame.state is WordState.COMMAND and not frame.redirecting:
            frame.words_start = self.scanner.position
            frame.words_line = self.scanner.line_of(self.scanner.position)
        return self.scanner.word(frame)

    def _test(self, frame: Frame, character: str) -> None:
        scanner = self.scanner
        if match := PLAIN.match(scanner.text, scanner.position):
            scanner.word(frame).parts.append(match[0])
            scanner.position = match.end()
        elif character in BREAKS:
            word, frame.word = frame.word, None
            if word is not None and word.literal == "]]" and not word.quoted:
                self.report(frame.words, frame.start, frame.words_line)
                scanner.pop(0)
                return
            if word is not None:
                frame.words.append(word.literal)
            scanner.position += 1
        elif character == "#" and frame.word is None:
            scanner.comment()
        elif character == "#":
            scanner.word(frame).parts.append("#")
            scanner.position += 1
        else:
            scanner.quoting(scanner.word(frame), character)

    # --- signs -------------------------------------------------------------------------------------------------

    def _redirection(self, frame: Frame) -> None:
        scanner = self.scanner
        word = frame.word
        if word is not None and not word.quoted and _DESCRIPTOR.fullmatch(word.literal or ""):
            frame.word = None
        self._end_word(frame)
        match = _REDIRECTION.match(scanner.text, scanner.position)
        if match is None:
            return
        sign, end = match[0], match.end()
        if sign in {"<", ">"} and scanner.text[end] == "(":
            self._begin(frame).expanded = True
            scanner.push(FrameKind.COMMANDS, 2)
        elif frame.redirecting or frame.state in _IN_CASE_HEAD:
            scanner.misplaced(sign)
        elif sign.startswith("<<") and sign != "<<<":
            delimiter = _DELIMITER.match(scanner.text, end)
            if delimiter is None:
                scanner.misplaced(sign)
            frame.documents.append((_DELIMITER_QUOTES.sub("", delimiter[1]), sign == "<<-"))
            scanner.position = delimiter.end()
        else:
            frame.redirecting = True
            scanner.position = end

    def _open_paren(self, frame: Frame) -> None:
        scanner = self.scanner
        text, at, word = scanner.text, scanner.position, frame.word
        if word is not None and text[at - 1] in "?*+@!":
            word.expanded = True
            scanner.push(FrameKind.PARENS, 1, word=word, depth=1)
        elif word is not None and _ASSIGNMENT.fullmatch(text, word.start, at):
            word.expanded = True
            scanner.push(FrameKind.PARENS, 1, word=word, depth=1, comments=True)
        elif word is None and frame.state is WordState.PATTERN and not frame.pattern_begun:
            scanner.position += 1
        elif word is None and frame.state is WordState.FOR_NAME and text.startswith("((", at):
            frame.state = WordState.COMMAND
            scanner.push(FrameKind.PARENS, 2, depth=2)
        elif word is None and frame.state is WordState.COMMAND and not frame.redirecting:
            frame.state = WordState.AFTER
            if text.startswith("((", at):
                scanner.push(FrameKind.PARENS, 2, depth=2)
            else:
                scanner.push(FrameKind.COMMANDS, 1)
        elif word is not None and frame.state in {WordState.COMMAND, WordState.FUNCTION_NAME}:
            if _NO_PARAMETERS.match(text, at) is None:
                scanner.misplaced("(")
            self._end_word(frame)
        else:
            scanner.misplaced("(")

    def _close_paren(self, frame: Frame) -> None:
        scanner = self.scanner
        self._end_word(frame)
        if frame.state is WordState.PATTERN and frame.pattern_begun:
            frame.state = WordState.COMMAND
            scanner.position += 1
            return
        self._end_command(frame, ")")
        if len(scanner.stack) == 1 or frame.compounds:
            scanner.misplaced(")")
        else:
            scanner.pop(1)

    def _separator(self, frame: Frame, sign: str) -> None:
        scanner = self.scanner
        self._end_word(frame)
        if frame.state in _IN_CASE_HEAD:
            if sign != "\n" and not (sign == "|" and frame.state is WordState.PATTERN):
                scanner.misplaced(sign)
        elif sign != "\n" or frame.state is not WordState.FOR_IN:
            self._end_command(frame, sign)
        if sign in {";;", ";&", ";;&"}:
            if not frame.compounds or frame.compounds[-1][0] != "case":
                scanner.misplaced(sign)
            frame.state, frame.pattern_begun = WordState.PATTERN, False
        scanner.position += len(sign)
        if sign == "\n" and frame.documents:
            self._skip_documents(frame)

    def _skip_documents(self, frame: Frame) -> None:
        scanner = self.scanner
        for delimiter, tabs in frame.documents:
            while scanner.position < len(scanner.text):
                end = scanner.text.index("\n", scanner.position)
                line = scanner.text[scanner.position : end]
                scanner.position = end + 1
                if (line.lstrip("\t") if tabs else line) == delimiter:
                    break
        frame.documents = []

    # --- words -------------------------------------------------------------------------------------------------

    def _end_word(self, frame: Frame) -> None:
        word, frame.word = frame.word, None
        if word is None:
            return
        scanner = self.scanner
        text = word.literal
        if frame.redirecting:
            frame.redirecting = False
        elif frame.state is WordState.ARGUMENT:
            frame.words.append(text)
        elif frame.state is WordState.PATTERN:
            if text == "esac" and not word.quoted and not frame.pattern_begun:
                self._reserved(frame, "esac", word)
            frame.pattern_begun = True
        elif (
            frame.state in {WordState.COMMAND, WordState.AFTER} and text in RESERVED_WORDS and not word.quoted
        ):
            self._reserved(frame, text, word)
        elif frame.state is WordState.COMMAND:
            self._command_word(frame, word)
        elif frame.state is WordState.FOR_NAME:
            frame.state = WordState.FOR_IN
        elif frame.state is WordState.FOR_IN and text in {"in", "do"}:
            frame.state = WordState.FOR_WORDS
            if text == "do":
                self._reserved(frame, text, word)
        elif frame.state is WordState.CASE_WORD:
            frame.state = WordState.CASE_IN
        elif frame.state is WordState.CASE_IN and text == "in":
            frame.state, frame.pattern_begun = WordState.PATTERN, False
        elif frame.state is WordState.FUNCTION_NAME and text:
            self._function(frame, text)
        elif frame.state is not WordState.FOR_WORDS:
            scanner.misplaced(text or "$")

    def _command_word(self, frame: Frame, word: OpenWord) -> None:
        text, scanner = word.literal, self.scanner
        if _ASSIGNMENT.match(scanner.text, word.start):
            return
        if text and _NO_PARAMETERS.match(scanner.text, scanner.position):
            self._function(frame, text)
            return
        frame.words = [text]
        frame.state = WordState.ARGUMENT

    def _function(self, frame: Frame, name: str) -> None:
        self.functions.add(name)
        frame.state = WordState.COMMAND
        if match := _NO_PARAMETERS.match(self.scanner.text, self.scanner.position):
            self.scanner.position = match.end()

    def _reserved(self, frame: Frame, text: str, word: OpenWord) -> None:
        scanner, compounds = self.scanner, frame.compounds
        innermost = compounds[-1][0] if compounds else ""
        if text in _CLOSES:
            if innermost != _CLOSES[text]:
                scanner.misplaced(text)
            compounds.pop()
            frame.state = WordState.AFTER
        elif text in _GOES_ON:
            if innermost not in _GOES_ON[text][0]:
                scanner.misplaced(text)
            compounds[-1] = (_GOES_ON[text][1], compounds[-1][1])
            frame.state = WordState.COMMAND
        elif text == "{" and innermost == "for":
            compounds[-1] = ("{", compounds[-1][1])
            frame.state = WordState.COMMAND
        elif frame.state is WordState.AFTER:
            scanner.misplaced(text)
        elif text in _OPENS:
            compound, frame.state = _OPENS[text]
            compounds.append((compound, word.start))
        elif text == "[[":
            frame.state = WordState.AFTER
            line = scanner.line_of(scanner.position)
            scanner.push(FrameKind.TEST, 0, words=["[["], words_line=line)
        elif text == "function":
            frame.state = WordState.FUNCTION_NAME
        elif text == "coproc":
            frame.words, frame.state = [None], WordState.ARGUMENT
        elif text not in {"!", "time"}:
            scanner.misplaced(text)

    def _end_command(self, frame: Frame, sign: str) -> None:
        """End the simple command of a frame at a separator, or at `)`."""
        scanner = self.scanner
        if (
            frame.redirecting
            or frame.state in _IN_CASE_HEAD
            or frame.state in {WordState.FOR_NAME, WordState.FUNCTION_NAME}
        ):
            scanner.misplaced(sign)
        if frame.state is WordState.ARGUMENT:
            self.report(frame.words, frame.words_start, frame.words_line)
            last = len(scanner.stack) == 1 and not frame.compounds and sign in {"\n", ";"}
            if last and frame.words[0] == "exit" and frame.before in {"", "\n", ";"}:
                raise Stopped  # any data may follow an unconditional exit, such as an archive
        frame.words = []
        frame.state = WordState.COMMAND
        frame.before = sign
