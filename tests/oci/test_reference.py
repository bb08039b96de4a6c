"""Image names: containers-transports(5), and registry references by the rules of distribution's `reference` package."""

import re
from pathlib import Path

import pytest

import cosinspect
from cosinspect.errors import CosinspectError, InvalidReference
from cosinspect.oci.documents import Digest
from cosinspect.oci.reference import FORMS, ImageName, Reference, Transport

SHA = "sha256:" + "0123456789abcdef" * 4
SHA_512 = "sha512:" + "0123456789abcdef" * 8


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag"),
    [
        ("os", "docker.io", "library/os", "latest"),
        ("os:v1", "docker.io", "library/os", "v1"),
        ("org/os", "docker.io", "org/os", "latest"),
        ("a/b/c/d", "docker.io", "a/b/c/d", "latest"),
        ("docker.io/os", "docker.io", "library/os", "latest"),
        ("docker.io/library/os", "docker.io", "library/os", "latest"),
        ("index.docker.io/os", "docker.io", "library/os", "latest"),
        ("index.docker.io/org/os:v1", "docker.io", "org/os", "v1"),
        ("quay.io/org/os:v1", "quay.io", "org/os", "v1"),
        ("quay.io/os", "quay.io", "os", "latest"),
        ("localhost/os", "localhost", "os", "latest"),
        ("localhost:5000/os", "localhost:5000", "os", "latest"),
        ("localhost:5000/org/os:v1", "localhost:5000", "org/os", "v1"),
        ("host:5000/os", "host:5000", "os", "latest"),
        ("127.0.0.1:5000/os:v1", "127.0.0.1:5000", "os", "v1"),
        ("[::1]:5000/os", "[::1]:5000", "os", "latest"),
        ("[2001:db8::1]/os:v1", "[2001:db8::1]", "os", "v1"),
        ("Host/os", "Host", "os", "latest"),  # upper case cannot be a repository
        ("REGISTRY.example.COM/os", "REGISTRY.example.COM", "os", "latest"),
        ("xn--7o8h.example/os", "xn--7o8h.example", "os", "latest"),
        ("localhosts/os", "docker.io", "localhosts/os", "latest"),
        ("os:5000", "docker.io", "library/os", "5000"),  # a tag, no port
        ("docker:dind", "docker.io", "library/docker", "dind"),
        ("x/a.b_c__d-e---f/0", "docker.io", "x/a.b_c__d-e---f/0", "latest"),
        ("os:" + "t" * 128, "docker.io", "library/os", "t" * 128),
        ("os:_x.Y-9", "docker.io", "library/os", "_x.Y-9"),
        ("example.org/" + "r" * 255, "example.org", "r" * 255, "latest"),
    ],
)
def test_references_are_completed_as_docker_completes_them(text, registry, repository, tag):
    found = Reference.parse(text)
    assert (registry, repository, tag, None) == (found.registry, found.repository, found.tag, found.digest)
    assert tag == found.identifier
    assert f"{registry}/{repository}:{tag}" == str(found)


@pytest.mark.parametrize("digest", [SHA, SHA_512])
def test_a_digest_decides_where_there_is_one(digest):
    bare, tagged = Reference.parse(f"quay.io/org/os@{digest}"), Reference.parse(f"quay.io/org/os:v1@{digest}")
    assert (None, Digest.parse(digest), digest) == (bare.tag, bare.digest, bare.identifier)
    assert ("v1", Digest.parse(digest), digest) == (tagged.tag, tagged.digest, tagged.identifier)
    assert f"quay.io/org/os:v1@{digest}" == str(tagged)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        ":v1",
        "/",
        "/os",
        "os/",
        "os//x",
        "org//os",
        "OS",
        "org/Os",
        "quay.io/ORG/os",
        "os:",
        "os:.v1",
        "os:-v1",
        "os:v1:v2",
        "os:v 1",
        "os:v1/x",
        "os:" + "t" * 129,
        "os:\N{LATIN SMALL LETTER E WITH ACUTE}",
        "\N{LATIN SMALL LETTER E WITH ACUTE}",
        "-os",
        "os-",
        ".os",
        "os.",
        "_os",
        "os_",
        "a..b",
        "a.-b",
        "a___b",
        "a._b",
        "org/.",
        "org/..",
        "../os",
        "quay.io/../os",
        "quay.io/" + "r" * 256,
        "docker.io/" + "r" * 248,  # 256 with its library/
        "0123456789abcdef" * 4,  # an identifier, as the daemon prints it
        "os@",
        "os@v1",
        "os@sha256:" + "a" * 63,
        "os@sha256:" + "A" * 64,
        "os@md5:" + "a" * 32,
        "@" + SHA,
        f"os@{SHA}@{SHA}",
        f"os@{SHA}:v1",
        "-host.example/os",
        "host-.example/os",
        "host..example/os",
        ".example/os",
        "host:port/os",
        "host:/os",
        "host:123456/os",
        "[::1/os",
        "::1/os",
        "[::1]x/os",
        "[fe80::1%25eth0]/os",
        "[fe80]/os",
        "ho_st.example/os",
        "user@host.example/os",
        "https://quay.io/org/os",
        "quay.io/org/os?x",
        "quay.io/org/os#x",
        "quay.io/org\\os",
        "os\n",
        "os\0",
    ],
)
def test_everything_else_is_no_reference(text):
    with pytest.raises(InvalidReference):
        Reference.parse(text)
    with pytest.raises(InvalidReference):
        ImageName.parse(f"docker://{text}")


@pytest.mark.parametrize(
    ("text", "path", "selector"),
    [
        ("oci:dir", "dir", None),
        ("oci:/srv/dir:v1", "/srv/dir", "v1"),
        ("oci:dir:org/os:v1", "dir", "org/os:v1"),
        ("oci:a@b/dir:v1", "a@b/dir", "v1"),
        ("oci-archive:file.tar", "file.tar", None),
        ("oci-archive:../file.tar:v1", "../file.tar", "v1"),
        ("docker-archive:file.tar", "file.tar", None),
        ("docker-archive:file.tar:org/os:v1", "file.tar", "org/os:v1"),
        ("docker-archive:file.tar:localhost:5000/os:v1", "file.tar", "localhost:5000/os:v1"),
        ("docker-archive:file.tar:@1", "file.tar", "@1"),
        ("dir:/srv/dir", "/srv/dir", None),
        ("dir:a:b@c", "a:b@c", None),
    ],
)
def test_local_names_have_a_path_and_perhaps_an_image_there(text, path, selector):
    found = ImageName.parse(text)
    assert (path, selector, None, None) == (found.path, found.selector, found.digest, found.reference)
    assert text.partition(":")[0] == found.transport.value
    assert text == str(found)


@pytest.mark.parametrize("transport", ["oci", "oci-archive"])
@pytest.mark.parametrize("digest", [SHA, SHA_512])
def test_an_image_of_a_layout_may_be_named_by_its_digest(transport, digest):
    found = ImageName.parse(f"{transport}:/srv/a@b@{digest}")
    assert ("/srv/a@b", None, Digest.parse(digest)) == (found.path, found.selector, found.digest)


@pytest.mark.parametrize("text", ["quay.io/org/os:v1", "docker://quay.io/org/os:v1"])
def test_a_name_without_a_transport_is_a_registry_reference(text):
    found = ImageName.parse(text)
    assert (Transport.DOCKER, Reference.parse("quay.io/org/os:v1")) == (found.transport, found.reference)
    assert text == str(found)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        " os",
        "os ",
        "docker://",
        "docker:// os",
        "oci:",
        "oci::v1",
        "oci:dir:",
        "oci-archive:",
        "docker-archive:",
        "docker-archive:file.tar:",
        "dir:",
        "dir::x",
        "oci:dir@sha256:" + "a" * 63,
        "oci:dir@sha512:" + "a" * 64,
        "oci:a\tb",
        "oci:a\x1b[31mb",
        "dir:a\u202eb",
        "http://quay.io/org/os",
        "https://quay.io/org/os",
        "s3://bucket/os",
    ],
)
def test_names_that_nobody_can_mean_are_refused(text):
    with pytest.raises(InvalidReference):
        ImageName.parse(text)


@pytest.mark.parametrize("text", ["docker-daemon:os:v1", "containers-storage:os", "ostree:os@/x", "sif:file"])
def test_transports_with_a_daemon_or_a_store_are_refused_with_a_way_out(text):
    with pytest.raises(InvalidReference, match="docker-archive:FILE"):
        ImageName.parse(text)


@pytest.mark.parametrize("text", ["/srv/os.tar", "./os.tar", "../os", "~/os.tar"])
def test_a_bare_path_is_refused_with_a_way_out(text):
    with pytest.raises(InvalidReference, match=f"oci:{text}"):
        ImageName.parse(text)


@pytest.mark.parametrize("text", ["os\x1b[31m:V 1", "\x1b]0;title\x07", "x" * 10_000 + "!", "\ud800"])
def test_a_refused_name_is_harmless_in_its_error(text):
    with pytest.raises(InvalidReference) as raised:
        ImageName.parse(text)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 1000


def test_a_wrong_name_is_a_value_error_and_one_of_ours():
    with pytest.raises(ValueError, match="upper case") as raised:
        ImageName.parse("quay.io/Org/os")
    assert isinstance(raised.value, CosinspectError)


@pytest.mark.parametrize(
    "text",
    [
        "alice:s3cret@quay.io/org/os:v1",
        "alice:s3cret@quay.io",
        "docker://alice:s3cret@quay.io/org/os",
        "https://alice:s3cret@quay.io/org/os",
        "alice:s3c@s3cret@quay.io/org/os",
        f"alice:s3cret@quay.io/org/os@sha256:{'a' * 64}",
        "alice:s3cret@quay.io/org/os@sha256:a",
        "alice:s3cret @quay.io/org/os",
        "docker-daemon:alice:s3cret@quay.io/org/os",
    ],
)
def test_a_password_in_a_name_is_not_repeated(text):
    with pytest.raises(InvalidReference) as caught:
        ImageName.parse(text)

    assert "s3c" not in str(caught.value)
    assert "quay.io" in str(caught.value)


def test_one_table_names_the_transports():
    """Whoever adds a transport adds its form here, and to README; nothing else lists them by hand."""
    root = Path(cosinspect.__file__).parent
    assert set(FORMS) == set(Transport)
    for transport, form in FORMS.items():
        assert ImageName.parse(form.partition("[")[0]).transport is transport
    listing = re.compile(r"oci-archive:[A-Z]+.*docker-archive:[A-Z]+")
    assert [path for path in root.rglob("*.py") if listing.search(path.read_text())] == []
    readme = (root.parent / "README.md").read_text()
    assert [each.value for each in Transport if f"{each.value}:" not in readme] == []


@pytest.mark.parametrize(
    ("spelling", "host"),
    [
        ("QUAY.IO", "quay.io"),
        ("quay.io:443", "quay.io"),
        ("quay.io:0443", "quay.io"),  # Go's dialer and libcurl read the number, not the text
        ("quay.io:00080", "quay.io:80"),
        ("[::1]:443", "[::1]"),
        ("[0:0:0:0:0:0:0:1]:05000", "[::1]:5000"),
        ("[2001:DB8:0::1]", "[2001:db8::1]"),
        ("[::1::2]:5000", "[::1::2]:5000"),
        ("registry-1.docker.io:0443", "docker.io"),
    ],
)
def test_spellings_of_a_host_that_lead_to_one_connection_share_a_normal_form(spelling, host):
    assert Reference.parse(f"{spelling}/org/os:v1").normal.registry == host
