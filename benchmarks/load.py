"""The server under load and faults: `python -m benchmarks.load [--seconds N] [--requests N] [--outage SECONDS]`.

One process serves over TLS, another asks, a third is the registry, and a fourth the hostile tenant, so that none waits for the others' turn in
one interpreter. First warm admissions at a steady rate, each answered whatever became of the one before; then
mixed requests of which a fifth are malformed, too large, slow, or broken off, while the registry is gone for a while and the certificate is
renewed. In both parts the configuration is reloaded again and again, every third time with a mistake in it, which must be refused. Every answer
is held against what is known of its image; memory and descriptors are read before and after.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import itertools
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

from attrs import define, field

from cosinspect.testing import Registry
from cosinspect.testing.derivative import derivative
from cosinspect.testing.registry.faults import Fault

CONNECTIONS = 24
EDGE = 10.0
"""Seconds before and after the registry is gone."""
RELOAD_SECONDS = 2.0
"""How often the configuration changes."""
WARM_SECONDS = 120.0
"""What a busy machine may take for the first verdicts, and for the last reload."""
SETTLE = 15.0
"""Seconds after which what is still held is taken for lost: slow clients are let go by then."""


@define
class Scene:
    """What is asked, and what is true of it."""

    names: dict[str, bool]
    """Images by digest or tag, and whether they pass."""
    tags: frozenset[str]
    down: bool = False
    wrong: list[str] = field(factory=list)
    told: Counter[str] = field(factory=Counter)


class Client:
    """One connection that is opened again when it ends."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._port, self._context = port, context
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Give the connection, a new one where there is none."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(
                "127.0.0.1", self._port, ssl=self._context, server_hostname="cosinspect.test"
            )
        return self._streams

    def close(self) -> None:
        """Let go of the connection."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def post(self, path: str, body: bytes, *, method: str = "POST") -> tuple[int, bytes]:
        """Send a request and give status and body; once more where the server had just let go."""
        for attempt in range(2):
            reader, writer = await self.opened()
            try:
                writer.write(
                    b"%s %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
                    % (method.encode(), path.encode(), len(body))
                    + body
                )
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(re.search(rb"content-length: (\d+)", head, re.IGNORECASE)[1])
                found = await reader.readexactly(length)
            except (asyncio.IncompleteReadError, ConnectionError):
                self.close()
                if attempt:
                    raise
                continue
            if b"connection: close" in head.lower():
                self.close()
            return int(head[9:12]), found
        raise ConnectionError("the server let go twice")


def review(name: str) -> bytes:
    """Give what the API server sends for an OS image."""
    request = {
        "uid": "705ab4f5",
        "kind": {"group": "elemental.cattle.io", "version": "v1beta1", "kind": "ManagedOSImage"},
        "operation": "CREATE",
        "namespace": "fleet",
        "object": {"metadata": {"name": "machines"}, "spec": {"osImage": name}},
    }
    return json.dumps(
        {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    ).encode()


def judge(scene: Scene, name: str, status: int, body: bytes) -> None:
    """Hold an answer against the truth."""
    if status != 200:
        scene.wrong.append(f"{name}: status {status} {body[:200]!r}")
        return
    response = json.loads(body)["response"]
    if response["allowed"] == scene.names[name]:
        scene.told["right"] += 1
        return
    message = response.get("status", {}).get("message", "")
    # A tag cannot be resolved without its registry; refusing is right then, admitting never is.
    if not response["allowed"] and name in scene.tags and (scene.down or "try again" in message):
        scene.told["refused while its registry was gone"] += 1
        return
    scene.wrong.append(f"{name}: {response}")


async def steady(client_of: list[Client], scene: Scene, rate: int, seconds: float) -> list[float]:
    """Ask at a steady rate; an answer that comes late counts from when it should have been asked."""
    free: asyncio.Queue[Client] = asyncio.Queue()
    for client in client_of:
        free.put_nowait(client)
    names = list(scene.names)
    times: list[float] = []

    async def ask(name: str, due: float) -> None:
        client = await free.get()
        try:
            status, body = await client.post("/admission?timeout=10s", review(name))
        finally:
            free.put_nowait(client)
        times.append(time.monotonic() - due)
        judge(scene, name, status, body)

    begin = time.monotonic()
    asked = []
    for number in range(int(rate * seconds)):
        due = begin + number / rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        asked.append(asyncio.create_task(ask(names[number % len(names)], due)))
    await asyncio.gather(*asked)
    return sorted(times)


async def hostile(port: int, context: ssl.SSLContext, scene: Scene, slow: str, ended: asyncio.Event) -> None:
    """Be one hostile tenant: images of a registry that never delivers, and objects that are as large as a request may be."""
    item = b"{},"
    tail = b'{}],"upgrade":{"image":"%s/org/os:v1"}}}}}' % slow.encode()
    large = (
        b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","kind":{"group":'
        b'"upgrade.cattle.io","version":"v1","kind":"Plan"},"operation":"CREATE","namespace":"bad","object":{"metadata":{},'
        b'"spec":{"list":['
    ) + item * 2_600_000
    numbers = itertools.count()

    async def images() -> None:
        client = Client(port, context)
        while not ended.is_set():
            number = next(numbers)
            await client.post("/admission?timeout=1s", review(f"{slow}/org/os{number}:v1"))
            scene.told["images of a registry that never delivers"] += 1
            await asyncio.sleep(0.2)
        client.close()

    async def objects() -> None:
        client = Client(port, context)
        while not ended.is_set():
            await client.post("/admission?timeout=1s", large + tail)
            scene.told["objects of 7.8 MB"] += 1
            await asyncio.sleep(5.0)
        client.close()

    await asyncio.gather(*(images() for _ in range(8)), objects())


@define
class Apart:
    """A process of its own that asks, and the line to it."""

    process: multiprocessing.process.BaseProcess
    line: Connection

    @classmethod
    def begun(cls, work: Callable[..., None], *arguments: object) -> Apart:
        """Start a function with its end of the line as the first argument."""
        context = multiprocessing.get_context("spawn")
        line, other = context.Pipe()
        process = context.Process(target=work, args=(other, *arguments), daemon=True)
        process.start()
        other.close()
        return cls(process, line)

    async def told(self) -> Any:
        """Give what it says next."""
        return await asyncio.to_thread(self.line.recv)


def ask_steadily(
    line: Connection, port: int, authority: str, scene: Scene, rate: int, seconds: float
) -> None:
    """Ask at a steady rate when told to, and say how long each answer took, what this process used, and what was wrong."""

    async def ask() -> None:
        context = ssl.create_default_context(cafile=authority)
        clients = [Client(port, context) for _ in range(CONNECTIONS)]
        await _warm(clients[0], scene)
        await steady(clients, scene, 20, 2.0)  # connections are made
        line.send("ready")
        await asyncio.to_thread(line.recv)
        begin = time.process_time()
        times = await steady(clients, scene, rate, seconds)
        line.send((times, time.process_time() - begin, scene.told, scene.wrong))

    asyncio.run(ask())


def be_hostile(line: Connection, port: int, authority: str, slow: str) -> None:
    """Be the hostile tenant until told to end, and say what was asked."""

    async def ask() -> None:
        scene, ended = Scene({}, frozenset()), asyncio.Event()
        context = ssl.create_default_context(cafile=authority)
        foe = asyncio.create_task(hostile(port, context, scene, slow, ended))
        await asyncio.to_thread(line.recv)
        ended.set()
        await foe
        line.send(scene.told)

    asyncio.run(ask())


def used(process: int) -> float:
    """Give the seconds of CPU that a process has used, without its children."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def mixed(port: int, context: ssl.SSLContext, scene: Scene, count: int, rate: float, seed: int) -> None:
    """Ask many things at once, a fifth of them as nobody should."""
    chance = random.Random(seed)
    numbers = iter(range(count))
    names = list(scene.names)
    begin = time.monotonic()

    async def worker() -> None:
        client = Client(port, context)
        for number in numbers:
            await asyncio.sleep(max(0.0, begin + number / rate - time.monotonic()))
            name = chance.choice(names)
            if chance.random() < 0.2:
                await _misbehave(Client(port, context), chance, scene)
                continue
            path = chance.choice(
                ("/admission?timeout=10s", "/admission?timeout=10s", "/mutate?timeout=10s", "/gatekeeper")
            )
            if path == "/gatekeeper":
                body = {
                    "apiVersion": "externaldata.gatekeeper.sh/v1beta1",
                    "kind": "ProviderRequest",
                    "request": {"keys": [name]},
                }
                status, answer = await client.post(path, json.dumps(body).encode())
                (item,) = json.loads(answer)["response"]["items"]
                admitted = item.get("value", {}).get("admitted", False)
                if (admitted and not scene.names[name]) or status != 200:
                    scene.wrong.append(f"{name}: {item}")
                scene.told["gatekeeper"] += 1
                continue
            judge(scene, name, *await client.post(path, review(name)))
        client.close()

    await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))


async def _misbehave(client: Client, chance: random.Random, scene: Scene) -> None:
    kind = chance.choice(("malformed", "announced", "oversized", "slow", "broken off"))
    scene.told[kind] += 1
    try:
        reader, writer = await client.opened()
        match kind:
            case "malformed":
                junk = bytes(chance.randrange(256) for _ in range(200))
                body = chance.choice((junk, b"[" * 50_000, b'{"apiVersion": 5}', review("a")[:-20]))
                status, _ = await client.post("/admission", body)
                if status != 400:
                    scene.wrong.append(f"malformed: {status}")
            case "announced":
                writer.write(b"POST /admission HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n{")
                if not (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 413"):
                    scene.wrong.append("announced: not refused")
            case "oversized":
                writer.write(b"POST /admission HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                for _ in range(16):
                    writer.write(b"100000\r\n" + b" " * 0x100000 + b"\r\n")
                    await writer.drain()
            case "slow":
                for byte in b"POST /admission HTTP/1.1\r\nHost":
                    writer.write(bytes([byte]))
                    await asyncio.sleep(0.02)
            case "broken off":
                writer.write(b"POST /admission HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n{")
                await writer.drain()
    except (OSError, asyncio.IncompleteReadError, ssl.SSLError):
        pass  # the server may let go of such a client whenever it likes
    finally:
        client.close()


def held(process: int) -> tuple[float, int]:
    """Give what a process holds: memory in MiB, and descriptors."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024, len(
        list(Path(f"/proc/{process}/fd").iterdir())
    )


async def reloading(process: subprocess.Popen[str], directory: Path, scene: Scene) -> None:
    """Change the configuration and say so, until cancelled; every third one has mistakes."""
    config = directory / "server.toml"
    good = config.read_text()
    number = 0
    try:
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            number += 1
            if number % 3:
                config.write_text(f'{good}\n[[rules]]\nname = "change {number}"\nmode = "skip"\n')
            else:
                config.write_text(f"{good}\n[[rules]]\nmode = {number}\n")
            process.send_signal(signal.SIGHUP)
            scene.told["reloads with a mistake" if number % 3 == 0 else "reloads"] += 1
    finally:
        config.write_text(good)
        process.send_signal(signal.SIGHUP)


def certify(directory: Path) -> None:
    """Write a certificate of an authority of one's own, new each time."""
    if not (directory / "ca.pem").exists():
        _openssl(
            directory,
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 1 -subj /CN=ca",
        )
    _openssl(
        directory,
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout new.key -out new.csr -subj /CN=cosinspect.test",
    )
    (directory / "names").write_text("subjectAltName=DNS:cosinspect.test")
    _openssl(directory, "x509 -req -in new.csr -CA ca.pem -CAkey ca.key -days 1 -extfile names -out new.pem")
    for name in ("key", "pem"):
        (directory / f"new.{name}").replace(directory / f"tls.{name}")


def _openssl(directory: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=directory, check=True, capture_output=True)


@contextlib.contextmanager
def served(directory: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Serve while the block runs."""
    certify(directory)
    (directory / "server.toml").write_text("""
[listen]
address = "127.0.0.1:0"
certificate = "tls.pem"
key = "tls.key"
client_seconds = 3.0
[inspections]
cache = "cache"
tag_seconds = 1.0
retry_seconds = 1.0
[[rules]]
registries = ["127.0.0.1:*"]
profile = "cos"
""")
    process = subprocess.Popen(
        [sys.executable, "-m", "cosinspect", "serve", "--config", str(directory / "server.toml")],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        address = next(line for line in process.stderr if "listening at" in line)
        # The log is a line for each decision; a pipe that nobody reads would stop the server.
        drain = threading.Thread(target=process.stderr.read, daemon=True)
        drain.start()
        yield process, int(address.rpartition(":")[2])
    finally:
        process.kill()
        process.wait()


def main() -> int:
    """Run everything and print what was measured."""
    parser = argparse.ArgumentParser(description="the server under load and faults")
    parser.add_argument("--rate", type=int, default=200, help="warm requests a second")
    parser.add_argument("--seconds", type=float, default=30.0, help="of the steady part")
    parser.add_argument("--requests", type=int, default=10_000, help="of the mixed part")
    parser.add_argument("--outage", type=float, default=60.0, help="seconds for which the registry is gone")
    parser.add_argument("--rounds", type=int, default=1, help="of the mixed part; memory is read after each")
    parser.add_argument("--hostile", action="store_true", help="a hostile tenant during the steady part")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="cosinspect-load-"))
    down = {"now": False}
    mishap = lambda _request: Fault.drop("*") if down["now"] else None  # noqa: E731 - one expression
    try:
        endless = Fault.stall("*", 3600.0, method="*", times=None)
        with (
            Registry(mishap=mishap) as registry,
            Registry(faults=[endless]) as never,
            served(directory) as (process, port),
        ):
            scene = _scene(registry)
            context = ssl.create_default_context(cafile=str(directory / "ca.pem"))
            slow = never.address if given.hostile else ""
            return asyncio.run(_measured(given, process, port, context, scene, down, directory, slow))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _scene(registry: Registry) -> Scene:
    names: dict[str, bool] = {}
    tags = set()
    for kind in (None, "kernel-dangling", "kernel-removed", "no-toolkit"):
        path = f"org/os-{kind or 'good'}"
        tag = registry.push(derivative(kind), f"{path}:v1")
        digest = hashlib.sha256(registry.read(f"{path}:v1")).hexdigest()
        names |= {tag: kind is None, f"{registry.address}/{path}@sha256:{digest}": kind is None}
        tags.add(tag)
    return Scene(names, frozenset(tags))


async def _faults(
    given: argparse.Namespace,
    port: int,
    context: ssl.SSLContext,
    scene: Scene,
    down: dict[str, bool],
    directory: Path,
    seed: int,
) -> None:
    """Ask mixed requests, while the registry is gone for a time and the certificate is renewed in the middle of it."""
    begin = time.monotonic()
    rate = given.requests / (given.outage + 2 * EDGE)
    work = asyncio.create_task(mixed(port, context, scene, given.requests, rate, seed))
    await asyncio.sleep(EDGE)
    down["now"] = scene.down = True
    await asyncio.sleep(given.outage / 2)
    certify(directory)
    await asyncio.sleep(given.outage / 2)
    down["now"] = False
    await asyncio.sleep(3.0)  # what was refused a moment ago is not tried again at once
    scene.down = False
    await work
    took = time.monotonic() - begin
    print(
        f"mixed: {given.requests} requests in {took:.0f} s, the registry gone for {given.outage:.0f} s of them"
    )


async def _measured(
    given: argparse.Namespace,
    process: subprocess.Popen[str],
    port: int,
    context: ssl.SSLContext,
    scene: Scene,
    down: dict[str, bool],
    directory: Path,
    slow: str,
) -> int:
    authority = str(directory / "ca.pem")
    asker = Apart.begun(ask_steadily, port, authority, scene, given.rate, given.seconds)
    await asker.told()
    before = held(process.pid)
    foe = Apart.begun(be_hostile, port, authority, slow) if slow else None
    reloads = asyncio.create_task(reloading(process, directory, scene))
    begin, own = used(process.pid), time.process_time()
    asker.line.send("go")
    times, asking, told, wrong = await asker.told()
    serving, own = used(process.pid) - begin, time.process_time() - own
    scene.told.update(told)
    scene.wrong.extend(wrong)
    if foe is not None:
        foe.line.send("end")
        scene.told.update(await foe.told())
    print(f"warm admissions: {len(times)} at {given.rate} a second")
    for name, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)):
        print(f"  {name:<6}{1000 * times[min(int(share * len(times)), len(times) - 1)]:8.2f} ms")
    each = 1000 / len(times)
    print(
        f"CPU of each: server {each * serving:.2f} ms, asker {each * asking:.2f} ms, registry and log {each * own:.2f} ms"
    )
    print(f"before: {before[0]:.0f} MiB, {before[1]} descriptors")
    for number in range(given.rounds):
        await _faults(given, port, context, scene, down, directory, given.seed + number)
        await asyncio.sleep(SETTLE)
        after = held(process.pid)
        print(f"after {(number + 1) * given.requests}: {after[0]:.0f} MiB, {after[1]} descriptors")
    reloads.cancel()
    await asyncio.gather(reloads, return_exceptions=True)
    await _require_reloads(Client(port, context), scene)
    for word, count in sorted(scene.told.items()):
        print(f"  {count:>7} {word}")
    print(f"  {len(scene.wrong):>7} wrong answers")
    for line in scene.wrong[:5]:
        print(f"          {line[:300]}")
    process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    status = process.wait(60)
    print(
        f"SIGTERM: status {status} after {time.monotonic() - started:.1f} s; median {1000 * median(times):.2f} ms"
    )
    return 1 if scene.wrong or status else 0


async def _warm(client: Client, scene: Scene) -> None:
    """Ask for each image until its verdict is there: what is measured are answers that are looked up."""
    end = time.monotonic() + WARM_SECONDS
    for name in scene.names:
        while time.monotonic() < end:
            status, body = await client.post("/admission?timeout=30s", review(name))
            response = json.loads(body)["response"] if status == 200 else {}
            if response.get("allowed") or response.get("status", {}).get("code") == 403:
                break
            await asyncio.sleep(0.2)


async def _require_reloads(client: Client, scene: Scene) -> None:
    """Hold the server's own count of reloads against what was done; the last configuration is a good one."""
    end = time.monotonic() + WARM_SECONDS
    while True:
        status, text = await client.post("/metrics", b"", method="GET")
        counts = dict(re.findall(r'reloads_total{outcome="(\w+)"} (\d+)', text.decode()))
        refused = re.search(r"^cosinspect_configuration_reload_failed (\S+)", text.decode(), re.MULTILINE)
        if (refused is not None and not float(refused[1])) or time.monotonic() > end:
            break
        await asyncio.sleep(0.5)
    client.close()
    print(f"reloads by the server's count: {counts}")
    # Signals that arrive while a reload runs may be one; a refused file is read again by itself.
    few = int(counts.get("success", 0)) < scene.told["reloads"] / 2
    few |= int(counts.get("failure", 0)) < scene.told["reloads with a mistake"] / 2
    if status != 200 or few or refused is None or float(refused[1]):
        scene.wrong.append(f"reloads: {status} {counts} {refused}")


if __name__ == "__main__":
    sys.exit(main())
