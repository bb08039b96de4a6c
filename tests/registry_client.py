"""A registry that holds one image, and the client under test for it, as the tests of `cosinspect.sources` share them."""

from __future__ import annotations

import base64
import contextlib
import json
import random
import socket
import ssl
import threading

from cosinspect.blob import VerifiedStream
from cosinspect.oci.documents import Descriptor, Digest
from cosinspect.oci.reference import Reference
from cosinspect.sources.config.access import Access
from cosinspect.sources.registry.source import RegistrySource
from cosinspect.testing import ImageBuilder, Registry

# Bytes that do not shrink, so that a blob is long enough to be broken off.
NOISE = random.Random(7).randbytes(300_000)
IMAGE = ImageBuilder().layer({"noise": NOISE}).layer({"etc/os-release": "ID=cos\n"}).build()
LAYER = Digest.parse(IMAGE.layers[0])
BLOB = IMAGE.blobs[IMAGE.layers[0]]
BLOB_PATH = f"/v2/org/os/blobs/{LAYER}"
DESCRIPTOR = Descriptor("application/vnd.oci.image.layer.v1.tar+gzip", LAYER, len(BLOB))
MANIFEST_PATH = "/v2/org/os/manifests/v1"
PASSWORD = "s3cret-password"


@contextlib.contextmanager
def start(*faults, **options):
    """Serve the image as `org/os:v1`."""
    with Registry(faults=faults, **options) as registry:
        registry.push(IMAGE, "org/os:v1")
        yield registry


@contextlib.contextmanager
def client(registry, name="org/os:v1", *, plain_http=False, docker_config=None, **options):
    """Give a source for an image of the registry, and the list of how long it should have slept."""
    options.setdefault("access", Access.of_docker_config(docker_config, plain_http=plain_http))
    address = registry if isinstance(registry, str) else registry.address
    slept = []
    source = RegistrySource(Reference.parse(f"{address}/{name}"), sleep=slept.append, **options)
    with contextlib.closing(source):
        yield source, slept


@contextlib.contextmanager
def reading(*faults, name="org/os:v1", auth=None, ranges=True, **options):
    """Give a registry, a source for its image, and the list of how long that should have slept."""
    with (
        start(*faults, auth=auth, ranges=ranges) as registry,
        client(registry, name, **options) as (source, slept),
    ):
        yield registry, source, slept


@contextlib.contextmanager
def start_tls(certificate, *faults):
    """A registry behind TLS, by its name in the certificate."""
    key, chain = certificate
    with start(*faults) as registry:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        server = registry._server
        server.socket = context.wrap_socket(server.socket, server_side=True)
        yield registry, "registry.test:" + registry.address.rpartition(":")[2]


@contextlib.contextmanager
def serving(answer):
    """Serve what no honest registry would: `answer` gets a connected socket and the head of a request."""

    def accept():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection, contextlib.suppress(OSError):
                    answer(connection, connection.recv(65_536).decode("latin-1"))

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def read_broken_off(source, descriptor=DESCRIPTOR):
    """Give a blob whose connection is lost after a thousand bytes."""
    stream = source.open(descriptor)
    first = stream.read(1000)
    stream._response.close()  # as if the connection were lost
    return first + b"".join(iter(lambda: stream.read(65_536), b""))


def read(source, descriptor=DESCRIPTOR, size=65_536):
    """Give a verified blob, read in pieces."""
    with VerifiedStream(source.open(descriptor), descriptor) as stream:
        pieces = list(iter(lambda: stream.read(size), b""))
    assert all(len(piece) <= size for piece in pieces)
    return b"".join(pieces)


def paths(registry):
    return [request.path for request in registry.requests]


def gone():
    """Give the address of a server that has just ended."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def write_config(directory, address, **entry):
    """Write a Docker configuration that knows alice at this address."""
    if not entry:
        entry = {"auth": base64.b64encode(f"alice:{PASSWORD}".encode()).decode()}
    path = directory / "config.json"
    path.write_text(json.dumps({"auths": {address: entry}}))
    return path
