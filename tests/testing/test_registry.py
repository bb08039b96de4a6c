"""The registry for tests, asked over HTTP by http.client and skopeo."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import shutil
import socket
import subprocess
import threading
import time
from urllib.parse import urlencode, urlsplit

import pytest

from cosinspect.testing import (
    BasicAuth,
    Fault,
    ImageBuilder,
    Registry,
    TokenAuth,
    image_index,
)

IMAGE = ImageBuilder().layer({"etc/os-release": "ID=cos\n"}).layer({"etc/motd": "hello\n" * 100}).build()
LAYER = IMAGE.layers[0]
BLOB = IMAGE.blobs[LAYER]
BLOB_PATH = f"/v2/org/os/blobs/{LAYER}"
MANIFEST_PATH = "/v2/org/os/manifests/v1"


@pytest.fixture
def registry():
    with Registry() as registry:
        registry.push(IMAGE, "org/os:v1")
        yield registry


@contextlib.contextmanager
def start(*faults, **options):
    """A registry of its own, holding the image."""
    with Registry(faults=faults, **options) as registry:
        registry.push(IMAGE, "org/os:v1")
        yield registry


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def codes(self):
        return [error["code"] for error in self.json["errors"]]


def ask(registry, path, method="GET", *, headers=None, body=None, chunked=False):
    connection = http.client.HTTPConnection(registry.address, timeout=600)
    try:
        connection.request(method, path, body=body, headers=headers or {}, encode_chunked=chunked)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def test_push_gives_the_name_under_which_the_image_is_served(registry):
    assert registry.push(IMAGE, "a/b:v2") == f"{registry.address}/a/b:v2"
    assert registry.push(IMAGE, "a/b") == f"{registry.address}/a/b@{IMAGE.digest}"
    assert ask(registry, "/v2/a/b/manifests/v2").body == IMAGE.manifest


def test_the_base_endpoint_answers(registry):
    assert ask(registry, "/v2/").status == 200


@pytest.mark.parametrize("reference", ["v1", IMAGE.digest, IMAGE.digest.replace(":", "%3A")])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_manifest_is_served_by_tag_and_by_digest(registry, method, reference):
    answer = ask(registry, f"/v2/org/os/manifests/{reference}", method)

    assert answer.status == 200
    assert answer.headers["Content-Type"] == IMAGE.media_type
    assert answer.headers["Docker-Content-Digest"] == IMAGE.digest
    assert answer.headers["Content-Length"] == str(len(IMAGE.manifest))
    assert answer.body == (IMAGE.manifest if method == "GET" else b"")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_blob_is_served_by_digest(registry, method):
    answer = ask(registry, BLOB_PATH, method)

    assert answer.status == 200
    assert answer.headers["Content-Length"] == str(len(BLOB))
    assert answer.headers["Docker-Content-Digest"] == LAYER
    assert answer.body == (BLOB if method == "GET" else b"")


def test_an_index_brings_its_images_along(registry):
    index = image_index(IMAGE, image_index(IMAGE))
    registry.push(index, "org/multi:v1")

    for digest, media_type in index.manifests.items():
        answer = ask(registry, f"/v2/org/multi/manifests/{digest}")
        assert (media_type, index.blobs[digest]) == (answer.headers["Content-Type"], answer.body)
    assert ask(registry, f"/v2/org/multi/blobs/{LAYER}").body == BLOB


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v2/org/os/manifests/v9", "MANIFEST_UNKNOWN"),
        (f"/v2/other/manifests/{IMAGE.digest}", "MANIFEST_UNKNOWN"),
        (f"/v2/other/blobs/{LAYER}", "BLOB_UNKNOWN"),
        ("/v2/other/tags/list", "NAME_UNKNOWN"),
        ("/nowhere", "NAME_UNKNOWN"),
    ],
)
def test_what_is_not_there_is_404_with_the_specifications_code(registry, path, code):
    answer = ask(registry, path)

    assert (answer.status, answer.codes) == (404, [code])


@pytest.mark.parametrize(
    ("asked", "expected", "content_range"),
    [
        ("bytes=0-9", BLOB[:10], f"bytes 0-9/{len(BLOB)}"),
        ("bytes=10-", BLOB[10:], f"bytes 10-{len(BLOB) - 1}/{len(BLOB)}"),
        ("bytes=-5", BLOB[-5:], f"bytes {len(BLOB) - 5}-{len(BLOB) - 1}/{len(BLOB)}"),
        ("bytes=5-999999", BLOB[5:], f"bytes 5-{len(BLOB) - 1}/{len(BLOB)}"),
    ],
)
def test_a_part_of_a_blob_is_206(registry, asked, expected, content_range):
    answer = ask(registry, BLOB_PATH, headers={"Range": asked})

    assert (answer.status, answer.body) == (206, expected)
    assert answer.headers["Content-Range"] == content_range


@pytest.mark.parametrize("asked", ["bytes=-", "lines=1-2", "bytes=0-1,4-5", "bytes=x-"])
def test_a_range_that_cannot_be_understood_gets_the_whole_blob(registry, asked):
    answer = ask(registry, BLOB_PATH, headers={"Range": asked})

    assert (answer.status, answer.body) == (200, BLOB)


@pytest.mark.parametrize("asked", [f"bytes={len(BLOB)}-", "bytes=9-3", "bytes=-0"])
def test_a_range_with_nothing_in_it_is_416(registry, asked):
    answer = ask(registry, BLOB_PATH, headers={"Range": asked})

    assert answer.status == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(BLOB)}"


def test_a_range_is_given_only_of_the_blob_that_is_meant(registry):
    tag = ask(registry, BLOB_PATH, "HEAD").headers["ETag"]

    same = ask(registry, BLOB_PATH, headers={"Range": "bytes=1-", "If-Range": tag})
    other = ask(registry, BLOB_PATH, headers={"Range": "bytes=1-", "If-Range": '"other"'})

    assert (same.status, other.status) == (206, 200)


def test_a_registry_may_know_no_ranges():
    with start(ranges=False) as registry:
        answer = ask(registry, BLOB_PATH, headers={"Range": "bytes=1-"})

    assert (answer.status, answer.body) == (200, BLOB)


def test_tags_are_listed_in_pages(registry):
    for tag in ("v3", "v2", "latest"):
        registry.push(IMAGE, f"org/os:{tag}")

    first = ask(registry, "/v2/org/os/tags/list?n=3")
    link = first.headers["Link"]
    second = ask(registry, link[1 : link.index(">")])

    assert first.json == {"name": "org/os", "tags": ["latest", "v1", "v2"]}
    assert link.endswith('; rel="next"')
    assert second.json["tags"] == ["v3"]
    assert second.headers["Link"] is None


def signature(subject):
    return (
        ImageBuilder()
        .edit_manifest(lambda manifest: manifest.update(subject=subject, artifactType="test/signature"))
        .annotation("signed", "yes")
        .build()
    )


def test_referrers_are_found_by_their_subject_and_filtered_by_type(registry):
    signed = signature(IMAGE.descriptor())
    registry.push(signed, "org/os")
    registry.push(signature(signed.descriptor()), "org/os")
    path = f"/v2/org/os/referrers/{IMAGE.digest}"

    answer = ask(registry, path)
    chosen = ask(registry, f"{path}?{urlencode({'artifactType': 'test/signature'})}")
    other = ask(registry, f"{path}?artifactType=other")

    assert answer.headers["Content-Type"] == "application/vnd.oci.image.index.v1+json"
    assert answer.json["manifests"] == [
        {
            "mediaType": signed.media_type,
            "digest": signed.digest,
            "size": len(signed.manifest),
            "artifactType": "test/signature",
            "annotations": {"signed": "yes"},
        }
    ]
    assert (chosen.json, chosen.headers["OCI-Filters-Applied"]) == (answer.json, "artifactType")
    assert other.json["manifests"] == []
    assert answer.headers["OCI-Filters-Applied"] is None


def test_a_registry_may_have_no_referrers():
    with start(referrers=False) as registry:
        answer = ask(registry, f"/v2/org/os/referrers/{IMAGE.digest}")

    assert answer.status == 404


def upload(registry, data, *, digest=None, headers=None):
    started = ask(registry, "/v2/new/blobs/uploads/", "POST", headers=headers)
    location = started.headers["Location"]
    ask(registry, location, "PATCH", body=data[:4], headers=headers)
    chunk = ask(registry, location, "PATCH", body=iter([data[4:6], data[6:]]), chunked=True, headers=headers)
    done = ask(registry, f"{location}?digest={digest or sha256(data)}", "PUT", headers=headers)
    return started, chunk, done


def test_a_blob_is_pushed_in_chunks(registry):
    data = b"some bytes of a blob"

    started, chunk, done = upload(registry, data)

    assert [started.status, chunk.status, done.status] == [202, 202, 201]
    assert chunk.headers["Range"] == f"0-{len(data) - 1}"
    assert ask(registry, done.headers["Location"]).body == data
    assert registry.read(f"new@{sha256(data)}") == data


def test_a_blob_is_pushed_in_one_piece_and_mounted_elsewhere(registry):
    digest = sha256(b"whole")

    pushed = ask(registry, f"/v2/one/blobs/uploads/?digest={digest}", "POST", body=b"whole")
    mounted = ask(registry, f"/v2/two/blobs/uploads/?mount={digest}&from=one", "POST")
    absent = ask(registry, f"/v2/two/blobs/uploads/?mount={sha256(b'absent')}&from=one", "POST")

    assert [pushed.status, mounted.status, absent.status] == [201, 201, 202]
    assert registry.read(f"two@{digest}") == b"whole"


def test_chunks_may_have_extensions_and_trailers_and_uploads_must_have_been_started(registry):
    head = b"PATCH /v2/new/blobs/uploads/77 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(registry.address.split(":"), timeout=600) as client:
        client.sendall(head + b"2;x=y\r\nab\r\n1\r\nc\r\n0\r\nTrailer: 1\r\n\r\n")
        response = http.client.HTTPResponse(client)
        response.begin()
        answer = Answer(response)

    assert (answer.status, answer.codes) == (404, ["BLOB_UPLOAD_UNKNOWN"])
    assert registry.requests[-1].body == b"abc"


def test_what_is_pushed_must_be_what_its_digest_says(registry):
    *_, blob = upload(registry, b"some bytes", digest=sha256(b"other"))
    manifest = ask(registry, f"/v2/new/manifests/{sha256(b'other')}", "PUT", body=b"{}")

    assert (blob.status, blob.codes) == (400, ["DIGEST_INVALID"])
    assert (manifest.status, manifest.codes) == (400, ["DIGEST_INVALID"])
    with pytest.raises(KeyError):
        registry.read(f"new@{sha256(b'other')}")


def test_a_pushed_manifest_is_served_with_its_type_and_known_as_a_referrer(registry):
    signed = signature(IMAGE.descriptor())

    done = ask(
        registry,
        "/v2/org/os/manifests/sig",
        "PUT",
        body=signed.manifest,
        headers={"Content-Type": signed.media_type},
    )

    assert (done.status, done.headers["OCI-Subject"]) == (201, IMAGE.digest)
    assert done.headers["Docker-Content-Digest"] == signed.digest
    assert ask(registry, "/v2/org/os/manifests/sig").headers["Content-Type"] == signed.media_type
    assert registry.read("org/os:sig") == signed.manifest
    assert len(ask(registry, f"/v2/org/os/referrers/{IMAGE.digest}").json["manifests"]) == 1


def test_deleting_is_not_offered(registry):
    assert ask(registry, MANIFEST_PATH, "DELETE").status == 405


def test_requests_are_recorded_in_order_with_their_headers(registry):
    ask(registry, f"{BLOB_PATH}?a=b", headers={"Range": "bytes=0-0"})
    ask(registry, MANIFEST_PATH, "HEAD")

    first, second = registry.requests
    assert (first.method, first.path, first.query) == ("GET", BLOB_PATH, {"a": ["b"]})
    assert first.headers["range"] == "bytes=0-0"
    assert (second.method, second.path) == ("HEAD", MANIFEST_PATH)


def test_one_connection_serves_many_requests(registry):
    connection = http.client.HTTPConnection(registry.address, timeout=600)
    for path in (MANIFEST_PATH, BLOB_PATH, "/v2/nowhere", MANIFEST_PATH):
        connection.request("GET", path)
        connection.getresponse().read()
        port = connection.sock.getsockname()
    assert connection.sock.getsockname() == port
    connection.close()


# Authentication.


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    "headers",
    [{}, basic("user", "wrong"), basic("other", "secret"), {"Authorization": "Basic !"}, bearer("secret")],
)
def test_basic_authentication_challenges_all_but_the_right_user(headers):
    with start(auth=BasicAuth("user", "secret")) as registry:
        answer = ask(registry, MANIFEST_PATH, headers=headers)

    assert (answer.status, answer.codes) == (401, ["UNAUTHORIZED"])
    assert answer.headers["WWW-Authenticate"].startswith('Basic realm="')


def test_basic_authentication_lets_the_right_user_in():
    with start(auth=BasicAuth("user", "se:cret")) as registry:
        assert ask(registry, MANIFEST_PATH, headers=basic("user", "se:cret")).status == 200


def challenge(answer):
    """The parameters of a bearer challenge."""
    kind, _, rest = answer.headers["WWW-Authenticate"].partition(" ")
    assert (answer.status, kind) == (401, "Bearer")
    pairs = (part.split("=", 1) for part in rest.split('",'))
    return {key: value.strip('"') for key, value in pairs}


def token(registry, scope="repository:org/os:pull", headers=None):
    path = "/token?" + urlencode({"service": "s", "scope": scope})
    return ask(registry, path, headers=headers)


def test_a_token_is_got_from_where_the_challenge_says_and_lets_in():
    with start(auth=TokenAuth("user", "secret", service="here")) as registry:
        demand = challenge(ask(registry, MANIFEST_PATH))
        realm = urlsplit(demand["realm"])
        query = urlencode({"service": demand["service"], "scope": demand["scope"]})
        given = ask(registry, f"{realm.path}?{query}", headers=basic("user", "secret")).json
        answer = ask(registry, MANIFEST_PATH, headers=bearer(given["token"]))

        assert realm.netloc == registry.address
    assert (demand["service"], demand["scope"]) == ("here", "repository:org/os:pull")
    assert given["expires_in"] == 300
    assert answer.body == IMAGE.manifest


def test_a_token_is_good_for_the_repositories_and_actions_that_it_was_asked_for():
    with start(auth=TokenAuth("user", "secret")) as registry:
        registry.push(IMAGE, "other/os:v1")
        name = token(registry, headers=basic("user", "secret")).json["token"]
        elsewhere = challenge(ask(registry, "/v2/other/os/manifests/v1", headers=bearer(name)))
        pushing = challenge(ask(registry, "/v2/org/os/blobs/uploads/", "POST", headers=bearer(name)))
        both = token(
            registry, "repository:org/os:pull,push repository:other/os:pull", basic("user", "secret")
        ).json["token"]
        allowed = [
            ask(registry, "/v2/other/os/manifests/v1", headers=bearer(both)).status,
            ask(registry, "/v2/org/os/blobs/uploads/", "POST", headers=bearer(both)).status,
        ]

    assert (elsewhere["error"], elsewhere["scope"]) == ("insufficient_scope", "repository:other/os:pull")
    assert (pushing["error"], pushing["scope"]) == ("insufficient_scope", "repository:org/os:pull,push")
    assert allowed == [200, 202]


@pytest.mark.parametrize("headers", [{}, basic("user", "wrong")])
def test_no_token_is_given_to_strangers(headers):
    with start(auth=TokenAuth("user", "secret")) as registry:
        assert token(registry, headers=headers).status == 401


def test_the_anonymous_may_pull_where_they_are_allowed_to_but_not_push():
    with start(auth=TokenAuth("user", "secret", anonymous=True)) as registry:
        name = token(registry, "repository:org/os:pull,push").json["token"]

        assert ask(registry, MANIFEST_PATH).status == 401
        assert ask(registry, MANIFEST_PATH, headers=bearer(name)).status == 200
        assert ask(registry, "/v2/org/os/blobs/uploads/", "POST", headers=bearer(name)).status == 401
        assert token(registry, headers=basic("user", "wrong")).status == 401


def test_a_token_wears_out():
    with start(auth=TokenAuth(anonymous=True, uses=2)) as registry:
        name = token(registry).json["token"]
        statuses = [ask(registry, MANIFEST_PATH, headers=bearer(name)).status for _ in range(2)]
        expired = challenge(ask(registry, MANIFEST_PATH, headers=bearer(name)))
        fresh = token(registry).json["token"]

        assert statuses == [200, 200]
        assert expired["error"] == "invalid_token"
        assert ask(registry, MANIFEST_PATH, headers=bearer(fresh)).status == 200


def test_a_token_expires_with_time():
    now = [1000.0]
    with start(auth=TokenAuth(anonymous=True, seconds=60, clock=lambda: now[0])) as registry:
        given = token(registry).json
        now[0] += 59
        before = ask(registry, MANIFEST_PATH, headers=bearer(given["token"])).status
        now[0] += 1
        after = challenge(ask(registry, MANIFEST_PATH, headers=bearer(given["token"])))

    assert given["expires_in"] == 60
    assert before == 200
    assert after["error"] == "invalid_token"


def post_token(registry, **form):
    body = urlencode({"service": "s", "scope": "repository:org/os:pull", **form})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return ask(registry, "/token", "POST", body=body, headers=headers)


def test_an_identity_token_is_exchanged_by_post():
    with start(auth=TokenAuth("user", "secret", identity_token="identity")) as registry:  # a test's own
        good = post_token(registry, grant_type="refresh_token", refresh_token="identity")  # the same
        bad = post_token(registry, grant_type="refresh_token", refresh_token="other")  # the same
        answer = ask(registry, MANIFEST_PATH, headers=bearer(good.json["access_token"]))

    assert (good.status, bad.status, answer.status) == (200, 401, 200)


def test_user_and_password_are_taken_by_post_too():
    with start(auth=TokenAuth("user", "secret")) as registry:
        good = post_token(registry, grant_type="password", username="user", password="secret")  # the same
        bad = post_token(registry, grant_type="password", username="user", password="wrong")  # the same

    assert (good.status, bad.status) == (200, 401)


def test_a_challenge_may_name_another_realm():
    with start(auth=TokenAuth(realm="http://elsewhere/token")) as registry:
        assert challenge(ask(registry, MANIFEST_PATH))["realm"] == "http://elsewhere/token"


def test_a_registry_without_tokens_has_no_token_endpoint(registry):
    assert token(registry).status == 404


# Faults.


def test_a_status_comes_as_often_as_it_was_told_to():
    fault = Fault.status(503, "*/manifests/*", times=2, headers={"Retry-After": "0"})
    with start(fault) as registry:
        other = ask(registry, BLOB_PATH)
        answers = [ask(registry, MANIFEST_PATH) for _ in range(3)]
        left = registry.unused_faults

    assert other.status == 200
    assert [answer.status for answer in answers] == [503, 503, 200]
    assert answers[0].headers["Retry-After"] == "0"
    assert answers[0].codes == ["UNKNOWN"]
    assert left == ()


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "UNAUTHORIZED"), (403, "DENIED"), (404, "NAME_UNKNOWN"), (429, "TOOMANYREQUESTS")],
)
def test_a_status_brings_the_code_of_the_specification(status, code):
    with start(Fault.status(status)) as registry:
        answer = ask(registry, MANIFEST_PATH)

    assert (answer.status, answer.codes) == (status, [code])


def test_a_status_may_bring_any_body_and_last_for_ever():
    fault = Fault.status(502, body=b"<html>", headers={"Content-Type": "text/html"}, times=None)
    with start(fault) as registry:
        answers = [ask(registry, MANIFEST_PATH) for _ in range(3)]

    assert {(answer.status, answer.body, answer.headers["Content-Type"]) for answer in answers} == {
        (502, b"<html>", "text/html")
    }


def test_faults_are_used_in_order_and_can_be_added():
    with start(Fault.status(500)) as registry:
        registry.inject(Fault.status(502), Fault.status(503, "/v2/"))
        statuses = [ask(registry, MANIFEST_PATH).status for _ in range(3)]
        (left,) = registry.unused_faults

    assert statuses == [500, 502, 200]
    assert left == Fault.status(503, "/v2/")


def test_a_fault_waits_for_its_method():
    with start(Fault.status(500, method="HEAD"), Fault.status(502, method="*")) as registry:
        statuses = [ask(registry, MANIFEST_PATH, method).status for method in ("GET", "GET", "HEAD")]

    assert statuses == [502, 200, 500]


def test_a_mishap_is_chosen_for_requests_that_meet_no_fault():
    seen = []

    def mishap(request):
        seen.append(request.path)
        return Fault.status(418) if request.method == "HEAD" else None

    with start(Fault.status(503), mishap=mishap) as registry:
        statuses = [ask(registry, MANIFEST_PATH, method).status for method in ("GET", "HEAD", "GET", "HEAD")]

    assert statuses == [503, 418, 200, 418]
    assert seen == [MANIFEST_PATH] * 3


def test_a_challenge_uses_up_no_fault():
    with start(Fault.status(500), auth=BasicAuth("u", "p")) as registry:
        statuses = [ask(registry, MANIFEST_PATH, headers=headers).status for headers in ({}, basic("u", "p"))]

    assert statuses == [401, 500]


def test_a_truncated_body_ends_before_its_length():
    with (
        start(Fault.truncate(BLOB_PATH, 10)) as registry,
        pytest.raises(http.client.IncompleteRead) as failed,
    ):
        ask(registry, BLOB_PATH)

    assert failed.value.partial == BLOB[:10]
    assert failed.value.expected == len(BLOB) - 10


def test_a_truncated_body_can_be_resumed():
    with start(Fault.truncate(BLOB_PATH, 10)) as registry:
        with pytest.raises(http.client.IncompleteRead):
            ask(registry, BLOB_PATH)
        rest = ask(registry, BLOB_PATH, headers={"Range": "bytes=10-"})

    assert (rest.status, rest.body) == (206, BLOB[10:])


@pytest.mark.parametrize("at", [0, 20, len(BLOB) - 1, -1])
def test_a_corrupt_body_differs_in_one_byte(at):
    with start(Fault.corrupt(BLOB_PATH, at)) as registry:
        answer = ask(registry, BLOB_PATH)
        whole = ask(registry, BLOB_PATH)

    differing = [
        place for place, pair in enumerate(zip(BLOB, answer.body, strict=True)) if pair[0] != pair[1]
    ]
    assert differing == [at % len(BLOB)]
    assert whole.body == BLOB


def test_corruption_lies_at_an_offset_of_the_blob_and_not_of_the_range():
    with start(Fault.corrupt(BLOB_PATH, 12, times=None)) as registry:
        before = ask(registry, BLOB_PATH, headers={"Range": "bytes=0-11"}).body
        around = ask(registry, BLOB_PATH, headers={"Range": "bytes=12-12"}).body

    assert before == BLOB[:12]
    assert around == bytes([BLOB[12] ^ 0xFF])


def test_a_dropped_connection_brings_no_answer():
    with start(Fault.drop(MANIFEST_PATH)) as registry:
        with pytest.raises(http.client.RemoteDisconnected):
            ask(registry, MANIFEST_PATH)
        assert ask(registry, MANIFEST_PATH).status == 200


def test_a_stall_delays_the_answer():
    with start(Fault.stall(MANIFEST_PATH, 0.05)) as registry:
        started = time.monotonic()
        answer = ask(registry, MANIFEST_PATH)

    assert time.monotonic() - started >= 0.05
    assert answer.body == IMAGE.manifest


def test_a_stall_in_the_body_ends_with_the_rest_of_it():
    with start(Fault.stall(BLOB_PATH, 0.01, after=10)) as registry:
        assert ask(registry, BLOB_PATH).body == BLOB


def test_closing_ends_a_stall_and_leaves_no_thread_behind():
    before = set(threading.enumerate())
    with start(Fault.stall(BLOB_PATH, 3600, after=10)) as registry:
        connection = http.client.HTTPConnection(registry.address, timeout=600)
        connection.request("GET", BLOB_PATH)
        response = connection.getresponse()
        first = response.read(10)
        registry.close()
        with pytest.raises(http.client.IncompleteRead):
            response.read()
        connection.close()

    assert first == BLOB[:10]
    assert set(threading.enumerate()) == before


def test_closing_does_not_wait_for_idle_connections():
    with start() as registry:
        idle = socket.create_connection(registry.address.split(":"), timeout=600)
        connection = http.client.HTTPConnection(registry.address, timeout=600)
        connection.request("GET", MANIFEST_PATH)
        connection.getresponse().read()
        started = time.monotonic()
        registry.close()
        registry.close()

    assert time.monotonic() - started < 300
    assert idle.recv(1) == b""
    idle.close()
    connection.close()


def test_a_redirect_sends_the_client_elsewhere():
    with (
        start() as storage,
        start(Fault.redirect(BLOB_PATH, f"http://{storage.address}{{path}}")) as registry,
    ):
        answer = ask(registry, BLOB_PATH)
        target = urlsplit(answer.headers["Location"])

        assert (answer.status, answer.body) == (307, b"")
        assert target.netloc == storage.address
        assert ask(storage, target.path).body == BLOB


def test_headers_can_be_other_ones_or_missing():
    with start(
        Fault.content_type(MANIFEST_PATH, "text/plain"),
        Fault.header(MANIFEST_PATH, "docker-content-digest", None),
        Fault.header(BLOB_PATH, "Content-Length", None),
        Fault.header(BLOB_PATH, "Content-Encoding", "gzip"),
    ) as registry:
        plain, bare = ask(registry, MANIFEST_PATH), ask(registry, MANIFEST_PATH)
        endless, encoded = ask(registry, BLOB_PATH), ask(registry, BLOB_PATH)

    assert (plain.headers["Content-Type"], plain.body) == ("text/plain", IMAGE.manifest)
    assert (bare.headers["Docker-Content-Digest"], bare.body) == (None, IMAGE.manifest)
    assert (endless.headers["Content-Length"], endless.body) == (None, BLOB)
    assert (encoded.headers["Content-Encoding"], encoded.body) == ("gzip", BLOB)


def test_a_swapped_body_keeps_the_digest_and_type():
    with start(Fault.swap(MANIFEST_PATH, b"{}")) as registry:
        answer = ask(registry, MANIFEST_PATH)

    assert answer.body == b"{}"
    assert answer.headers["Docker-Content-Digest"] == IMAGE.digest
    assert answer.headers["Content-Type"] == IMAGE.media_type


def test_a_status_answers_a_range_too():
    with start(Fault.status(200, BLOB_PATH, body=b"whole")) as registry:
        answer = ask(registry, BLOB_PATH, headers={"Range": "bytes=1-2"})

    assert (answer.status, answer.body) == (200, b"whole")


def test_too_much_is_sent_behind_the_right_bytes():
    with start(Fault.oversend(BLOB_PATH, b"more")) as registry:
        assert ask(registry, BLOB_PATH).body == BLOB + b"more"


def test_blobs_that_lie_are_served_under_the_digest_that_they_do_not_have():
    with start() as registry:
        registry.push(IMAGE.replace_blob(LAYER, b"lie").replace_blob(IMAGE.layers[1], None), "bad/os:v1")

        assert ask(registry, f"/v2/bad/os/blobs/{LAYER}").body == b"lie"
        assert ask(registry, f"/v2/bad/os/blobs/{IMAGE.layers[1]}").status == 404


# Lifetime.


def test_nothing_is_printed_whatever_a_client_does(capfd):
    with start() as registry:
        address = registry.address.split(":")
        for data in (
            b"",
            b"\x16\x03\x01\n",
            b"GET /v2/ HTTP/1.1\r\n",
            b"POST /v2/x HTTP/1.1\r\nContent-Length: 9\r\n\r\n",
        ):
            with socket.create_connection(address, timeout=600) as client:
                client.sendall(data)
        with socket.create_connection(address, timeout=600) as client:
            client.sendall(
                b"PATCH /v2/x/blobs/uploads/1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"
            )
        ask(registry, "/v2/")

    assert capfd.readouterr() == ("", "")


def test_a_registry_has_no_address_before_its_block_and_serves_once():
    registry = Registry()
    with pytest.raises(RuntimeError, match="with"):
        _ = registry.address

    with registry:
        pass

    with pytest.raises(RuntimeError, match="once"):
        registry.__enter__()


def test_many_clients_are_served_side_by_side(registry):
    bodies = []
    clients = [
        threading.Thread(target=lambda: bodies.append(ask(registry, BLOB_PATH).body)) for _ in range(32)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()

    assert bodies == [BLOB] * 32


# Judged by skopeo.

needs_skopeo = pytest.mark.skipif(not shutil.which("skopeo"), reason="skopeo is not installed")


def skopeo(*arguments):
    command = ["skopeo", "--insecure-policy", *arguments]
    return subprocess.run(command, check=True, capture_output=True, timeout=600).stdout


@pytest.mark.compat
@needs_skopeo
def test_skopeo_pulls_an_index_without_changing_a_byte(tmp_path):
    index = image_index(IMAGE, ImageBuilder(platform="linux/arm64").layer({"f": "x"}).build())
    with Registry() as registry:
        name = registry.push(index, "org/os:v1")
        skopeo("copy", "--all", "--src-tls-verify=false", f"docker://{name}", f"dir:{tmp_path}/d")
    index.write_directory(tmp_path / "ours")

    theirs = {path.name: path.read_bytes() for path in (tmp_path / "d").iterdir()}
    assert theirs == {path.name: path.read_bytes() for path in (tmp_path / "ours").iterdir()}


@pytest.mark.compat
@needs_skopeo
@pytest.mark.parametrize("family", ["oci", "docker"])
def test_skopeo_pushes_and_pulls_what_it_was_given(tmp_path, family):
    image = ImageBuilder(media_types=family).layer({"f": "x"}).layer({"g": "y"}).build()
    index = image_index(image, media_types=family)
    source = index.write_directory(tmp_path / "source")
    with Registry() as registry:
        target = f"docker://{registry.address}/new/os:v1"
        skopeo("copy", "--all", "--preserve-digests", "--dest-tls-verify=false", source, target)
        seen = json.loads(skopeo("inspect", "--tls-verify=false", target))

        assert registry.read("new/os:v1") == index.manifest
        assert {digest: registry.read(f"new/os@{digest}") for digest in index.blobs} == index.blobs
    assert seen["Digest"] == index.digest
    assert seen["RepoTags"] == ["v1"]
    assert seen["Layers"] == list(image.layers)


@pytest.mark.compat
@needs_skopeo
@pytest.mark.parametrize(
    "auth", [BasicAuth("user", "secret"), TokenAuth("user", "secret"), TokenAuth("user", "secret", uses=2)]
)
def test_skopeo_pushes_and_pulls_with_credentials(tmp_path, auth):
    source = IMAGE.write_layout(tmp_path / "layout", "v1")
    with Registry(auth=auth) as registry:
        name = f"docker://{registry.address}/new/os:v1"
        if not getattr(auth, "uses", None):
            skopeo("copy", "--dest-tls-verify=false", "--dest-creds=user:secret", source, name)
        registry.push(IMAGE, "new/os:v1")
        raw = skopeo("inspect", "--raw", "--tls-verify=false", "--creds=user:secret", name)
        with pytest.raises(subprocess.CalledProcessError):
            skopeo("inspect", "--raw", "--tls-verify=false", "--creds=user:wrong", name)

    assert raw == IMAGE.manifest


@pytest.mark.compat
@needs_skopeo
def test_skopeo_pulls_with_an_anonymous_token(tmp_path):
    with start(auth=TokenAuth(anonymous=True)) as registry:
        name = f"docker://{registry.address}/org/os:v1"
        skopeo("copy", "--src-tls-verify=false", "--src-no-creds", name, f"dir:{tmp_path}/d")

    assert (tmp_path / "d/manifest.json").read_bytes() == IMAGE.manifest


@pytest.mark.compat
@needs_skopeo
@pytest.mark.parametrize(
    "fault", [Fault.corrupt(BLOB_PATH, 20, times=None), Fault.swap("*/manifests/*", b"{}", times=None)]
)
def test_skopeo_refuses_what_a_fault_has_spoiled(tmp_path, fault):
    with start(fault) as registry:
        name = f"docker://{registry.address}/org/os@{IMAGE.digest}"
        with pytest.raises(subprocess.CalledProcessError) as failed:
            skopeo("copy", "--src-tls-verify=false", name, f"dir:{tmp_path}/d")

    assert b"digest" in failed.value.stderr.lower()
