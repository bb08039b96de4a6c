"""Each kind of rule: what satisfies it, what breaks it, and what it says then."""

import pytest
from policies import TODAY, result_of, rule, written

from cosinspect import inspect
from cosinspect.errors import InvalidPolicy
from cosinspect.policy import load_policy
from cosinspect.report.report import Kind, Verdict
from cosinspect.testing import File, ImageBuilder, Symlink
from cosinspect.testing.derivative import derivative
from rpm_files import stored

FILES = {
    "etc": File("", mode=0o755),
    "etc/motd": File("hello\nworld\n", mode=0o644, uid=0, gid=5),
    "etc/link": Symlink("motd"),
    "etc/ssh/a_key.pem": File("secret", mode=0o600),
    "etc/ssh/b_key.pem": File("secret", mode=0o640, uid=7),
    "etc/dangling": Symlink("nowhere"),
}
del FILES["etc"]

ROWS = [
    # what must be there
    ({"path": "/etc/motd"}, None),
    ({"path": "/etc/link"}, None),
    ({"path": "/etc/absent"}, "expected /etc/absent, it is not there"),
    ({"path": "/etc/dangling"}, "it is not there"),
    ({"path": "/etc/dangling", "type": "symlink"}, None),
    ({"path": "/etc/*/*.pem"}, None),
    ({"path": "/**/*.pem"}, None),
    ({"path": "/**/*.crt"}, "nothing does"),
    # what must not
    ({"path": "/etc/absent", "exists": False}, None),
    ({"path": "/etc/motd", "exists": False}, "expected nothing there, found a file"),
    ({"path": "/etc/dangling", "exists": False}, "expected nothing there, found a symlink"),
    ({"path": "/**/*_key.pem", "exists": False}, "expected nothing there"),
    # type, mode, owner, size
    ({"path": "/etc", "type": "dir"}, None),
    ({"path": "/etc/motd", "type": "dir"}, "expected a dir, found a file"),
    ({"path": "/etc/link", "type": "file"}, None),
    ({"path": "/etc/motd", "type": "symlink"}, "expected a symlink, found a file"),
    ({"path": "/etc/motd", "mode": "0644"}, None),
    ({"path": "/etc/motd", "mode": "0600"}, "expected mode 0600, found 0644"),
    ({"path": "/etc/ssh/a_key.pem", "max_mode": "0600"}, None),
    ({"path": "/**/*_key.pem", "max_mode": "0600"}, "found 0640 with 0040 too much"),
    ({"path": "/etc/motd", "uid": 0, "gid": 5}, None),
    ({"path": "/etc/motd", "gid": 0}, "expected group 0, found 5"),
    ({"path": "/**/*.pem", "uid": 0}, "expected owner 0, found 7"),
    ({"path": "/etc/motd", "max_size": "12 bytes"}, None),
    ({"path": "/etc/motd", "max_size": "11 bytes"}, "expected at most 11 bytes, found 12 bytes"),
    # content
    ({"path": "/etc/motd", "contains": "^world$"}, None),
    ({"path": "/etc/motd", "contains": "^orld$"}, "expected a match of ^orld$, there is none"),
    ({"path": "/etc/motd", "lacks": "[0-9]"}, None),
    ({"path": "/etc/motd", "lacks": "^w"}, "found one in line 2"),
    ({"path": "/etc", "contains": "x"}, "expected a file to look into, found a dir"),
    # optional
    ({"path": "/etc/absent", "optional": True, "mode": "0600"}, Kind.NOT_APPLICABLE),
    ({"path": "/etc/motd", "optional": True, "mode": "0600"}, "expected mode 0600"),
]


@pytest.mark.parametrize(("keys", "expected"), ROWS, ids=lambda value: str(value)[:60])
def test_files(tmp_path, keys, expected):
    found = result_of(tmp_path, FILES, rule("files", **keys))
    if isinstance(expected, Kind):
        assert expected is found.kind
    elif expected is None:
        assert Kind.PASS is found.kind, found
        assert found.evidence
    else:
        assert Kind.FAIL is found.kind, found
        assert any(expected in each.message for each in found.findings), found.findings
        assert all(each.remedy for each in found.findings)


def test_a_finding_names_the_layer_that_is_to_blame(tmp_path):
    image = derivative("kernel-removed").write_layout(tmp_path / "image")
    policy = load_policy(written(tmp_path, rule("files", path="/boot/vmlinuz")))
    report = inspect(image, policies=[policy], today=TODAY)
    (finding,) = next(each for each in report.results if each.check == "OWN001").findings
    assert (4, "/boot/vmlinuz") == (finding.layer, finding.path)
    assert "removed it" in " ".join(finding.evidence)


LABELS = {"source": "https://git.example.com/os", "empty": ""}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"label": "source"}, None),
        ({"label": "empty"}, None),
        ({"label": "absent"}, "expected the label absent, the image has none"),
        ({"label": "absent", "exists": False}, None),
        ({"label": "source", "exists": False}, "expected no label source"),
        ({"label": "source", "matches": "https://git[.]example[.]com/.*"}, None),
        ({"label": "source", "matches": "git"}, "expected git to match the label source"),
    ],
)
def test_labels(tmp_path, keys, expected):
    found = result_of(tmp_path, FILES, rule("labels", **keys), labels=LABELS)
    assert (Kind.PASS if expected is None else Kind.FAIL) is found.kind
    assert expected is None or expected in found.findings[0].message


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"package": "system/cos-setup"}, None),
        ({"package": "system/absent"}, "no luet database lists it"),
        ({"package": "system/absent", "exists": False}, None),
        ({"package": "system/cos-setup", "exists": False}, "expected no system/cos-setup"),
        ({"package": "system/cos-setup", "version": ">=0.1"}, None),
        ({"package": "system/cos-setup", "version": ">=99"}, "expected system/cos-setup >=99, found"),
        (
            {"package": "system/cos-setup", "version": "<99", "exists": False},
            "expected no system/cos-setup <99",
        ),
        ({"package": "system/cos-setup", "version": ">=99", "exists": False}, None),
    ],
)
def test_packages(tmp_path, keys, expected):
    image = derivative().write_layout(tmp_path / "image")
    policy = load_policy(written(tmp_path, rule("packages", **keys)))
    report = inspect(image, policies=[policy], today=TODAY)
    found = next(each for each in report.results if each.check == "OWN001")
    assert (Kind.PASS if expected is None else Kind.FAIL) is found.kind, found
    assert expected is None or expected in found.findings[0].message
    assert (Verdict.PASS if expected is None else Verdict.FAIL) is report.verdict


def inspected(tmp_path, layers, **keys):
    """The result of a rule about packages, for an image of these layers."""
    builder = ImageBuilder().layer({"etc/hosts": ""})
    for layer in layers:
        builder = builder.layer(layer)
    policy = load_policy(written(tmp_path, rule("packages", **keys)))
    report = inspect(builder.build().write_layout(tmp_path / "image"), policies=[policy], today=TODAY)
    return next(each for each in report.results if each.check == "OWN001")


def dpkg_status(version):
    return f"Package: libssl3\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"type": "deb", "package": "libssl3"}, None),
        ({"type": "deb", "package": "libssl3", "version": ">=3.0.11-1~deb12u2"}, None),
        (
            {"type": "deb", "package": "libssl3", "version": "<3.0.12", "exists": False},
            "expected no libssl3 <3.0.12, found libssl3 3.0.11-1~deb12u2+b1",
        ),
        ({"type": "deb", "package": "openssl"}, "expected the package openssl, no deb database lists it"),
        ({"type": "rpm", "package": "beta", "version": ">=7:2.5~rc1-3, <7:2.5"}, None),
        (
            {"type": "rpm", "package": "beta", "version": ">=8:1"},
            "expected beta >=8:1, found beta 7:2.5~rc1-3",
        ),
    ],
)
def test_packages_of_other_kinds(tmp_path, keys, expected):
    layers = [
        {
            "var/lib/dpkg/status": dpkg_status("3.0.11-1~deb12u2+b1"),
            "var/lib/rpm/rpmdb.sqlite": stored("rpmdb.sqlite"),
        },
        {"var/lib/dpkg/status": dpkg_status("3.0.11-1~deb12u2+b1") + "\n"},
    ]
    found = inspected(tmp_path, layers, **keys)
    assert (Kind.PASS if expected is None else Kind.FAIL) is found.kind, found
    if expected is not None:
        assert expected == found.findings[0].message
        assert found.findings[0].layer == (
            None if "no deb database" in expected else 1
        )  # not layer 2, which only wrote the file


@pytest.mark.parametrize("exists", [True, False])
def test_a_database_of_another_kind_that_cannot_be_read_leaves_a_rule_open(tmp_path, exists):
    keys = {"type": "apk", "package": "musl", "exists": exists}
    found = inspected(tmp_path, [{"lib/apk/db/installed": "damaged\n"}], **keys)
    assert Kind.OPEN is found.kind
    assert "/lib/apk/db/installed cannot be read, which may list musl" in found.reason


def test_a_database_that_cannot_be_read_leaves_a_package_open(tmp_path):
    image = derivative("luet-database-damaged").write_layout(tmp_path / "image")
    policy = load_policy(written(tmp_path, rule("packages", package="system/nowhere")))
    report = inspect(image, policies=[policy], today=TODAY)
    found = next(each for each in report.results if each.check == "OWN001")
    assert Kind.OPEN is found.kind
    assert Verdict.OPEN is report.verdict


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"package": "openssl"},
            "expected category/name, such as system/cos-setup, or the type of another kind",
        ),
        ({"package": "system/x", "type": "deb"}, "expected a name without a slash for the type deb"),
        ({"package": "a b", "type": "deb"}, "expected the name of a package without blanks"),
        ({"package": "musl", "type": "apk", "version": ">=x"}, "expected digits and dots, then a suffix"),
        ({"package": "musl", "type": "apk", "version": "1"}, "expected comparisons such as >=0.14, <1.0"),
        ({"package": "musl", "type": "snap"}, "snap"),
    ],
)
def test_a_rule_about_packages_with_a_mistake_is_refused(tmp_path, keys, message):
    with pytest.raises(InvalidPolicy) as caught:
        load_policy(written(tmp_path, rule("packages", **keys)))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"max_layers": 3}, None),
        ({"max_layers": 2}, "expected at most 2 layers, found 3"),
        ({"max_compressed": "1 MB"}, None),
        ({"max_compressed": "100 bytes"}, "the compressed layers"),
        ({"max_layer": "100 bytes"}, "the largest layer"),
        ({"max_unpacked": "24 bytes"}, None),
        ({"max_unpacked": "23 bytes"}, "23 bytes"),
        ({"max_unpacked": "12 bytes", "path": "/etc/ssh"}, None),
        ({"max_unpacked": "11 bytes", "path": "/etc/ssh"}, "11 bytes"),
    ],
)
def test_sizes(tmp_path, keys, expected):
    """The files above have 12, 6 and 6 bytes, the same in each layer."""
    found = result_of(tmp_path, FILES, rule("sizes", **keys), steps=3)
    assert (Kind.PASS if expected is None else Kind.FAIL) is found.kind, found
    assert expected is None or expected in found.findings[0].message


def test_a_pattern_made_to_take_years_takes_none(tmp_path):
    """Python's own engine would need 2**60 steps for this one."""
    entries = {"etc/motd": File("a" * 60 + "!")}
    found = result_of(tmp_path, entries, rule("files", path="/etc/motd", contains="^(a|aa)+$"))
    assert Kind.FAIL is found.kind
