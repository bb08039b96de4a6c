"""Odd cloud-configs, made at random: values of wrong types, YAML's corners, both kinds of documents."""

import random

from cosinspect.formats.yip.schema import CLOUD_CONFIG, DOCUMENT, yip

SCALARS = [
    "x",
    "'0600'",
    "0600",
    "0o600",
    "0899",
    "384",
    "-1",
    "+7",
    "1.5",
    "1e3",
    "-0.0",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775808",
    "true",
    "True",
    "yes",
    "off",
    "y",
    "N",
    "null",
    "~",
    "Null",
    "''",
    '"null"',
    ".5",
    ".inf",
    "-.inf",
    ".nan",
    "0x1F",
    "0b101",
    "-0b11",
    "1_000",
    "2001-01-01",
    "2001-12-14 21:59:43.10",
    "'yes'",
    "!!str 5",
    "!!int 5",
    "!!int x",
    "!!float 1",
    "!!bool yes",
    "!!null x",
    "!!binary aGk=",
    "!!binary '*'",
    "!own 5",
    "! 5",
    "! '5'",
    "12:30:45",
    "<<",
    "'a: b'",
    '"\\u0041\\x41"',
    "0777777777777777777777777",
    "1__0",
    "0x",
    "+",
    "-",
    ".",
    "1e999",
    "-1.5",
    "9223372036854775808.0",
    "!!timestamp 2001-01-01",
    "!!timestamp x",
    "{{ .Values.x }}",
    "123456789012345678901234",
]
FLOWS = [
    "[]",
    "{}",
    "[a, b]",
    "[a, null, ~]",
    "[[a]]",
    "{a: b}",
    "{a: [b]}",
    "[{a: b}]",
    "[1, 0x2, yes]",
    "{1: 2, yes: no}",
    "{null: x}",
    "[!!str 1]",
    "{? [a] : b}",
]
KEYS = ["x", "1", "'1'", "yes", "null", "~", "<<", "'<<'", "a b", "? [a]\n", "*n"]


class Writer:
    """Writes one document; every choice comes from its own generator."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.anchors = []
        self.number = 0
        self.strange = self.random.choice((0.01, 0.03, 0.08, 0.2))

    def document(self):
        choice = self.random.random
        cloud_init = choice() < 0.4
        lines = []
        if cloud_init:
            lines.append(
                self.random.choice(
                    ["#cloud-config"] * 8
                    + [
                        "#cloud-config  ",
                        "#cloud-config\r",
                        "# x\n#cloud-config",
                        "\n\n#cloud-config",
                        "#cloud-config x",
                        " #cloud-config",
                        "## template: jinja\n#cloud-config",
                        "x: y\n#cloud-config",
                    ]
                    + ["#\n" * 9 + "#cloud-config", "#\n" * 10 + "#cloud-config"]
                )
            )
        if choice() < 0.04:
            lines.append(self.random.choice(["---", "--- |", "%YAML 1.1\n---", "...", "--- !!map", "# only"]))
        if choice() < 0.04:
            lines.append(self.random.choice(["", "~", "text", "- a", "[]", "{}", "5", "&a b", "*a"]))
            return "\n".join(lines).encode()
        newest = yip("99.0")
        target = newest.type(DOCUMENT)
        if cloud_init:
            body = self.struct(newest.type(CLOUD_CONFIG), 0)
            if choice() < 0.5:
                body += self.struct(target, 0)
        else:
            body = self.struct(target, 0, likely=0.95)
        lines += body
        if choice() < 0.05:
            lines.append(
                self.random.choice(
                    [
                        "---\nname: other",
                        "...\n",
                        "---\n{bad",
                        "... x",
                        "---",
                        "...\n%BAD",
                        "...\n---\na: [",
                        "\tx",
                    ]
                )
            )
        text = "\n".join(lines) + self.random.choice(["", "\n"])
        if choice() < 0.04:
            at = self.random.randrange(len(text) + 1)
            text = (
                text[:at]
                + self.random.choice(
                    [
                        "\t",
                        "\x00",
                        "\x07",
                        "\u2028",
                        "\ufeff",
                        "'",
                        '"',
                        "{",
                        "]",
                        ": ",
                        "&a ",
                        "*a ",
                        "\r",
                        "|",
                        ">-\n",
                        "#",
                        " #",
                        "%",
                        "@",
                        "`",
                    ]
                )
                + text[at:]
            )
        data = text.encode()
        if choice() < 0.01:
            data = self.random.choice(
                [b"\xff\xfe" + text.encode("utf-16-le"), data + b"\xff", b"\xef\xbb\xbf" + data]
            )
        return data

    def struct(self, target, level, likely=0.0):
        pad = "  " * level
        lines = []
        names = [
            name for name in target.fields if self.random.random() < max(likely, 2.2 / len(target.fields))
        ]
        if self.random.random() < self.strange and names:
            names.append(self.random.choice(names))
        if self.random.random() < 0.1:
            names.append(
                self.random.choice(
                    ["unknown", "Stages", "NAME", "write-files", "ssh-authorized-keys", "on", *KEYS]
                )
            )
        self.random.shuffle(names)
        if self.anchors and self.random.random() < 0.06:
            merged = self.random.choice(
                [
                    f"*{self.random.choice(self.anchors)}",
                    f"[*{self.random.choice(self.anchors)}, *{self.random.choice(self.anchors)}]",
                    "{name: merged}",
                    "[{name: one}, {name: two, hostname: h}]",
                    "x",
                    "[x]",
                ]
            )
            names.insert(self.random.randrange(len(names) + 1), None)
        for name in names:
            if name is None:
                lines.append(f"{pad}<<: {merged}")
                continue
            lines += self.value(f"{pad}{name}:", target.fields.get(name), level)
        return lines

    def value(self, start, target, level):
        """Write `start` with a value behind it, mostly of the type that is wanted."""
        draw = self.random.random()
        if target is None or draw < self.strange:
            if self.anchors and draw < self.strange / 6:
                return [f"{start} *{self.random.choice(self.anchors)}"]
            return [f"{start} {self.random.choice(SCALARS + FLOWS)}"]
        anchor = ""
        if self.random.random() < 0.05:
            self.number += 1
            anchor = f" &n{self.number}"
        found = self.right(start + anchor, target, level)
        if anchor:
            self.anchors.append(f"n{self.number}")
        return found

    def right(self, start, target, level):
        pad = "  " * (level + 1)
        if target.kind in {"struct", "pointer"}:
            inner = self.struct(target.element or target, level + 1)
            return [start, *inner] if inner else [f"{start} {{}}"]
        if target.kind == "map":
            lines = [start]
            for name in self.random.sample(
                ["boot", "rootfs", "root", "A", "initramfs", *KEYS[:5]], self.random.randint(1, 3)
            ):
                lines += self.value(f"{pad}{name}:", target.element, level + 1)
            return lines
        if target.kind == "slice":
            lines = [start]
            for _ in range(self.random.randint(1, 2)):
                if target.element.kind == "struct":
                    inner = self.struct(target.element, level + 2)
                    if inner and self.random.random() > self.strange:
                        first = inner[0].lstrip(" ")
                        lines += [f"{pad}- {first}", *inner[1:]]
                        continue
                lines += self.value(f"{pad}-", target.element, level + 1)
            return lines
        if target.kind == "bool":
            return [f"{start} {self.random.choice(['true', 'false', 'yes', 'Off', 'n'])}"]
        if target.kind == "string":
            if self.random.random() < 0.1:
                return [
                    f"{start} {self.random.choice('|>')}{self.random.choice(['', '-', '+', '2'])}",
                    f"{pad}line one",
                    f"{pad}  two",
                    "",
                ]
            return [
                f"{start} {self.random.choice(['text', 'a b c', '0644', '5', 'yes', '1.10', '0x10', 'true', *SCALARS[:12]])}"
            ]
        return [f"{start} {self.random.choice(['0644', '384', '0', '5', '0o600', '1.0', '0x10', '1_0'])}"]


def document(seed):
    """Give the document of a number, always the same one."""
    return Writer(seed).document()
