"""Tags and referrers: by the API, by the tag that stands in for it, on many pages, and from registries that lie."""

import json

import pytest
from attrs import evolve

from cosinspect.errors import InvalidManifest, LimitExceeded, NotFound, RegistryError, TransportError
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.oci.documents import OCI_INDEX, Digest
from cosinspect.oci.reference import Reference
from cosinspect.testing import Fault, ImageBuilder, TokenAuth
from registry_client import IMAGE, PASSWORD, client, paths, reading, start, write_config

SUBJECT = Digest.parse(IMAGE.digest)
TAG_PATH = f"/v2/org/os/manifests/sha256-{SUBJECT.encoded}"
API_PATH = f"/v2/org/os/referrers/{SUBJECT}"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SBOM = "application/spdx+json"


def referrer(kind, note):
    """An image that names IMAGE as its subject."""

    def refer(manifest):
        subject = {"mediaType": IMAGE.media_type, "digest": IMAGE.digest, "size": len(IMAGE.manifest)}
        manifest.update({"artifactType": kind, "subject": subject, "annotations": {"note": note}})

    return ImageBuilder().layer({"x": note}).edit_manifest(refer).build()


def index(*entries):
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)}).encode()


def entry(image, kind):
    return {
        "mediaType": image.media_type, "digest": image.digest, "size": len(image.manifest), "artifactType": kind,
    }  # fmt: skip


ONE, TWO = referrer(BUNDLE, "one"), referrer(SBOM, "two")


@pytest.mark.parametrize("api", [True, False], ids=["api", "tag"])
def test_referrers_are_found_with_and_without_the_api(api):
    faults = () if api else (Fault.swap(TAG_PATH, index(entry(ONE, BUNDLE), entry(TWO, SBOM)), times=None),)
    with start(*faults, referrers=api) as registry:
        registry.push(ONE, "org/os")
        registry.push(TWO, "org/os")
        if not api:
            registry.push(IMAGE, f"org/os:sha256-{SUBJECT.encoded}")
        with client(registry) as (source, _):
            assert {item.digest for item in source.referrers(SUBJECT)} == {
                Digest.parse(ONE.digest),
                Digest.parse(TWO.digest),
            }
            (only,) = source.referrers(SUBJECT, BUNDLE)
        assert only.digest == Digest.parse(ONE.digest)
        assert only.artifact_type == BUNDLE
        assert only.size == len(ONE.manifest)


def test_annotations_come_along():
    with start() as registry:
        registry.push(ONE, "org/os")
        with client(registry) as (source, _):
            assert source.referrers(SUBJECT)[0].annotations == {"note": "one"}


def test_what_nothing_refers_to_has_none():
    with reading() as (registry, source, _):
        assert source.referrers(SUBJECT) == ()
        assert paths(registry) == [API_PATH]


@pytest.mark.parametrize("status", [400, 404, 405, 406])
def test_a_registry_without_the_api_and_without_the_tag_has_none(status):
    with reading(Fault.status(status, API_PATH)) as (registry, source, _):
        assert source.referrers(SUBJECT) == ()
        assert paths(registry) == [API_PATH, TAG_PATH]


def test_a_filter_that_the_registry_ignores_is_applied():
    with reading(Fault.swap(API_PATH, index(entry(ONE, BUNDLE), entry(TWO, SBOM)))) as (_, source, _slept):
        assert [item.artifact_type for item in source.referrers(SUBJECT, SBOM)] == [SBOM]


def test_the_type_is_asked_for_as_it_is_written():
    with reading() as (registry, source, _):
        source.referrers(SUBJECT, SBOM)
        assert registry.requests[-1].query == {"artifactType": [SBOM]}


def test_referrers_come_on_several_pages():
    link = f'<{API_PATH}?page=2&x="y">; rel="next"'.replace('"y"', "y")
    first = Fault(path=API_PATH, content=index(entry(ONE, BUNDLE)), fields={"Link": link})
    second = Fault.swap(API_PATH, index(entry(TWO, SBOM)))
    with reading(first, second) as (registry, source, _):
        assert len(source.referrers(SUBJECT)) == 2
        assert [request.query for request in registry.requests] == [{}, {"page": ["2"], "x": ["y"]}]


def test_a_later_page_that_is_missing_is_no_missing_api():
    """Else what the second page lists would silently be nothing."""
    first = Fault(path=API_PATH, content=index(), fields={"Link": f'<{API_PATH}?page=2>; rel="next"'})
    with reading(first, Fault.status(404, API_PATH)) as (_, source, _slept), pytest.raises(NotFound):
        source.referrers(SUBJECT)


def test_trouble_is_not_taken_for_a_missing_api():
    with (
        reading(Fault.status(500, API_PATH, times=None)) as (_, source, _slept),
        pytest.raises(RegistryError),
    ):
        source.referrers(SUBJECT)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"schemaVersion":2,"manifests":[{"digest":1}]}'])
def test_a_list_of_referrers_that_is_none_is_refused(body):
    with reading(Fault.swap(API_PATH, body)) as (_, source, _slept), pytest.raises(InvalidManifest):
        source.referrers(SUBJECT)


def test_tags_are_listed_page_by_page():
    with start() as registry:
        expected = sorted(["v1", *(f"v{number}" for number in range(2, 8))])
        for tag in expected:
            registry.push(IMAGE, f"org/os:{tag}")
        # A registry behind a proxy may call itself by a name that nobody outside knows.
        link = '<http://inside.invalid:5000/v2/org/os/tags/list?n=3&last=v3>; rel="next"'
        registry.inject(Fault(content=b'{"tags":["v1","v2","v3"]}', fields={"Link": link}))
        with client(registry) as (source, _):
            assert source.tags() == tuple(expected)
        assert [request.query for request in registry.requests] == [
            {"n": ["1000"]},
            {"n": ["3"], "last": ["v3"]},
            {"n": ["3"], "last": ["v6"]},
        ]


def test_no_repository_has_no_tags():
    with reading(name="org/none:v1") as (_, source, _slept), pytest.raises(NotFound, match="NAME_UNKNOWN"):
        source.tags()


@pytest.mark.parametrize("body", [b"", b"[]", b'{"tags":[1]}', b'{"tags":"v1"}', b"\xff", b"[" * 20_000])
def test_a_list_of_tags_that_is_none_is_refused(body):
    with (
        reading(Fault.swap("*/tags/list", body)) as (_, source, _slept),
        pytest.raises(TransportError, match="expected a list of tags"),
    ):
        source.tags()


def test_what_is_no_tag_is_left_out():
    body = json.dumps({"tags": ["v1", "../../x", "", "v2\n", "v1", "-x", "a" * 129]}).encode()
    with reading(Fault.swap("*/tags/list", body)) as (_, source, _slept):
        assert source.tags() == ("v1",)


def test_null_is_an_empty_list():
    with reading(Fault.swap("*/tags/list", b'{"name":"org/os","tags":null}')) as (_, source, _slept):
        assert source.tags() == ()


@pytest.mark.parametrize(
    "link",
    [
        '<https://elsewhere.invalid/v2/other/tags/list?last=x>; rel="next"',
        '</v2/org/other/tags/list?last=x>; rel="next"',
        '<https://[/v2/org/os/tags/list?last=x>; rel="next"',
        '</v2/org/os/tags/list>; rel="next"',
        "</v2/org/os/tags/list?last=\u00e4>; rel=next",
    ],
)
def test_a_next_page_somewhere_else_is_refused(link):
    with (
        reading(Fault.header("*/tags/list", "Link", link)) as (registry, source, _),
        pytest.raises(TransportError, match="somewhere else"),
    ):
        source.tags()
    assert len(registry.requests) == 1


@pytest.mark.parametrize("link", ["junk", "<x", "; rel=next"])
def test_a_link_that_cannot_be_read_does_not_end_the_list(link):
    """go-containerregistry fails at these, too: a list that ends there would lack what follows."""
    with (
        reading(Fault.header("*/tags/list", "Link", link)) as (_, source, _slept),
        pytest.raises(TransportError),
    ):
        source.tags()


@pytest.mark.parametrize("link", ["", '</v2/org/os/tags/list?last=x>; rel="prev"'])
def test_other_links_are_no_next_page(link):
    with reading(Fault.header("*/tags/list", "Link", link)) as (registry, source, _):
        assert source.tags() == ("v1",)
        assert len(registry.requests) == 1


def test_a_page_that_follows_itself_ends():
    fault = Fault.header("*/tags/list", "Link", '</v2/org/os/tags/list?n=1000>; rel="next"', times=None)
    with reading(fault) as (_, source, _slept), pytest.raises(TransportError, match="same page again"):
        source.tags()


def test_pages_without_an_end_are_bounded():
    limits = evolve(DEFAULT_LIMITS, listing_pages=4)
    faults = [
        Fault.header("*/tags/list", "Link", f'</v2/org/os/tags/list?last={number}>; rel="next"')
        for number in range(10)
    ]
    with reading(*faults, limits=limits) as (registry, source, _), pytest.raises(LimitExceeded) as caught:
        source.tags()
    assert caught.value.limit == "listing_pages"
    assert len(registry.requests) == 4


def test_entries_are_bounded():
    limits = evolve(DEFAULT_LIMITS, listed=2)
    body = json.dumps({"tags": ["a", "b", "c"]}).encode()
    with (
        reading(Fault.swap("*/tags/list", body), limits=limits) as (_, source, _slept),
        pytest.raises(LimitExceeded) as caught,
    ):
        source.tags()
    assert caught.value.limit == "listed"


def test_a_page_is_bounded():
    limits = evolve(DEFAULT_LIMITS, listing_bytes=100)
    with (
        reading(Fault.swap("*/tags/list", b" " * 101), limits=limits) as (_, source, _slept),
        pytest.raises(LimitExceeded) as caught,
    ):
        source.tags()
    assert caught.value.limit == "listing_bytes"


def test_another_repository_is_asked_with_the_same_settings(tmp_path):
    """Signatures may be in a repository of their own."""
    with start(auth=TokenAuth("alice", PASSWORD)) as registry:
        registry.push(IMAGE, "org/signatures:v9")
        config = write_config(tmp_path, registry.address)
        with client(registry, docker_config=config) as (source, _):
            other = source.beside(Reference.parse(f"{registry.address}/org/signatures:v9"))
            assert other.tags() == ("v9",)
            assert other.resolve().digest == SUBJECT
            other.close()
            assert source.tags() == ("v1",)
