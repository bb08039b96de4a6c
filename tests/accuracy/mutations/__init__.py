"""Images that an author could have made, each changed in one place, and by reason what they can do then.

The rules are those of what real boots and builds showed. `python -m tests.accuracy.mutations` inspects all of them; the tests try those that were
judged wrongly once.
"""

from collections.abc import Callable

from attrs import frozen

from cosinspect import inspect
from cosinspect.report.report import Kind
from cosinspect.testing.derivative import derivative_of
from cosinspect.testing.derivative.parts import Parts, parts_of
from cosinspect.testing.derivative.variants import VARIANTS


@frozen
class Mutation:
    """A change to a good image.

    Attributes:
        name: what is done, with the image that it is done to.
        base: the generation or the other layout of that image.
        apply: does it.
        expected: what the image can do then, by capability; `fails` names a check that must find it.
    """

    name: str
    base: str
    apply: Callable[[Parts], None]
    expected: dict[str, str]

    def outcome(self, place):
        """Give what differs from the expectation, "" for nothing; the image is written to a directory."""
        parts = VARIANTS[self.base].parts("amd64") if self.base in VARIANTS else parts_of(self.base, "amd64")
        self.apply(parts)
        report = inspect(derivative_of(parts).write_layout(place))
        failed = [result.check for result in report.results if result.kind is Kind.FAIL]
        told = {capability.value: result.status.value for capability, result in report.capabilities.items()}
        wrong = [
            f"{name}={told.get(name)}, expected {wanted}"
            for name, wanted in self.expected.items()
            if name != "fails" and told.get(name) != wanted
        ]
        if self.expected.get("fails", "") not in ("", *failed):
            wrong.append(f"{self.expected['fails']} does not fail")
        return f"{'; '.join(wrong)} (failed: {' '.join(failed) or 'none'})" if wrong else ""


MUTATIONS: dict[str, Mutation] = {}


def mutation(bases, **expected):
    """Declare the function below as a mutation of several images."""

    def declare(function):
        for base in bases.split():
            name = f"{function.__name__}-{base}"
            MUTATIONS[name] = Mutation(name, base, function, expected)
        return function

    return declare


def bootargs_path(parts):
    """Where the image's bootargs.cfg is."""
    return "etc/elemental/bootargs.cfg" if parts.generation == "G5" else "etc/cos/bootargs.cfg"


def text_of(parts, path):
    """The text of a file of the good image."""
    entry = next(
        layer[path] for layer in (parts.packages, parts.base, parts.kernel, parts.initrd) if path in layer
    )
    return entry if isinstance(entry, (str, bytes)) else entry.content.decode()


from tests.accuracy.mutations import operations, programs, system  # noqa: E402, F401 - they declare what is in MUTATIONS
