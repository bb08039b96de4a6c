"""A server may answer whatever it likes: the client gives bytes or one of its own errors."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosinspect.errors import CosinspectError
from cosinspect.oci.documents import Descriptor, Digest
from cosinspect.sources.registry.source import Retries, Timeouts
from registry_client import BLOB, client, read, serving

BODY = BLOB[:2000]
DESCRIPTOR = Descriptor("application/octet-stream", Digest.of(BODY), len(BODY))
IMPATIENT = {"timeouts": Timeouts(connect=2, read=0.05, total=5), "retries": Retries(attempts=2)}
ANSWERS = [
    f"HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\nDocker-Content-Digest: {DESCRIPTOR.digest}\r\n\r\n".encode()
    + BODY,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" + BODY + b"\r\n0\r\n\r\n",
    b'HTTP/1.1 401 No\r\nContent-Length: 2\r\nWWW-Authenticate: Bearer realm="http://127.0.0.1:1/t"\r\n\r\n{}',
    b'HTTP/1.1 401 No\r\nContent-Length: 2\r\nWWW-Authenticate: Basic realm="r"\r\n\r\n{}',
    b"HTTP/1.1 307 There\r\nLocation: /v2/x/y?a=b\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 206 Part\r\nContent-Range: bytes 100-1999/2000\r\nContent-Length: 1900\r\n\r\n" + BODY[100:],
    b'HTTP/1.1 429 Busy\r\nRetry-After: 3\r\nContent-Length: 36\r\n\r\n{"errors":[{"code":"TOOMANYREQUESTS"}]}',
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
]
SPLINTERS = [b"\r\n", b"\0", b"\xff", b":", b"-1", b"9" * 30, b"chunked", b"\x1b[31m", b" ", b",", b'"']


def mutated(answer, chance):
    data = bytearray(answer)
    for _ in range(chance.choice([0, 1, 1, 2, 4, 10])):
        at = chance.randrange(chance.choice([20, 200, len(data)]))
        data[at : at + chance.randrange(4)] = chance.choice([*SPLINTERS, b"", chance.randbytes(1)])
    return bytes(data)


def outcomes(answers):
    """Meet these answers one after the other, and the last one for ever; give what came of it, as texts."""
    waiting = list(answers)
    found = []

    def answer(connection, _):
        connection.sendall(waiting.pop(0) if len(waiting) > 1 else waiting[0])

    with serving(answer) as address, client(address, **IMPATIENT) as (source, _):
        for attempt in (source.resolve, lambda: read(source, DESCRIPTOR)):
            try:
                found.append(f"{attempt()!r:.20}")
            except CosinspectError as error:
                found.append(str(error))
    return found


@pytest.mark.parametrize("seed", range(40))
def test_mutated_answers_raise_only_errors_of_our_own(seed):
    chance = random.Random(seed)
    answers = [mutated(chance.choice(ANSWERS), chance) for _ in range(6)]

    assert all(text.isprintable() for text in outcomes(answers))


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=3))
@settings(deadline=None, max_examples=20)
def test_arbitrary_bytes_raise_only_errors_of_our_own(answers):
    assert all("127.0.0.1" in text for text in outcomes(answers))


def test_the_answers_that_are_mutated_are_good_ones():
    good = ANSWERS[0]

    assert outcomes([good]) == ["Descriptor(media_typ", f"{BODY!r:.20}"]
