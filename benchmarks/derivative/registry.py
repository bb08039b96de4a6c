"""Debian's docker-registry on loopback, over a directory."""

from __future__ import annotations

import http.client
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["REPOSITORY", "push", "registry"]

REPOSITORY = "derivative"
_START_S = 20.0


@contextmanager
def registry(work: Path, port: int | None = None, *, access_log: bool = False) -> Iterator[str]:
    """Runs a registry over the blobs of `work` for as long as the block lasts; gives its host:port.

    The port of the last time is taken again if it is free, so that references stay the same. With `access_log` each
    request is a line of `registry.log`, with the bytes of its answer.

    Raises:
        RuntimeError: The registry does not answer.
    """
    address = f"127.0.0.1:{port or _port(work)}"
    storage = work / "registry"
    storage.mkdir(exist_ok=True)
    config = work / "registry.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: {str(not access_log).lower()}}}}}\n"
        f"storage:\n  filesystem: {{rootdirectory: {storage}}}\n  delete: {{enabled: true}}\n"
        f"http: {{addr: '{address}'}}\n"
    )
    (work / "registry.port").write_text(address.rpartition(":")[2])
    with (work / "registry.log").open("wb") as log:
        server = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log, stderr=log)
    try:
        _wait(address, server, work / "registry.log")
        yield address
    finally:
        server.terminate()
        server.wait()


def push(layout: Path, tag: str, address: str) -> str:
    """Pushes an image of the layout as it is; gives its reference."""
    reference = f"{address}/{REPOSITORY}:{tag}"
    subprocess.run(
        [
            "skopeo",
            "copy",
            "--quiet",
            "--preserve-digests",
            "--insecure-policy",
            "--dest-tls-verify=false",
            f"oci:{layout}:{tag}",
            f"docker://{reference}",
        ],
        check=True,
    )
    return reference


def _port(work: Path) -> int:
    note = work / "registry.port"
    for wanted in (int(note.read_text()) if note.exists() else 0, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", wanted))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise RuntimeError("no free port on 127.0.0.1")


def _wait(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_S
    while server.poll() is None and time.monotonic() < end:
        connection = http.client.HTTPConnection(address, timeout=1)
        try:
            connection.request("GET", "/v2/")
            if connection.getresponse().status == http.client.OK:
                return
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    raise RuntimeError(f"docker-registry does not answer on {address}; see {log}")
