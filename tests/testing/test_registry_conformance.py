"""The registry for tests, held to distribution-spec 1.1 section by section, and by other clients than ours.

`test_the_specifications_own_suite_finds_nothing_wrong` runs the suite that registries are certified with; it is marked
`modules`, for Go has to download it first.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from urllib.parse import urljoin

import pytest
import requests

from cosinspect.testing import BasicAuth, ImageBuilder, Registry, TokenAuth, image_index

IMAGE = ImageBuilder().layer({"etc/os-release": "ID=cos\n"}).layer({"etc/motd": "hello\n" * 100}).build()
LAYER = IMAGE.layers[0]
ABSENT = f"sha256:{'0' * 64}"
CHUNKS = (b"first ", b"second ", b"third")
WHOLE = b"".join(CHUNKS)

SUITE = "github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111"
ORAS = "oras.land/oras/cmd/oras@v1.3.6"


def digest_of(data, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


@pytest.fixture
def ask():
    """Ask a registry that has the image as org/os:v1."""
    with Registry() as registry, requests.Session() as session:
        registry.push(IMAGE, "org/os:v1")

        def send(method, path, **options):
            url = urljoin(f"http://{registry.address}/", path)
            return session.request(method, url, timeout=600, **options)

        yield send


def codes(answer):
    return [error["code"] for error in answer.json()["errors"]]


# ---- Pull


def test_end_1_the_base_endpoint_says_that_this_is_a_registry(ask):
    assert ask("GET", "/v2/").status_code == 200


@pytest.mark.parametrize("reference", ["v1", IMAGE.digest])
def test_end_3_pulling_manifests(ask, reference):
    """A 200 with the bytes as they were pushed; `Content-Type` is the type that they were pushed with."""
    answer = ask("GET", f"/v2/org/os/manifests/{reference}", headers={"Accept": IMAGE.media_type})

    assert (answer.status_code, answer.content) == (200, IMAGE.manifest)
    assert answer.headers["Content-Type"] == json.loads(IMAGE.manifest)["mediaType"]
    assert answer.headers["Docker-Content-Digest"] == IMAGE.digest


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("manifests/absent", "MANIFEST_UNKNOWN"),
        (f"manifests/{ABSENT}", "MANIFEST_UNKNOWN"),
        (f"blobs/{ABSENT}", "BLOB_UNKNOWN"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_end_2_and_3_what_is_not_there_is_404(ask, method, path, code):
    answer = ask(method, f"/v2/org/os/{path}")

    assert answer.status_code == 404
    assert method == "HEAD" or codes(answer) == [code]


def test_end_2_pulling_blobs(ask):
    answer = ask("GET", f"/v2/org/os/blobs/{LAYER}")

    assert answer.status_code == 200
    assert digest_of(answer.content) == answer.headers["Docker-Content-Digest"] == LAYER


@pytest.mark.parametrize("path", [f"blobs/{LAYER}", "manifests/v1", f"manifests/{IMAGE.digest}"])
def test_checking_if_content_exists_in_the_registry(ask, path):
    """HEAD gives the headers of GET, `Content-Length` among them, and no body."""
    whole, head = ask("GET", f"/v2/org/os/{path}"), ask("HEAD", f"/v2/org/os/{path}")

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(whole.content))
    assert head.headers["Docker-Content-Digest"] == whole.headers["Docker-Content-Digest"]


def test_pulling_a_part_of_a_blob_follows_rfc_9110(ask):
    """14.2: 206 with what was asked for, and 416 (15.5.17) where there is nothing of it."""
    whole = ask("GET", f"/v2/org/os/blobs/{LAYER}").content
    part = ask("GET", f"/v2/org/os/blobs/{LAYER}", headers={"Range": "bytes=2-5"})
    none = ask("GET", f"/v2/org/os/blobs/{LAYER}", headers={"Range": f"bytes={len(whole)}-"})

    assert (part.status_code, part.content) == (206, whole[2:6])
    assert part.headers["Content-Range"] == f"bytes 2-5/{len(whole)}"
    assert (none.status_code, none.headers["Content-Range"]) == (416, f"bytes */{len(whole)}")


# ---- Push


def opened(ask):
    answer = ask("POST", "/v2/new/os/blobs/uploads/", headers={"Content-Length": "0"})
    assert answer.status_code == 202
    return answer.headers["Location"]


def finished(ask, location, whole, **options):
    separator = "&" if "?" in location else "?"
    return ask("PUT", f"{location}{separator}digest={digest_of(whole)}", **options)


def stored(ask, answer, data):
    """201, a `Location` that the blob can be pulled from, and the blob."""
    assert answer.status_code == 201
    return ask("GET", answer.headers["Location"]).content == data


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_end_4b_pushing_a_blob_by_a_single_post(ask, algorithm):
    path = f"/v2/new/os/blobs/uploads/?digest={digest_of(WHOLE, algorithm)}"

    assert stored(ask, ask("POST", path, data=WHOLE), WHOLE)


def test_end_4a_and_6_pushing_a_blob_by_post_and_put(ask):
    assert stored(ask, finished(ask, opened(ask), WHOLE, data=WHOLE), WHOLE)


@pytest.mark.parametrize("last_by", ["PATCH", "PUT"])
def test_end_5_pushing_a_blob_in_chunks(ask, last_by):
    """Each 202 has the `Location` for the next chunk and the `Range` of all so far."""
    location, at = opened(ask), 0
    for chunk in CHUNKS[: -1 if last_by == "PUT" else None]:
        headers = {"Content-Range": f"{at}-{at + len(chunk) - 1}", "Content-Type": "application/octet-stream"}
        answer = ask("PATCH", location, data=chunk, headers=headers)
        at += len(chunk)
        assert (answer.status_code, answer.headers["Range"]) == (202, f"0-{at - 1}")
        location = answer.headers["Location"]
    options = {}
    if last_by == "PUT":
        options = {"data": CHUNKS[-1], "headers": {"Content-Range": f"{at}-{len(WHOLE) - 1}"}}

    assert stored(ask, finished(ask, location, WHOLE, **options), WHOLE)


@pytest.mark.parametrize("span", ["3-8", "99-104", "0-4", "x"])
def test_a_chunk_out_of_order_is_416_and_the_upload_goes_on_from_its_state(ask, span):
    location = opened(ask)
    ask("PATCH", location, data=CHUNKS[0], headers={"Content-Range": f"0-{len(CHUNKS[0]) - 1}"})
    refused = ask("PATCH", location, data=CHUNKS[1], headers={"Content-Range": span})
    state = ask("GET", location)

    assert refused.status_code == 416
    assert (state.status_code, state.headers["Range"]) == (204, f"0-{len(CHUNKS[0]) - 1}")
    rest = b"".join(CHUNKS[1:])
    headers = {"Content-Range": f"{len(CHUNKS[0])}-{len(WHOLE) - 1}"}
    ask("PATCH", state.headers["Location"], data=rest, headers=headers)
    assert stored(ask, finished(ask, location, WHOLE), WHOLE)


def test_end_14_an_upload_can_be_cancelled(ask):
    location = opened(ask)

    assert ask("DELETE", location).status_code == 204
    assert codes(ask("PATCH", location, data=b"x")) == ["BLOB_UPLOAD_UNKNOWN"]


def test_end_11_mounting_a_blob_from_another_repository(ask):
    """201 if it could be mounted, and 202 with an upload if not."""
    mounted = ask("POST", f"/v2/new/os/blobs/uploads/?mount={LAYER}&from=org/os")
    absent = ask("POST", f"/v2/new/os/blobs/uploads/?mount={ABSENT}&from=org/os")

    assert stored(ask, mounted, IMAGE.blobs[LAYER])
    assert (absent.status_code, "Location" in absent.headers) == (202, True)


@pytest.mark.parametrize("reference", ["v1", IMAGE.digest])
def test_end_7_pushing_manifests(ask, reference):
    headers = {"Content-Type": IMAGE.media_type}
    answer = ask("PUT", f"/v2/new/os/manifests/{reference}", data=IMAGE.manifest, headers=headers)

    assert stored(ask, answer, IMAGE.manifest)
    assert answer.headers["Docker-Content-Digest"] == IMAGE.digest


@pytest.mark.parametrize("path", [f"manifests/{ABSENT}", "manifests/sha256:short"])
def test_a_manifest_must_be_of_its_digest(ask, path):
    answer = ask("PUT", f"/v2/new/os/{path}", data=b"{}", headers={"Content-Type": IMAGE.media_type})

    assert (answer.status_code, codes(answer)) == (400, ["DIGEST_INVALID"])


def test_a_manifest_with_a_subject_is_acknowledged_by_its_digest(ask):
    manifest = {**json.loads(IMAGE.manifest), "subject": IMAGE.descriptor()}
    headers = {"Content-Type": IMAGE.media_type}
    answer = ask("PUT", "/v2/org/os/manifests/sig", data=json.dumps(manifest), headers=headers)

    assert (answer.status_code, answer.headers["OCI-Subject"]) == (201, IMAGE.digest)


# ---- Content discovery


def test_end_8_listing_tags_in_pages(ask):
    """In lexical order; `n=0` is an empty list without `Link`; `last` is left out; `Link` leads to the rest."""
    for tag in ("b", "a", "c"):
        ask(
            "PUT",
            f"/v2/org/os/manifests/{tag}",
            data=IMAGE.manifest,
            headers={"Content-Type": IMAGE.media_type},
        )
    whole = ask("GET", "/v2/org/os/tags/list")
    none = ask("GET", "/v2/org/os/tags/list?n=0")
    found, path = [], "/v2/org/os/tags/list?n=2"
    while path:
        page = ask("GET", path)
        assert len(page.json()["tags"]) <= 2
        found += page.json()["tags"]
        path = page.links.get("next", {}).get("url")

    assert whole.json() == {"name": "org/os", "tags": ["a", "b", "c", "v1"]}
    assert (none.json()["tags"], none.links) == ([], {})
    assert found == ["a", "b", "c", "v1"]
    assert ask("GET", "/v2/org/os/tags/list?last=b").json()["tags"] == ["c", "v1"]
    assert codes(ask("GET", "/v2/org/absent/tags/list")) == ["NAME_UNKNOWN"]
    assert ask("GET", "/v2/org/os/tags/list?n=-1").status_code == 400


def test_end_12_listing_referrers(ask):
    """An index, empty where nothing refers to the digest, and 400 where it is none."""
    path = f"/v2/org/os/referrers/{IMAGE.digest}"
    empty = ask("GET", path)
    for kind in ("test/a", "test/b"):
        manifest = {**json.loads(IMAGE.manifest), "subject": IMAGE.descriptor(), "artifactType": kind}
        headers = {"Content-Type": IMAGE.media_type}
        ask("PUT", f"/v2/org/os/manifests/{kind[-1]}", data=json.dumps(manifest), headers=headers)
    both, one = ask("GET", path), ask("GET", path, params={"artifactType": "test/b"})

    assert (empty.status_code, empty.json()["manifests"]) == (200, [])
    assert (
        empty.headers["Content-Type"]
        == empty.json()["mediaType"]
        == "application/vnd.oci.image.index.v1+json"
    )
    assert {item["artifactType"] for item in both.json()["manifests"]} == {"test/a", "test/b"}
    assert [item["artifactType"] for item in one.json()["manifests"]] == ["test/b"]
    assert one.headers["OCI-Filters-Applied"] == "artifactType"
    assert ask("GET", "/v2/org/os/referrers/no-digest").status_code == 400


# ---- Content management


@pytest.mark.parametrize("path", ["manifests/v1", f"manifests/{IMAGE.digest}", f"blobs/{LAYER}"])
def test_end_9_and_10_deleting_is_refused_as_a_registry_without_it_must(ask, path):
    assert ask("DELETE", f"/v2/org/os/{path}").status_code in (400, 405)
    assert ask("GET", f"/v2/org/os/{path}").status_code == 200


def test_error_codes(ask):
    """Uppercase words, each with a message."""
    for answer in (
        ask("GET", "/v2/org/os/manifests/absent"),
        ask("PUT", "/v2/a/manifests/sha256:x", data=b"{}"),
    ):
        for error in answer.json()["errors"]:
            assert re.fullmatch(r"[A-Z_]+", error["code"])
            assert error["message"]


# ---- other clients


@pytest.mark.compat
@pytest.mark.parametrize("auth", [None, BasicAuth("user", "secret"), TokenAuth("user", "secret")])
def test_skopeo_copies_from_one_registry_to_another(auth):
    """Pushes to it and pulls from it, an index with all its images, by every kind of authentication."""
    if not shutil.which("skopeo"):
        pytest.skip("skopeo is not installed")
    index = image_index(IMAGE, ImageBuilder(platform="linux/arm64").layer({"f": "x"}).build())
    with Registry(auth=auth) as source, Registry(auth=auth) as target:
        credentials = ["--src-creds=user:secret", "--dest-creds=user:secret"] if auth else []
        command = ["skopeo", "--insecure-policy", "copy", "--all", *credentials]
        plain = ["--src-tls-verify=false", "--dest-tls-verify=false"]
        names = [f"docker://{source.push(index, 'org/os:v1')}", f"docker://{target.address}/new/os:v2"]
        subprocess.run([*command, *plain, *names], check=True, capture_output=True, timeout=600)

        assert {digest: target.read(f"new/os@{digest}") for digest in index.blobs} == index.blobs
        assert target.read("new/os:v2") == index.manifest


def installed(package, directory):
    environment = {**os.environ, "GOBIN": str(directory), "GOFLAGS": "-mod=mod"}
    subprocess.run(["go", "install", package], env=environment, check=True, capture_output=True, timeout=600)
    return directory / package.partition("@")[0].rpartition("/")[2]


@pytest.mark.modules
def test_the_specifications_own_suite_finds_nothing_wrong(tmp_path):
    program = installed(SUITE, tmp_path)
    with Registry() as registry:
        settings = {
            "OCI_REGISTRY": registry.address,
            "OCI_TLS": "disabled",
            "OCI_VERSION": "1.1",
            "OCI_RESULTS_DIR": str(tmp_path / "results"),
            "OCI_API_BLOBS_UPLOAD_CANCEL": "true",
            "OCI_API_BLOBS_DELETE": "false",
            "OCI_API_MANIFESTS_DELETE": "false",
            "OCI_API_TAGS_DELETE": "false",
        }
        done = subprocess.run(
            [program],
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    passed = int(re.search(r"Pass\.+: +([0-9]+)", done.stdout)[1])
    assert passed > 400
    assert re.search(r"FAIL\.+: +0$", done.stdout, re.MULTILINE)


@pytest.mark.modules
@pytest.mark.parametrize("auth", [None, BasicAuth("user", "secret"), TokenAuth("user", "secret")])
def test_oras_pushes_finds_and_pulls(tmp_path, auth):
    program = installed(ORAS, tmp_path / "bin")
    (tmp_path / "file.txt").write_text("hello\n")
    (tmp_path / "signature").write_text("signed\n")
    credentials = ["--username", "user", "--password", "secret"] if auth else []

    def oras(word, *arguments):
        command = [program, *word.split(), "--plain-http", *credentials, *arguments]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path)},
            check=True,
            capture_output=True,
            timeout=600,
        )
        return done.stdout

    with Registry(auth=auth) as registry:
        name = f"{registry.address}/org/artifact:v1"
        oras("push", "--artifact-type", "test/thing", name, "file.txt")
        oras("attach", "--artifact-type", "test/signature", name, "signature")
        found = json.loads(oras("discover", "--format", "json", name))
        oras("pull", "-o", "out", name)
        tags = oras("repo tags", f"{registry.address}/org/artifact").split()

    assert (tmp_path / "out/file.txt").read_text() == "hello\n"
    assert "test/signature" in json.dumps(found)
    assert tags == [b"v1"]
