"""`python -m tests.soak --requests 10000`: inspect images over and over from a registry that spoils every tenth request.

Faults of every kind come at random, by a seed that is told. An inspection may end in two ways: with the verdict that the
same image has where nothing goes wrong, or in an error of our own that one of the faults explains. Where only passing
faults came, fewer in a row than are retried, it must be the verdict. Neither errors nor logs may hold a secret. The exit
status is 1 if anything else happened.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import logging
import random
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

TOP = Path(__file__).parents[1]
sys.path[:0] = [str(TOP)]

from attrs import define, field  # noqa: E402 - the checkout comes first

from cosinspect.checks import CATALOGUE  # noqa: E402
from cosinspect.errors import CosinspectError  # noqa: E402
from cosinspect.image.image import Image  # noqa: E402
from cosinspect.inspection.inspection import inspect_image  # noqa: E402
from cosinspect.oci.reference import Reference  # noqa: E402
from cosinspect.policy import Plan  # noqa: E402
from cosinspect.profiles import load_profile  # noqa: E402
from cosinspect.sources.config.access import Access  # noqa: E402
from cosinspect.sources.registry.source import RegistrySource, Retries, Timeouts  # noqa: E402
from cosinspect.testing import Fault, Registry, TokenAuth, image_index  # noqa: E402
from cosinspect.testing.derivative import derivative  # noqa: E402

SHARE = 0.1
"""Of the requests, how many are spoiled."""
ATTEMPTS = 4
PASSWORD = "s3cret-of-the-soak"
IMAGES = {
    "good": derivative(),
    "kernel-removed": derivative("kernel-removed"),
    "index": image_index(derivative()),
}
SILENCE = Timeouts(connect=5, read=0.25, total=120)
STALL = 1.0


def document(code):
    return json.dumps({"errors": [{"code": code, "message": f"you are alice:{PASSWORD}"}]}).encode()


def kinds(storage, nowhere):
    """Give every kind of fault: how it is made with a random source, and whether it may be the end of an inspection.

    Args:
        storage: the address of a registry that has the same and is sound.
        nowhere: an address where nobody listens.
    """
    statuses = {
        f"{code}": (lambda _, code=code: Fault.status(code)) for code in (408, 429, 500, 502, 503, 504)
    }
    final = {
        f"404 {code}": (lambda _, code=code: Fault.status(404, body=document(code)))
        for code in ("NAME_UNKNOWN", "MANIFEST_UNKNOWN", "BLOB_UNKNOWN", "GONE_FISHING")
    }
    passing = {
        **statuses,
        "429 with Retry-After": lambda chance: Fault.status(
            429, headers={"Retry-After": str(chance.randrange(50))}
        ),
        "503 with Retry-After that is none": lambda _: Fault.status(
            503, headers={"Retry-After": "in a while"}
        ),
        "closed without an answer": lambda _: Fault.drop(),
        "silent before the answer": lambda _: Fault.stall("*", STALL),
        "silent in the body": lambda chance: Fault.stall("*", STALL, after=chance.randrange(400)),
        "truncated": lambda chance: Fault.truncate("*", chance.randrange(400)),
        "truncated, weak validator": lambda chance: Fault(
            cut=chance.randrange(400), fields={"ETag": 'W/"x"'}
        ),
        "truncated, validator of another blob": lambda chance: Fault(
            cut=chance.randrange(400), fields={"ETag": '"x"'}
        ),
        "redirected to a host that is gone": lambda _: Fault.redirect(
            "*", f"http://{nowhere}/x?sig={PASSWORD}"
        ),
    }
    harmless = {
        "redirected to the storage": lambda _: Fault.redirect("*", f"http://{storage}{{path}}?sig=1"),
        "Content-Length missing": lambda _: Fault.header("*", "Content-Length", None),
        "Docker-Content-Digest missing": lambda _: Fault.header("*", "Docker-Content-Digest", None),
        "warned of": lambda _: Fault.header("*", "Warning", f'299 - "dear alice:{PASSWORD}"'),
        "headers nobody knows": lambda _: Fault.header("*", "X-\x7f", "\xff" * 500),
    }
    ending = {
        **final,
        "401": lambda _: Fault.status(401, body=document("UNAUTHORIZED")),
        "401 with a challenge": lambda _: Fault.status(401, headers={"WWW-Authenticate": 'Basic realm="x"'}),
        "403": lambda _: Fault.status(403, body=document("DENIED")),
        "400": lambda _: Fault.status(400, body=document("UNSUPPORTED")),
        "429, wait an hour": lambda _: Fault.status(429, headers={"Retry-After": "3600"}),
        "a part nobody asked for": lambda _: Fault.status(206, headers={"Content-Range": "bytes x-y/z"}),
        "a wrong byte": lambda chance: Fault(flip=chance.randrange(50)),
        "too much": lambda _: Fault.oversend("*", b"more"),
        "too little": lambda _: Fault.swap("*", b"{"),
        "malformed JSON": lambda _: Fault.swap("*", b'{"schemaVersion": 2, '),
        "another manifest": lambda _: Fault.swap("*", IMAGES["kernel-removed"].manifest),
        "a Content-Length that is too small": lambda _: Fault.header("*", "Content-Length", "9"),
        "a Content-Length that is too large": lambda _: Fault.header("*", "Content-Length", "99999999"),
        "compressed on its way": lambda _: Fault(content=b"\x1f\x8bx", fields={"Content-Encoding": "gzip"}),
        "a Content-Type of something else": lambda _: Fault.content_type("*", "text/html"),
        "another Docker-Content-Digest": lambda _: Fault.header(
            "*", "Docker-Content-Digest", f"sha256:{'0' * 64}"
        ),
        "redirected in a circle": lambda _: Fault.redirect("*", "{path}", times=None),
        "redirected to no URL": lambda _: Fault.redirect("*", "ftp://x/y"),
    }
    return {
        **{name: (make, "harmless") for name, make in harmless.items()},
        **{name: (make, "passing") for name, make in passing.items()},
        **{name: (make, "ending") for name, make in ending.items()},
    }


@define
class Weather:
    """Decides what goes wrong with a request; called by the registry's threads, one at a time."""

    chance: random.Random
    kinds: dict
    counted: Counter = field(factory=Counter)
    lately: list = field(factory=list)
    requests: int = 0

    def __call__(self, request):
        self.requests += 1
        if self.chance.random() >= SHARE:
            self.lately.append((request.path, "", "none"))
            return None
        name = self.chance.choice(sorted(self.kinds))
        make, nature = self.kinds[name]
        if request.path == "/token" and name == "redirected to the storage":
            nature = "ending"  # which gives no tokens
        self.counted[name] += 1
        self.lately.append((request.path, name, nature))
        return make(self.chance)

    def allows_an_error(self):
        """Whether what came lately may end an inspection: a fault that ends it, or passing ones as often as is retried."""
        rows = Counter()
        for path, _, nature in self.lately:
            if nature == "ending":
                return True
            rows[path] = rows[path] + 1 if nature == "passing" else 0
            if rows[path] >= ATTEMPTS:
                return True
        return False


class Kept(logging.Handler):
    """Keeps what is logged, as text."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


def verdict_of(name, directory):
    """Inspect an image without waiting between attempts and give the essence of its report."""
    source = RegistrySource(
        Reference.parse(name),
        timeouts=SILENCE,
        retries=Retries(attempts=ATTEMPTS),
        access=Access.of_docker_config(directory),
        sleep=lambda _: None,
    )
    try:
        image = Image.open(name, source)
    except BaseException:
        source.close()
        raise
    with image:
        report = inspect_image(image, Plan(load_profile("cos"), CATALOGUE))
    return (
        report.digest,
        report.verdict.value,
        tuple((item.check, item.kind.value) for item in report.results),
    )


def soak(requests, seed, out):
    """Inspect until so many requests were made; give the number of what should not have happened."""
    wrong, outcomes, kept = [], Counter(), Kept()
    logging.getLogger("cosinspect").addHandler(kept)
    auth = TokenAuth("alice", PASSWORD, uses=25)
    with socket.create_server(("127.0.0.1", 0)) as server:
        nowhere = f"127.0.0.1:{server.getsockname()[1]}"
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as directory, Registry() as storage, contextlib.ExitStack() as opened:
        for name, image in IMAGES.items():
            storage.push(image, f"org/os:{name}")
        weather = Weather(random.Random(seed), kinds(storage.address, nowhere))
        registry = opened.enter_context(Registry(auth=auth, mishap=weather))
        names = {name: registry.push(image, f"org/os:{name}") for name, image in IMAGES.items()}
        secret = base64.b64encode(f"alice:{PASSWORD}".encode()).decode()
        config = {"auths": {registry.address: {"auth": secret}}}
        (Path(directory) / "config.json").write_text(json.dumps(config))
        expected = {name: verdict_of(f"{storage.address}/org/os:{name}", Path(directory)) for name in IMAGES}
        number = 0
        while weather.requests < requests:
            name = list(IMAGES)[number % len(IMAGES)]
            number += 1
            weather.lately.clear()
            try:
                found = verdict_of(names[name], Path(directory))
            except CosinspectError as fault:
                text = str(fault)
                outcomes[f"undecided: {type(fault).__name__}"] += 1
                if not weather.allows_an_error():
                    wrong.append(f"{name}: an error that nothing explains: {text} after {weather.lately}")
                if PASSWORD in text or secret in text or not text.isprintable():
                    wrong.append(f"{name}: an error that must not be told: {text!r}")
            except Exception as fault:  # noqa: BLE001 - any other is a finding
                wrong.append(f"{name}: {type(fault).__name__}: {fault} after {weather.lately}")
            else:
                outcomes["decided"] += 1
                if found != expected[name]:
                    wrong.append(f"{name}: expected {expected[name][:2]}, found {found[:2]}")
        foreign = [request for request in storage.requests if "Authorization" in request.headers]
    wrong += [f"a secret in the log: {line}" for line in kept.lines if PASSWORD in line or secret in line]
    wrong += [f"the storage was told a secret: {request.path}" for request in foreign]
    if not outcomes["decided"]:
        wrong.append("nothing was decided")
    tell(out, weather, number, outcomes, wrong, time.monotonic() - begun, seed)
    return len(wrong)


def tell(out, weather, number, outcomes, wrong, seconds, seed):
    """Write what happened."""
    spoiled = sum(weather.counted.values())
    out.write(f"seed {seed}: {weather.requests} requests, {spoiled} spoiled in {len(weather.counted)} of ")
    out.write(f"{len(weather.kinds)} ways, {number} inspections in {seconds:.0f} s\n")
    for name, count in outcomes.most_common():
        out.write(f"{count:7} {name}\n")
    for line in wrong[:20]:
        out.write(f"WRONG {line}\n")
    out.write(f"{len(wrong)} wrong\n")


def main():
    """Run as a command."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--requests", type=int, default=10_000, help="at least so many (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=random.randrange(2**32), help="default: a new one, which is told"
    )
    arguments = parser.parse_args()
    wrong = soak(arguments.requests, arguments.seed, sys.stdout)
    threads = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    if threads:
        sys.stdout.write(f"WRONG threads are left: {threads}\n")
    return 1 if wrong or threads else 0


if __name__ == "__main__":
    sys.exit(main())
