"""A machine for GRUB scripts in tests: files by device and path."""

from cosinspect.formats.boot.grub_commands import COMMANDS
from cosinspect.formats.boot.grub_evaluator import Evaluator
from cosinspect.formats.boot.grub_state import FileKind, State
from cosinspect.formats.boot.grub_syntax import parse_grub_script
from cosinspect.formats.boot.grub_values import Symbol, literal


class Machine:
    """Files as texts, by `(device)path`; environment blocks as dictionaries."""

    def __init__(self, files=(), labels=()):
        self.files = dict(files)
        self.labels = dict(labels)

    def search(self, by, name):
        if by == "file":
            return next((key[1:].split(")")[0] for key in self.files if key.endswith(f"){name}")), None)
        return self.labels.get(name)

    def kind(self, device, path):
        name = f"({device}){path.rstrip('/')}"
        if name in self.files:
            return FileKind.FILE if self.files[name] else FileKind.EMPTY_FILE
        return FileKind.DIRECTORY if any(key.startswith(f"{name}/") for key in self.files) else None

    def text(self, device, path):
        text = self.files.get(f"({device}){path}")
        return text if isinstance(text, str) else None

    def environment(self, device, path):
        found = self.files.get(f"({device}){path}")
        return (
            {k: v if isinstance(v, tuple) else literal(v) for k, v in found.items()}
            if isinstance(found, dict)
            else None
        )


def run(text, *, files=(), labels=(), unknown=(), **variables):
    """Run a script and give the state that it leaves; the variables named in `unknown` are symbols."""
    evaluator = Evaluator(Machine(files, labels), COMMANDS)
    state = State({name: literal(value) for name, value in {"root": "hd0", **variables}.items()})
    for name in unknown:
        state.set(name, (Symbol(name),))
    evaluator.run_script(parse_grub_script(text), state, "test.cfg")
    return state
