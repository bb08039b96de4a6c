"""Registries that fail: errors by name, bounded retries, time-outs."""

from __future__ import annotations

import itertools
import time
from email.utils import formatdate

import pytest
from attrs import evolve

from cosinspect.errors import (
    NotFound,
    RegistryError,
    TooManyRequests,
    TransportError,
)
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.oci.documents import Digest
from cosinspect.sources.registry.source import Retries, Timeouts
from cosinspect.testing import Fault
from registry_client import (
    BLOB,
    DESCRIPTOR,
    IMAGE,
    client,
    gone,
    read,
    reading,
    serving,
)

QUICK = Timeouts(connect=60, read=0.2, total=600)
"""For a registry that stays silent."""
PATIENT = Timeouts(connect=60, read=1, total=600)
"""For one whose next answer comes in time, on a busy machine too."""


# ---- errors and retries


@pytest.mark.parametrize(
    ("name", "code"), [("org/os:absent", "MANIFEST_UNKNOWN"), ("org/nothing:v1", "MANIFEST_UNKNOWN")]
)
def test_what_is_not_there_is_not_found_at_once(name, code):
    with reading(name=name) as (registry, source, slept):
        with pytest.raises(NotFound, match=name) as caught:
            source.resolve()

        assert (caught.value.status, caught.value.codes) == (404, (code,))
        assert len(registry.requests) == 1
        assert slept == []


def test_a_missing_blob_is_named():
    descriptor = evolve(DESCRIPTOR, digest=Digest.of(b"absent"))
    with reading() as (_, source, _), pytest.raises(NotFound, match=str(descriptor.digest)) as caught:
        source.open(descriptor)

    assert caught.value.codes == ("BLOB_UNKNOWN",)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("path", ["*/manifests/*", "*/blobs/*"])
def test_a_passing_failure_passes(status, path):
    with reading(Fault.status(status, path, times=3)) as (_, source, slept):
        assert read(source, source.resolve()) == IMAGE.manifest
        assert read(source) == BLOB
        assert slept == [0.5, 1.0, 2.0]


@pytest.mark.parametrize(
    ("status", "error"), [(503, RegistryError), (429, TooManyRequests), (500, RegistryError)]
)
def test_a_failure_that_stays_is_given_up(status, error):
    with reading(Fault.status(status, times=None)) as (registry, source, slept):
        with pytest.raises(error, match="try again later") as caught:
            source.resolve()

        assert caught.value.status == status
        assert len(registry.requests) == 4
        assert slept == [0.5, 1.0, 2.0]


def test_the_backoff_is_capped():
    retries = Retries(attempts=8, backoff=1, longest_backoff=5)
    with reading(Fault.status(503, times=None), retries=retries) as (_, source, slept):
        with pytest.raises(RegistryError):
            source.resolve()

        assert slept == [1, 2, 4, 5, 5, 5, 5]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 501])
def test_an_answer_that_is_final_is_not_asked_for_again(status):
    with reading(Fault.status(status, times=None)) as (registry, source, _):
        with pytest.raises(RegistryError):
            source.resolve()

        assert len(registry.requests) == 1


@pytest.mark.parametrize("code", [204, 206, 304])
def test_an_answer_without_a_manifest_is_an_error(code):
    with (
        reading(Fault.status(code, times=None, body=b"")) as (_, source, _),
        pytest.raises(RegistryError),
    ):
        source.resolve()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        ("0", 0.5),
        ("60", 60),
        (formatdate(1_600_000_000, usegmt=True), 0.5),
        ("soon", 0.5),
        ("-1", 0.5),
        ("9" * 30, 0.5),
    ],
)
def test_retry_after_is_honoured(value, seconds):
    fault = Fault.status(429, headers={"Retry-After": value})
    with reading(fault) as (_, source, slept):
        source.resolve()

    assert slept == [seconds]


def test_retry_after_may_be_a_date():
    fault = Fault.status(503, headers={"Retry-After": formatdate(time.time() + 40, usegmt=True)})
    with reading(fault) as (_, source, slept):
        source.resolve()

    (seconds,) = slept
    assert 20 < seconds <= 41  # seconds that the test itself takes count


def test_a_registry_that_asks_for_too_much_patience_gets_none():
    fault = Fault.status(429, headers={"Retry-After": "3600"}, times=None)
    with reading(fault) as (registry, source, slept):
        with pytest.raises(TooManyRequests, match="wait for 3600 s"):
            source.resolve()

        assert len(registry.requests) == 1
        assert slept == []


def test_an_error_body_is_read_within_its_bound():
    limits = evolve(DEFAULT_LIMITS, error_bytes=1000)
    fault = Fault.status(404, body=b'{"errors": [{"code": "DENIED"}]' + b" " * 10_000_000 + b"}")
    with reading(fault, limits=limits) as (_, source, _), pytest.raises(NotFound) as caught:
        source.resolve()

    assert caught.value.codes == ()  # the document ends behind the bound


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"errors": 7}', b'{"errors": [{"code": 7}]}', b"[" * 60_000]
)
def test_an_error_body_of_any_shape_is_an_error_without_codes(body):
    with reading(Fault.status(404, body=body)) as (_, source, _), pytest.raises(NotFound) as caught:
        source.resolve()

    assert caught.value.codes == ()


# ---- connections


def test_a_registry_that_is_not_there_is_named_with_advice():
    address = gone()
    with (
        client(address) as (source, slept),
        pytest.raises(TransportError, match="refuses the connection") as caught,
    ):
        source.resolve()

    assert str(caught.value).startswith(f"{address}/org/os:v1: http://{address} ")
    assert caught.value.remedy
    assert caught.value.__context__ is None  # what requests raised quotes URLs
    assert len(slept) == 3


def test_connections_that_are_dropped_are_made_again():
    with reading(Fault.drop(times=3)) as (registry, source, _):
        source.resolve()
        assert len(registry.requests) == 4
    with reading(Fault.drop(times=None)) as (registry, source, _):
        with pytest.raises(TransportError, match="closed the connection"):
            source.resolve()
        assert len(registry.requests) == 4


def test_silence_before_an_answer_is_a_timeout():
    with reading(Fault.stall("*", 600, times=None), timeouts=QUICK) as (registry, source, _):
        started = time.monotonic()
        with pytest.raises(TransportError, match=r"no answer within 0\.2 s"):
            source.resolve()

        assert len(registry.requests) == 4
        assert time.monotonic() - started < 300


def test_silence_in_the_middle_of_a_blob_is_resumed():
    faults = [Fault.stall("*/blobs/*", 60, after=after) for after in (50_000, 100_000, 150_000)]
    with reading(*faults, timeouts=PATIENT) as (registry, source, _):
        assert read(source) == BLOB
        assert len(registry.requests) == 4


def test_silence_that_stays_is_a_timeout():
    fault = Fault.stall("*/blobs/*", 60, after=0, times=None)
    with reading(fault, timeouts=QUICK) as (registry, source, _):
        with pytest.raises(TransportError, match=f"silent.*after 0 of {len(BLOB)} bytes"):
            read(source)
        assert len(registry.requests) == 4


def test_all_waiting_together_has_a_deadline():
    ticks = itertools.count(step=10)  # every look at the clock takes ten seconds
    options = {"clock": lambda: next(ticks), "timeouts": Timeouts(total=1000)}
    with reading(**options) as (_, source, _), pytest.raises(TransportError, match="within 1000 s"):
        read(source, size=100)


def test_waiting_between_attempts_counts_towards_the_deadline():
    options = {"timeouts": Timeouts(total=600), "retries": Retries(attempts=1000, longest_backoff=60)}
    with reading(Fault.status(503, times=None), **options) as (_, source, slept):
        with pytest.raises(TransportError, match="within 600 s"):
            source.resolve()
        assert sum(slept) <= 600


def test_a_trickle_does_not_outlive_the_deadline():
    with trickle() as address, client(address, timeouts=Timeouts(read=5, total=0.5)) as (source, _):
        started = time.monotonic()
        with pytest.raises(TransportError, match=r"within 0\.5 s"):
            read(source)

        assert time.monotonic() - started < 300


def trickle():
    def answer(connection, _):
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(BLOB)}\r\n\r\n".encode())
        for position in range(len(BLOB)):
            connection.sendall(BLOB[position : position + 1])
            time.sleep(0.01)

    return serving(answer)
