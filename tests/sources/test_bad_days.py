"""A registry's bad days, row by row: what passes is survived, what stays is told with what to do."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import time

import pytest
from attrs import evolve, field, frozen

from cosinspect import cli
from cosinspect.errors import (
    AccessDenied,
    DigestMismatch,
    InvalidManifest,
    LimitExceeded,
    NotFound,
    RegistryError,
    SizeMismatch,
    TooManyRequests,
    TransportError,
)
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.oci.documents import Digest, Manifest, parse_document
from cosinspect.oci.reference import Reference
from cosinspect.sources.registry.error_documents import Redactor
from cosinspect.sources.registry.source import RegistrySource, Retries, Timeouts
from cosinspect.testing import BasicAuth, Fault, TokenAuth
from registry_client import (
    BLOB,
    BLOB_PATH,
    DESCRIPTOR,
    IMAGE,
    MANIFEST_PATH,
    PASSWORD,
    client,
    gone,
    read,
    reading,
    serving,
    start,
    write_config,
)

QUICK = Timeouts(connect=60, read=0.2, total=600)
"""For a registry that stays silent."""
PATIENT = Timeouts(connect=60, read=1, total=600)
"""For one whose next answer comes in time, on a busy machine too."""
HALF = len(BLOB) // 2
STAYS = {"times": None}


def error_document(code, message="out of order today"):
    return json.dumps({"errors": [{"code": code, "message": message, "detail": {"x": 1}}]}).encode()


def refusing(status, code, message="out of order today", **options):
    return Fault.status(status, body=error_document(code, message), **{**STAYS, **options})


# ---- what passes


@frozen
class Passing:
    """A fault of one request, after which everything is as it should be."""

    fault: Fault
    waits: list = field(factory=list)
    resumed: bool = False


PASSING = {
    "manifest: connection closed without an answer": Passing(Fault.drop(MANIFEST_PATH), [0.5]),
    "manifest: silence before the answer": Passing(Fault.stall(MANIFEST_PATH, 60), [0.5]),
    "manifest: silence in the body": Passing(Fault.stall(MANIFEST_PATH, 60, after=9), [0.5]),
    "manifest: truncated": Passing(Fault.truncate(MANIFEST_PATH, 9), [0.5]),
    "manifest: 408": Passing(Fault.status(408, MANIFEST_PATH), [0.5]),
    "manifest: 429": Passing(Fault.status(429, MANIFEST_PATH), [0.5]),
    "manifest: 429, wait 7 s": Passing(Fault.status(429, MANIFEST_PATH, headers={"Retry-After": "7"}), [7]),
    "manifest: 500": Passing(Fault.status(500, MANIFEST_PATH), [0.5]),
    "manifest: 502 of a proxy": Passing(Fault.status(502, MANIFEST_PATH, body=b"<html>Bad Gateway"), [0.5]),
    "manifest: 503, wait 9 s": Passing(Fault.status(503, MANIFEST_PATH, headers={"Retry-After": "9"}), [9]),
    "manifest: 504": Passing(Fault.status(504, MANIFEST_PATH), [0.5]),
    "manifest: no Docker-Content-Digest": Passing(Fault.header(MANIFEST_PATH, "Docker-Content-Digest", None)),
    "manifest: no Content-Length": Passing(Fault.header(MANIFEST_PATH, "Content-Length", None)),
    "blob: connection closed without an answer": Passing(Fault.drop(BLOB_PATH), [0.5]),
    "blob: silence before the answer": Passing(Fault.stall(BLOB_PATH, 60), [0.5]),
    "blob: silence in the body": Passing(Fault.stall(BLOB_PATH, 60, after=HALF), [0.5], resumed=True),
    "blob: truncated": Passing(Fault.truncate(BLOB_PATH, HALF), [0.5], resumed=True),
    "blob: truncated before its first byte": Passing(Fault.truncate(BLOB_PATH, 0), [0.5]),
    "blob: 429": Passing(Fault.status(429, BLOB_PATH), [0.5]),
    "blob: 500": Passing(Fault.status(500, BLOB_PATH), [0.5]),
    "blob: 503": Passing(Fault.status(503, BLOB_PATH), [0.5]),
    "blob: no Content-Length": Passing(Fault.header(BLOB_PATH, "Content-Length", None)),
    "blob: called gzip, sent as it is": Passing(Fault.header(BLOB_PATH, "Content-Encoding", "gzip")),
}


@pytest.mark.parametrize("row", PASSING.values(), ids=PASSING)
def test_what_passes_is_survived(row):
    with reading(row.fault, timeouts=PATIENT) as (registry, source, slept):
        assert read(source, source.resolve()) == IMAGE.manifest
        assert read(source) == BLOB
        asked = [request.headers["Range"] for request in registry.requests if request.headers["Range"]]
        assert registry.unused_faults == ()

    assert slept == row.waits
    assert asked == ([f"bytes={HALF}-"] if row.resumed else [])


# ---- what stays


@frozen
class Staying:
    """A fault of every request, and how it is told."""

    fault: Fault
    error: type
    says: str
    remedy: str
    requests: int = 1


MANIFEST_FAULTS = {
    "429": Staying(
        refusing(429, "TOOMANYREQUESTS", "slow down"), TooManyRequests,
        "answers 429 (TOOMANYREQUESTS), saying 'slow down'", "try again later, or log in", 4,
    ),
    "429, wait an hour": Staying(
        refusing(429, "TOOMANYREQUESTS", headers={"Retry-After": "3600"}), TooManyRequests,
        "asks to wait for 3600 s", "try again later, or log in",
    ),
    **{
        str(status): Staying(
            refusing(status, "UNKNOWN"), RegistryError,
            f"answers {status} (UNKNOWN), saying 'out of order today'", "try again later", 4 if status != 501 else 1,
        )
        for status in (500, 501, 502, 503, 504)
    },
    "401": Staying(refusing(401, "UNAUTHORIZED", "who are you"), AccessDenied, "the registry says 'who are you'", "docker login"),
    "403": Staying(
        refusing(403, "DENIED", "not for you"), AccessDenied, "(DENIED), saying 'not for you'", "docker login"
    ),
    "404 NAME_UNKNOWN": Staying(
        refusing(404, "NAME_UNKNOWN"), NotFound, "(NAME_UNKNOWN), saying", "check the repository's name"
    ),
    "404 MANIFEST_UNKNOWN": Staying(
        refusing(404, "MANIFEST_UNKNOWN"), NotFound, "(MANIFEST_UNKNOWN), saying", "check the tag or digest"
    ),
    "404 MANIFEST_BLOB_UNKNOWN": Staying(
        refusing(404, "MANIFEST_BLOB_UNKNOWN"), NotFound, "(MANIFEST_BLOB_UNKNOWN), saying", "push it again"
    ),
    "404 BLOB_UNKNOWN": Staying(
        refusing(404, "BLOB_UNKNOWN"), NotFound, "(BLOB_UNKNOWN), saying", "push it again"
    ),
    "404 of a code of its own": Staying(
        refusing(404, "GONE_FISHING"), NotFound, "(GONE_FISHING), saying", "check repository, tag and digest"
    ),
    "404 without a document": Staying(
        Fault.status(404, body=b"<html>", **STAYS), NotFound, "answers 404", "check repository, tag and digest"
    ),
    "400 NAME_INVALID": Staying(
        refusing(400, "NAME_INVALID"), RegistryError, "(NAME_INVALID), saying", "check the repository's name"
    ),
    "400 of a server of HTTPS": Staying(
        Fault.status(400, body=b"Client sent an HTTP request to an HTTPS server.", **STAYS), RegistryError,
        "answers 400", "--plain-http",
    ),
    "405 UNSUPPORTED": Staying(
        refusing(405, "UNSUPPORTED"), RegistryError, "(UNSUPPORTED), saying", "ask its operator"
    ),
    "truncated for ever": Staying(
        Fault.truncate("*", 9, **STAYS), TransportError, "closed the connection in the middle", "network", 4
    ),
    "no answer ever": Staying(
        Fault.drop(**STAYS), TransportError, "closed the connection without an answer", "network", 4
    ),
    "silent for ever": Staying(Fault.stall("*", 60, **STAYS), TransportError, "no answer within 0.2 s", "network", 4),
    "another manifest under its digest": Staying(
        Fault.swap("*", b"{}", **STAYS), DigestMismatch, "hashes to", "push the image again"
    ),
    "compressed on its way": Staying(
        Fault(content=b"\x1f\x8b", fields={"Content-Encoding": "gzip"}, **STAYS), TransportError,
        "content coding 'gzip'", "proxy",
    ),
    "redirected in a circle": Staying(
        Fault.redirect("*", "{path}", **STAYS), TransportError, "redirects more than 5 times", "", 6
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", MANIFEST_FAULTS.values(), ids=MANIFEST_FAULTS)
def test_what_stays_is_told_with_what_to_do(row):
    timeouts = QUICK if row.fault.wait else PATIENT
    with reading(row.fault, timeouts=timeouts) as (registry, source, _):
        with pytest.raises(row.error) as caught:
            source.resolve()
        assert len(registry.requests) == row.requests

    assert row.says in caught.value.message
    assert row.remedy in (caught.value.remedy or "")
    assert str(caught.value).startswith(f"{registry.address}/org/os:v1: ")


BLOB_FAULTS = {
    "404 BLOB_UNKNOWN": Staying(
        refusing(404, "BLOB_UNKNOWN", path="*/blobs/*"), NotFound, "(BLOB_UNKNOWN)", "push it again"
    ),
    "403": Staying(refusing(403, "DENIED", path="*/blobs/*"), AccessDenied, "(DENIED)", "docker login"),
    "corrupt": Staying(Fault.corrupt(BLOB_PATH, 99, **STAYS), DigestMismatch, "expected digest", "push the image again"),
    "longer than its descriptor": Staying(
        Fault.oversend(BLOB_PATH, b"x", **STAYS), SizeMismatch, f"announces {len(BLOB) + 1}", "push the image again"
    ),
    "shorter than its descriptor": Staying(
        Fault.swap(BLOB_PATH, BLOB[:-1], **STAYS), SizeMismatch, f"announces {len(BLOB) - 1}", "push the image again"
    ),
    "longer, of a length not told": Staying(
        Fault(path=BLOB_PATH, extra=b"x", fields={"Content-Length": None}, **STAYS), SizeMismatch, "", ""
    ),
    "a Content-Length that is too small": Staying(
        Fault.header(BLOB_PATH, "Content-Length", "10", **STAYS), SizeMismatch, "announces 10", "push"
    ),
    "a Content-Length that is too large": Staying(
        Fault.header(BLOB_PATH, "Content-Length", "99999999", **STAYS), SizeMismatch, "announces 99999999", "push"
    ),
    "truncated for ever, at the same byte": Staying(
        Fault.truncate(BLOB_PATH, 0, **STAYS), TransportError, f"after 0 of {len(BLOB)} bytes", "network", 4
    ),
    "redirected to a host that is gone": Staying(
        Fault.redirect(BLOB_PATH, f"http://{gone()}/x?signature=s3cret", **STAYS), TransportError,
        "refuses the connection", "check the port", 4,
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", BLOB_FAULTS.values(), ids=BLOB_FAULTS)
def test_what_stays_with_a_blob_is_told_with_what_to_do(row):
    with reading(row.fault, timeouts=PATIENT) as (registry, source, _):
        with pytest.raises(row.error) as caught:
            read(source)
        assert len(registry.requests) == row.requests

    assert row.says in str(caught.value)
    assert row.remedy in (caught.value.remedy or "")
    assert str(DESCRIPTOR.digest) in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("auth", [BasicAuth("bob", "other"), TokenAuth(anonymous=True, seconds=-1)])
def test_a_registry_that_challenges_for_ever_is_left(auth, tmp_path):
    with start(auth=auth) as registry:
        config = write_config(tmp_path, registry.address)
        with client(registry, docker_config=config) as (source, slept), pytest.raises(AccessDenied):
            source.resolve()
        assert len(registry.requests) <= 3
        assert slept == []


def test_a_registry_that_wants_another_token_for_every_request_gets_one():
    with reading(auth=TokenAuth(anonymous=True, uses=1)) as (_, source, _):
        assert read(source, source.resolve()) == IMAGE.manifest
        assert read(source) == BLOB


# ---- If-Range


@pytest.mark.parametrize(
    ("etag", "sent"),
    [
        (f'"{DESCRIPTOR.digest}"', f'"{DESCRIPTOR.digest}"'),
        ('W/"weak"', None),
        ("unquoted", None),
        ('"two", "of them"', None),
        (None, None),
    ],
)
def test_a_blob_is_resumed_under_the_strong_validator_of_its_first_part(etag, sent):
    first = Fault(path=BLOB_PATH, cut=HALF, fields={"ETag": etag})
    with reading(first) as (registry, source, _):
        assert read(source) == BLOB
        _, resumed = registry.requests

    assert (resumed.headers["Range"], resumed.headers["If-Range"]) == (f"bytes={HALF}-", sent)


def test_a_blob_that_was_replaced_in_the_meantime_comes_whole_and_is_still_hashed_over_all():
    first = Fault(path=BLOB_PATH, cut=HALF, fields={"ETag": '"an-older-one"'})
    with reading(first) as (registry, source, _):
        assert read(source) == BLOB  # the registry answers 200, and what is known already is passed over
        assert registry.requests[-1].headers["If-Range"] == '"an-older-one"'
    other = Fault.corrupt(BLOB_PATH, HALF + 9)
    with reading(first, other) as (_, source, _), pytest.raises(DigestMismatch):
        read(source)


# ---- answers that no fault of ours can make


def http(head, body=b""):
    return head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body


def answering(*answers):
    """Serve these answers one after the other, the last one for ever, each on a connection of its own."""
    waiting = list(answers)
    return serving(
        lambda connection, _: connection.sendall(waiting.pop(0) if len(waiting) > 1 else waiting[0])
    )


TYPE = f"Content-Type: {IMAGE.media_type}"
GOOD = {
    "HTTP/1.0, ended by closing": http(f"HTTP/1.0 200 OK\n{TYPE}", IMAGE.manifest),
    "HTTP/1.0 with a length": http(
        f"HTTP/1.0 200 OK\n{TYPE}\nContent-Length: {len(IMAGE.manifest)}", IMAGE.manifest
    ),
    "no reason in the status line": http(
        f"HTTP/1.1 200\n{TYPE}\nContent-Length: {len(IMAGE.manifest)}", IMAGE.manifest
    ),
    "a continuation first": http("HTTP/1.1 100 Continue")
    + http(f"HTTP/1.1 200 OK\n{TYPE}\nContent-Length: {len(IMAGE.manifest)}", IMAGE.manifest),
    "headers nobody knows": http(
        f"HTTP/1.1 200 OK\n{TYPE}\nX-Empty:\nX-\xe9: \xff\nContent-Length: {len(IMAGE.manifest)}",
        IMAGE.manifest,
    ),
}


@pytest.mark.parametrize("answer", GOOD.values(), ids=GOOD)
def test_unusual_http_is_http(answer):
    with answering(answer) as address, client(address) as (source, _):
        assert str(source.resolve().digest) == IMAGE.digest


def test_a_blob_of_http_1_0_is_read_and_resumed_from_the_beginning():
    whole = http("HTTP/1.0 200 OK", BLOB)
    with answering(whole[:-1000], whole) as address, client(address) as (source, slept):
        assert read(source) == BLOB
        assert slept == [0.5]


BAD = {
    "closed within the headers": (b"HTTP/1.1 200 OK\r\nContent-Type: te", TransportError, "in the middle"),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", TransportError, "without an answer"),
    "a status that is no number": (http("HTTP/1.1 abc OK"), TransportError, "without an answer"),
    "a status out of range": (http("HTTP/1.1 999 Odd\nContent-Length: 0"), RegistryError, "answers 999"),
    "a header without end": (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000, TransportError, "without an answer"),
    "headers without end": (
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000, TransportError, "without an answer"
    ),
    "a chunk size that is no number": (
        http("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", b"zz\r\n{}"), TransportError, "in the middle"
    ),
    "no JSON": (http("HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: 5", b"hello"), None, ""),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "error", "says"), BAD.values(), ids=BAD)
def test_malformed_answers_are_errors_of_our_own(answer, error, says):
    with answering(answer) as address, client(address) as (source, _):
        if error is None:  # a document is the business of its reader
            with pytest.raises(InvalidManifest):
                Manifest.from_json(read(source, source.resolve()), IMAGE.media_type)
            return
        with pytest.raises(error, match=says) as caught:
            source.resolve()
    assert type(caught.value) is error
    assert str(caught.value).isprintable()


def drip(head, body=b""):
    """Send `head` at once and then `body` byte by byte, again and again."""

    def answer(connection, _):
        connection.sendall(head)
        while True:
            for position in range(len(body)):
                connection.sendall(body[position : position + 1])
                time.sleep(0.02)  # the server's, so that the client's own clock can be seen to count

    return serving(answer)


@pytest.mark.parametrize(
    ("head", "body", "says"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-Slow: yes\r\n", r"no answer within 0\.2 s"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", r"no answer within 0\.2 s"),
        (http(f"HTTP/1.1 200 OK\n{TYPE}\nContent-Length: 100000"), b"{ }", r"within 0\.6 s"),
        (http("HTTP/1.1 500 Sorry\nContent-Length: 100000"), b"{ }", r"answers 500|within 0\.6 s"),
        (
            http("HTTP/1.1 307 There\nLocation: /x\nContent-Length: 100000"),
            b"{ }",
            r"more than 5|within 0\.6 s",
        ),
    ],
    ids=["headers", "continuations", "a manifest", "an error", "a redirect"],
)
def test_a_drip_has_a_deadline_wherever_it_is(head, body, says):
    timeouts = Timeouts(connect=60, read=0.2, total=0.6)
    started = time.monotonic()
    with (
        drip(head, body) as address,
        client(address, timeouts=timeouts, retries=Retries(attempts=2, backoff=0)) as (source, _),
        pytest.raises((TransportError, RegistryError), match=says),
    ):
        source.resolve()

    assert time.monotonic() - started < 300


# ---- the time for all together


def hasty(seconds, **options):
    return {"limits": evolve(DEFAULT_LIMITS, seconds=seconds), "retries": Retries(attempts=1000), **options}


def test_retries_end_with_the_time_for_all_and_no_wait_outlives_it():
    now = [0.0]

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    slept = []
    with start(Fault.status(429, headers={"Retry-After": "50"}, times=None)) as registry:
        reference = Reference.parse(f"{registry.address}/org/os:v1")
        source = RegistrySource(reference, sleep=sleep, clock=lambda: now[0], **hasty(120))
        with contextlib.closing(source), pytest.raises(LimitExceeded, match="within 120 s") as caught:
            source.resolve()

    assert slept == [50, 50, 20]
    assert (caught.value.limit, caught.value.bound) == ("seconds", 120)
    assert "--timeout" in caught.value.remedy


def test_the_time_for_all_is_shared_by_documents_and_blobs():
    now = [0.0]
    with reading(clock=lambda: now[0], **hasty(100)) as (_, source, _):
        source.resolve()
        now[0] += 60
        stream = source.open(DESCRIPTOR)
        assert stream.read(100)
        now[0] += 60
        with pytest.raises(LimitExceeded, match=str(DESCRIPTOR.digest)):
            stream.read(100)
        with pytest.raises(LimitExceeded):
            source.open(DESCRIPTOR)


@pytest.mark.parametrize(
    "fault", [Fault.stall("*", 600, times=None), Fault.stall("*", 600, after=9, times=None)]
)
def test_a_registry_that_stalls_is_left_when_the_command_says(fault, capsys):
    with start(fault) as registry:
        started = time.monotonic()
        status = cli.main(["ls", "--timeout", "1", f"{registry.address}/org/os:v1"])

    assert (status, time.monotonic() - started < 300) == (3, True)
    assert "--timeout" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "soon", ""])
def test_a_time_that_is_none_is_wrong_use(seconds, capsys):
    assert cli.main(["ls", f"--timeout={seconds}", "127.0.0.1:1/org/os:v1"]) == 2
    assert "expected seconds, more than 0" in capsys.readouterr().err


# ---- what a registry says in words


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("  two\n words ", "two words"),
        ("\x1b[31mred", "\N{REPLACEMENT CHARACTER}[31mred"),
        ("see https://alice:pw@store.test/a/b?X-Signature=1#x now", "see https://store.test/a/b now"),
        ("x" * 5000, "x" * 300),
    ],
)
def test_a_message_is_made_fit_to_be_shown(message, shown):
    with reading(refusing(404, "NAME_UNKNOWN", message)) as (_, source, _), pytest.raises(NotFound) as caught:
        source.resolve()

    assert f"saying {shown!r}" in caught.value.message
    assert caught.value.codes == ("NAME_UNKNOWN",)


@pytest.mark.parametrize(
    "echo", [PASSWORD, f"user alice:{PASSWORD}!", base64.b64encode(f"alice:{PASSWORD}".encode()).decode()]
)
def test_a_message_that_repeats_a_secret_is_not_shown(echo, tmp_path):
    with start(refusing(403, "DENIED", echo), auth=BasicAuth("alice", PASSWORD)) as registry:
        config = write_config(tmp_path, registry.address)
        with client(registry, docker_config=config) as (source, _), pytest.raises(AccessDenied) as caught:
            source.resolve()

    assert "(DENIED)" in str(caught.value)
    assert "saying" not in str(caught.value)


def test_a_token_and_what_it_was_got_for_are_secrets():
    known = Redactor()
    known.learn("Bearer abc.def.ghi")
    known.learn(None, b"grant_type=refresh_token&refresh_token=re%2Ffresh&client_id=cosinspect")

    assert known.fit("you sent abc.def.ghi") == known.fit("and re/fresh") == ""
    assert known.fit("grant_type refresh_token of cosinspect") == "grant_type refresh_token of cosinspect"


def test_what_another_host_says_in_words_is_not_repeated():
    with start(refusing(403, "DENIED", "https://x/?sig=1")) as storage:
        redirect = Fault.redirect(BLOB_PATH, f"http://{storage.address}{{path}}", **STAYS)
        with reading(redirect) as (_, source, _), pytest.raises(RegistryError, match="DENIED") as caught:
            read(source)

    assert "saying" not in str(caught.value)


def warned(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "cosinspect.registry"]


def test_the_registrys_warnings_are_told_once_each(caplog):
    caplog.set_level(logging.WARNING, "cosinspect")
    text = '299 - "this tag goes \\"soon\\"", 110 cache "stale", 299 - "and another"'
    with reading(Fault(fields={"Warning": text}, times=None)) as (registry, source, _):
        read(source, source.resolve())
        read(source)

    assert warned(caplog) == [
        f'http://{registry.address} warns: this tag goes "soon"',
        f"http://{registry.address} warns: and another",
    ]


def test_a_warning_is_shown_by_the_command_unless_it_is_to_be_quiet(capsys):
    with start(Fault(fields={"Warning": '299 - "goes \x1b[2J soon"'}, times=None)) as registry:
        name = f"{registry.address}/org/os:v1"
        assert cli.main(["ls", name]) == 0
        told = capsys.readouterr().err
        assert cli.main(["ls", "--quiet", name]) == 0
        quiet = capsys.readouterr().err

    assert told.startswith(f"cosinspect: warning: http://{registry.address} warns: goes ")
    assert told.count("\n") == 1
    assert told[:-1].isprintable()
    assert quiet == ""


def test_a_registry_that_is_not_there_is_told_by_its_port():
    address = gone()
    with (
        client(address) as (source, slept),
        pytest.raises(TransportError, match="refuses the connection") as caught,
    ):
        source.resolve()

    assert "check the port" in caught.value.remedy
    assert len(slept) == 3


def test_a_manifest_of_another_digest_than_its_descriptor_is_found():
    descriptor = evolve(DESCRIPTOR, digest=Digest.of(b"{}"), size=2, media_type=IMAGE.media_type)
    with (
        reading(Fault.status(200, "*/manifests/*", body=b"[]", headers={"Docker-Content-Digest": None})) as (
            _,
            source,
            _,
        ),
        pytest.raises(DigestMismatch),
    ):
        parse_document(read(source, descriptor), IMAGE.media_type)
