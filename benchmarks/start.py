"""How long the program takes to start and to answer, beside `python -c "import requests, rich"`.

Each figure is the processor time of a whole process, the median of its runs; the commands take turns. The image is small, so
that reading it takes next to nothing. The cache is warm.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.processes import COSINSPECT, IMPORTS, PYTHON, Contender, Figure, compared
from cosinspect.testing import Registry
from cosinspect.testing.derivative import derivative
from cosinspect.testing.registry.auth import TokenAuth

__all__ = ["starts"]

GROUP = "start"


def starts(runs: int = 9) -> list[Figure]:
    """Time every command in turn."""
    with _rows() as (rows, environment):
        contenders = [
            Contender("imports", (IMPORTS,)),
            *(Contender(name, (row[0],)) for name, row in rows.items()),
        ]
        costs = compared(GROUP, contenders, runs, environment=environment)
    imports = costs["imports"].cpu
    return [
        Figure(GROUP, f"{name}, CPU", costs[name].cpu / imports, "x imports", target)
        for name, (_, target) in rows.items()
    ]


@contextmanager
def _rows() -> Iterator[tuple[dict[str, tuple[tuple[str, ...], float]], Mapping[str, str]]]:
    """Give each command with its target, and the environment in which they run."""
    image = derivative(None)
    auth = TokenAuth("alice", "bench-password")
    with (
        tempfile.TemporaryDirectory(prefix="cosinspect-bench-") as work,
        Registry() as registry,
        Registry(auth=auth) as closed,
        Registry() as secured,
    ):
        image.write_layout(Path(work, "os"))
        layout, name = f"oci:{work}/os", registry.push(image, "bench/os:v1")
        private, secret = closed.push(image, "bench/os:v1"), secured.push(image, "bench/os:v1")
        _speak_tls(secured, Path(work))
        entry = base64.b64encode(b"alice:bench-password").decode()
        Path(work, "config.json").write_text(json.dumps({"auths": {closed.address: {"auth": entry}}}))
        Path(work, "registries.conf").write_text(
            f'[[registry]]\nlocation = "registry.invalid"\n[[registry.mirror]]\nlocation = "{registry.address}"\n'
        )
        mirrored = f"CONTAINERS_REGISTRIES_CONF={work}/registries.conf"
        yield (
            {
                "warm check, layout": ((*COSINSPECT, layout), 0.5),
                "warm check, layout, JSON": ((*COSINSPECT, layout, "--format", "json"), 0.5),
                "warm check, registry": ((*COSINSPECT, name), 1.0),
                "warm check, registry, token": (("env", f"DOCKER_CONFIG={work}", *COSINSPECT, private), 1.0),
                "warm check, registry, TLS": (("env", f"HOME={work}", *COSINSPECT, secret), 1.0),
                "warm check, mirror": (
                    ("env", mirrored, *COSINSPECT, "registry.invalid/bench/os:v1"),
                    1.0,
                ),
                "ls, layout": ((*COSINSPECT, "ls", layout), 2.0),
                "cat, layout": ((*COSINSPECT, "cat", layout, "/etc/os-release"), 2.0),
                "checks, again": ((*COSINSPECT, "checks"), 2.0),
                "checks, first": (("env", "COSINSPECT_CACHE=off", *COSINSPECT, "checks"), 2.0),
                "--help": ((*COSINSPECT, "--help"), 0.3),
                "--version": ((*COSINSPECT, "--version"), 0.3),
                "import cosinspect": ((PYTHON, "-c", "import cosinspect"), 0.3),
            },
            {**os.environ, "COSINSPECT_CACHE": f"{work}/cache"},
        )


def _speak_tls(registry: Registry, work: Path) -> None:
    """Put a registry behind TLS, with a certificate that is found below the home directory `work`."""
    directory = work / ".config/containers/certs.d" / registry.address
    directory.mkdir(parents=True)
    key, authority = work / "key.pem", directory / "ca.crt"
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    names = ("-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2")
    command = ("openssl", "req", "-x509", *curve, *names, "-keyout", str(key), "-out", str(authority))
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, key)
    server = registry._server  # noqa: SLF001  # the testing kit speaks no TLS
    server.socket = context.wrap_socket(server.socket, server_side=True)


if __name__ == "__main__":
    for each in starts():
        print(f"{each.name:34}{each.value:8.2f}  <= {each.target:g}  {'yes' if each.met else 'no'}")
