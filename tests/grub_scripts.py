"""Random scripts in GRUB's language, by a seed: whole ones that run, and damaged ones that may not parse."""

import random

NAMES = ("a", "b", "c", "path", "x1", "list")
TEXTS = ("", "1", "2", "10", "07", "0x1f", "-3", "abc", "a b", "  lead", "trail ", "/etc", "a.b", "é")
PATTERNS = ("(a)(b+)?", "^([0-9]+)$", "([a-z]*) (.*)", "x|y", "[[:digit:]]+", "a.c")
FRAGMENTS = (
    *(
        "if",
        "then",
        "fi",
        "else",
        "elif",
        "for",
        "in",
        "do",
        "done",
        "while",
        "until",
        "function",
        "case",
        "esac",
    ),
    *(
        "{",
        "}",
        "[[",
        "]]",
        ";",
        ";;",
        "\n",
        "\n",
        "|",
        "||",
        "&&",
        "&",
        "<",
        ">",
        "a",
        "b",
        "set x=1",
        "'",
        '"',
    ),
    *(
        "\\",
        "\\\n",
        "$x",
        "${x}",
        "$",
        "${",
        '$"t"',
        "#c",
        "#it's",
        '"a b"',
        "'q'",
        "echo",
        "true",
        "menuentry x",
    ),
    *(
        '[ -n "$x" ]',
        "!",
        "\t",
        "\r",
        "\x00",
        "é",
        "x=1",
        "$?",
        "$1",
        "${10}",
        "foo{",
        "\\ ",
        '\\"',
        "$@",
        "select",
    ),
)
WHOLE = (
    *(
        "if true; then a; fi",
        "if a\nthen b\nelse c\nfi",
        "for i in a b; do c; done",
        "while a; do b; done",
        "a;",
    ),
    *(
        "function f { a; }",
        "function f\n{\na\n}",
        'menuentry "x" --id y { a; b }',
        "until a; do\nb\ndone",
        "# c",
    ),
    *("if a; then b; elif c; then d; else e; fi", "echo if then fi", "{ a }", "f { a\n}", 'echo "a\nb"', ""),
    "echo a\\\nb",
)


def damaged(seed):
    """Give a text that GRUB may take or refuse."""
    rng = random.Random(seed)
    if rng.random() < 0.5:
        pieces = (rng.choice(FRAGMENTS) + rng.choice((" ", " ", "", "\n")) for _ in range(rng.randint(1, 10)))
        return "".join(pieces)
    text = rng.choice(("\n", "; ", "\n\n")).join(rng.choice(WHOLE) for _ in range(rng.randint(1, 4)))
    if rng.random() < 0.6:
        place = rng.randrange(len(text) + 1)
        text = text[:place] + rng.choice(FRAGMENTS) + text[place + rng.choice((0, 0, 1, 2)) :]
    return text


def script(seed, directory):
    """Give a script that runs to its end and prints what it does."""
    return _Writer(random.Random(seed), directory).script()


class _Writer:
    def __init__(self, rng, directory):
        self.rng = rng
        self.directory = directory
        self.functions = []
        self.loops = 0

    def script(self):
        lines = []
        for _ in range(self.rng.randint(4, 14)):
            if self.rng.random() < 0.15:
                lines.append(self.function())
            else:
                lines.append(self.statement(0))
        lines += [f'echo "{name}=[${{{name}}}] [${name}]"' for name in NAMES]
        return "\n".join(lines) + "\n"

    def function(self):
        name = f"f{len(self.functions)}"
        body = "\n".join(f"  {self.statement(1, inside=True)}" for _ in range(self.rng.randint(1, 4)))
        self.functions.append(name)
        return f"function {name} {{\n{body}\n}}"

    def word(self):
        rng = self.rng
        name = rng.choice(NAMES)
        return rng.choice(
            (
                f"${name}",
                f"${{{name}}}",
                f'"${name}"',
                f'"<${{{name}}}>"',
                f"pre${name}",
                f"${name}post",
                f"'{rng.choice(TEXTS)}'",
                f'"{rng.choice(TEXTS)}"',
                rng.choice(("plain", "a\\ b", 'q\\"q', "back\\\\slash", "\\x41", "'it'\"s\"", "1", "10")),
                '"$1"',
                "$2",
                "$@",
                '"$*"',
                "$#",
                '"$?"',
                f'$"say ${name}"',
            )
        )

    def words(self, least=0, most=3):
        return " ".join(self.word() for _ in range(self.rng.randint(least, most)))

    def condition(self):
        rng = self.rng
        operator = rng.choice(
            ("=", "==", "!=", "<", ">", "<=", ">=", "-eq", "-ne", "-lt", "-gt", "-le", "-ge")
        )
        prefixed = rng.choice(("-pgt", "-plt"))
        file = rng.choice(
            (f"{self.directory}/there", f"{self.directory}/empty", f"{self.directory}", "/nope", '""')
        )
        simple = (
            f"{self.word()} {operator} {self.word()}",
            f'"{rng.choice(TEXTS)}" {operator} "{rng.choice(TEXTS)}"',
            f"v-{rng.randint(1, 30)} {prefixed} v-{rng.randint(1, 30)}",
            f"-n {self.word()}",
            f"-z {self.word()}",
            f"{rng.choice(('-f', '-d', '-e', '-s'))} {file}",
            self.word(),
            "",
        )
        text = rng.choice(simple)
        for _ in range(rng.choice((0, 0, 0, 1, 2))):
            text = rng.choice(
                (
                    f"! {text}",
                    f"{text} -a {rng.choice(simple)}",
                    f"{text} -o {rng.choice(simple)}",
                    f"( {text} )",
                )
            )
        return rng.choice((f"[ {text} ]", f"test {text}", "true", "false", "! true", "nosuchcommand"))

    def statement(self, depth, *, inside=False):
        rng = self.rng
        kinds = [
            "set",
            "set",
            "assign",
            "echo",
            "echo",
            "unset",
            "eval",
            "regexp",
            "call",
            "status",
            "source",
        ]
        if depth < 3:
            kinds += ["if", "if", "for", "while", "until"]
        if inside:
            kinds += ["shift", "return", "setparams"]
        if self.loops:
            kinds += ["break", "continue"]
        return getattr(self, f"_{rng.choice(kinds)}")(depth)

    def block(self, depth):
        return "; ".join(self.statement(depth + 1) for _ in range(self.rng.randint(1, 3)))

    def _set(self, _):
        value = self.rng.choice(
            (self.word(), f'"{self.rng.choice(TEXTS)}"', self.rng.choice(("1", "abc", "")))
        )
        return f"set {self.rng.choice(NAMES)}={value}"

    def _assign(self, _):
        return f"{self.rng.choice(NAMES)}={self.word()}"

    def _echo(self, _):
        return f"echo {self.words(0, 4)} ."

    def _unset(self, _):
        return f"unset {self.rng.choice(NAMES)}"

    def _eval(self, _):
        name = self.rng.choice(NAMES)
        return self.rng.choice(
            (f'eval "set {name}=new; echo evaluated"', f"eval {name}=\\$a", f'eval "echo ${name}"')
        )

    def _regexp(self, _):
        group = self.rng.choice(("", "0:", "1:", "2:"))
        pattern = self.rng.choice(PATTERNS)
        return f"regexp --set={group}{self.rng.choice(NAMES)} '{pattern}' \"{self.rng.choice(TEXTS)}\""

    def _call(self, _):
        name = self.rng.choice((*self.functions, "nosuch"))
        return f"{name} {self.words()}"

    def _status(self, _):
        return 'if [ "$?" = 0 ]; then echo well; else echo ill; fi'

    def _source(self, _):
        return (
            f"{self.rng.choice(('source', '.'))} {self.rng.choice((f'{self.directory}/part.cfg', '/nope'))}"
        )

    def _shift(self, _):
        return self.rng.choice(("shift", "shift 1", "shift 9"))

    def _setparams(self, _):
        return f"setparams {self.words()}"

    def _return(self, _):
        return self.rng.choice(("return", "return 0", "return 3"))

    def _break(self, _):
        return self.rng.choice(("break", "break 2"))

    def _continue(self, _):
        return self.rng.choice(("continue", "continue 2"))

    def _if(self, depth):
        text = f"if {self.condition()}; then {self.block(depth)}"
        if self.rng.random() < 0.3:
            text += f"; elif {self.condition()}; then {self.block(depth)}"
        if self.rng.random() < 0.5:
            text += f"; else {self.block(depth)}"
        return f"{text}; fi"

    def _for(self, depth):
        self.loops += 1
        text = f"for {self.rng.choice(NAMES)} in {self.words(0, 4)}; do {self.block(depth)}; done"
        self.loops -= 1
        return text

    def _counted(self, depth, word, limit):
        # A counter that nothing else touches ends the loop.
        self.loops += 1
        counter = f"n{self.loops}{depth}"
        body = f"set {counter}=x${counter}; {self.block(depth)}"
        self.loops -= 1
        return f"set {counter}=; {word} [ {limit} ]; do {body}; done".replace("COUNTER", f"${counter}")

    def _while(self, depth):
        return self._counted(depth, "while", '"COUNTER" != xxx -a "COUNTER" != xxxx')

    def _until(self, depth):
        return self._counted(depth, "until", '"COUNTER" = xx -o "COUNTER" = xxx')
