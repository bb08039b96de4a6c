"""`serve --check`: forty wrong configurations, each with all its mistakes and no other."""

import io

import pytest

from cosinspect.cli import main
from cosinspect.server.examination import examine
from real_registries import certificate, written
from signing import Signer

LISTEN = "[listen]\nplain_http = true\n"
TLS = '[listen]\ncertificate = "tls.pem"\nkey = "tls-key.pem"\n'
RULE = "[[rules]]\n"


@pytest.fixture
def directory(tmp_path):
    """A directory with files, good and bad, that a configuration can name."""
    written(tmp_path, "tls", certificate("cosinspect.test"))
    written(tmp_path, "other", certificate("other.test"))
    (tmp_path / "cosign.pub").write_bytes(Signer().pem)
    files = {
        "token": "s3cret\n",
        "empty": "",
        "two": "one\ntwo\n",
        "good.toml": 'name = "fleet"\n',
        "bad.toml": 'name = "fleet"\n[[waivers]]\ncheck = "COS011"\n[[files]]\npaht = "x"\n',
        "profile.toml": 'name = "mine"\nrequired = ["boot"]\n',
        "profile-bad.toml": 'name = "mine"\nrequired = ["boots"]\n',
        "text": "no PEM\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "raw").write_bytes(b"\xff\xfe")
    (tmp_path / "folder").mkdir()
    return tmp_path


WRONG = [
    ("", ["listen: expected either", "rules: expected at least one rule"]),
    (f"{LISTEN}", ["rules: expected at least one rule"]),
    (f"{LISTEN}rules = 5\n", ["listen.rules: there is no such key", "rules: expected at least one rule"]),
    (f"rules = 5\n{LISTEN}", ["rules: expected an array of tables"]),
    (f"listen = 5\n{RULE}", ["listen: expected a table", "listen: expected either"]),
    (f"{LISTEN}{RULE}[lisen]\n", ["line 4, lisen: there is no such key; did you mean listen?"]),
    (f"{LISTEN}adress = 5\n{RULE}", ["line 3, listen.adress: there is no such key; did you mean address?"]),
    (f'{LISTEN}address = "8443"\n{RULE}', ["line 3, listen.address: expected HOST:PORT"]),
    (f"[listen]\n{RULE}", ["line 1, listen: expected either certificate and key"]),
    (f'[listen]\nkey = "tls-key.pem"\n{RULE}', ["line 1, listen: expected certificate and key together"]),
    (
        f'[listen]\ncertificate = "tls.pem"\nkey = "none.pem"\nconnections = 0\n{RULE}',
        ["line 3, listen.key: expected a file, there is none", "line 4, listen.connections: expected"],
    ),
    (
        f'[listen]\ncertificate = "text"\nkey = "tls-key.pem"\n{RULE}',
        ["line 2, listen.certificate: {}/text: expected certificates", "line 3, listen.key: {}/tls-key.pem"],
    ),
    (
        f'[listen]\ncertificate = "tls.pem"\nkey = "other-key.pem"\n{RULE}',
        ["line 3, listen.key: {}/other-key.pem: expected the key of {}/tls.pem"],
    ),
    (
        f'[listen]\ncertificate = "tls.pem"\nkey = "folder"\n{RULE}',
        ["line 3, listen.key: expected a file, this is a directory"],
    ),
    (f'{LISTEN}client_ca = "tls.pem"\n{RULE}', ["line 3, listen.client_ca: expected TLS"]),
    (f'{TLS}client_ca = "text"\n{RULE}', ["line 4, listen.client_ca: {}/text: expected certificates"]),
    (
        f'{LISTEN}{RULE}[inspections]\ndatabase = "none/v.sqlite"\n',
        ["line 5, inspections.database: expected a file in an existing directory"],
    ),
    (
        f'{LISTEN}{RULE}[inspections]\ndatabase = "folder"\n',
        ["line 5, inspections.database: expected a file or nothing"],
    ),
    (
        f'{LISTEN}{RULE}[inspections]\ncache = "text"\n',
        ["line 5, inspections.cache: expected a directory, this is a file"],
    ),
    (
        f'{LISTEN}{RULE}[inspections]\ncache = "nothing://bucket"\n',
        ["line 5, inspections.cache: expected a URL that fsspec can open"],
    ),
    (
        f'{LISTEN}{RULE}[inspections]\nworkers = 0\nqueue = "x"\nplatform = "x/y/z/a"\nplain_http = ["https://a"]\n',
        ["line 5, inspections.w", "line 6, inspections.q", "line 7, inspections.pl", "line 8, inspections.pl"],
    ),
    (
        f'{LISTEN}{RULE}[admission]\npending = "yes"\nunlisted = true\nseconds = 0\n',
        ["line 5, admission.pending", "line 6, admission.unlisted", "line 7, admission.seconds"],
    ),
    (
        f'{LISTEN}{RULE}[harbor]\ntoken_file = "none"\n',
        ["line 5, harbor.token_file: expected a file, there is none"],
    ),
    (
        f'{LISTEN}{RULE}[harbor]\ntoken_file = "empty"\n',
        ["line 5, harbor.token_file: {}/empty: expected a token, the file is empty"],
    ),
    (
        f'{LISTEN}{RULE}[notifications]\ntoken_file = "two"\n',
        ["line 5, notifications.token_file: {}/two: expected one token"],
    ),
    (f'{LISTEN}{RULE}[notifications]\ntoken_file = "raw"\n', ["line 5, notifications.token_file: {}/raw"]),
    (
        f'{LISTEN}{RULE}[harbor]\ntoken = "x"\ntoken_file = "none"\n',
        ["line 5, harbor.token: there is no such key", "line 6, harbor.token_file: expected a file"],
    ),
    (
        f'{LISTEN}{RULE}[harbor.addresses]\n"core:8080" = "https://a"\n',
        ["line 4, harbor.addresses: expected a host"],
    ),
    (f"{LISTEN}{RULE}registries = []\n", ["line 4, rules[0].registries: expected at least one glob"]),
    (
        f'{LISTEN}{RULE}registries = ["https://quay.io", "quay.io/org"]\n',
        ["line 4, rules[0].registries", "line 4, rules[0].registries"],
    ),
    (
        f'{LISTEN}{RULE}repositories = ["ORG/os", "org/os:v1", "/org/os", ""]\n',
        ["line 4, rules[0].repositories"] * 4,
    ),
    (
        f'{LISTEN}{RULE}registries = ["docker.io"]\nrepositories = ["alpine"]\n',
        ["line 5, rules[0].repositories: expected library/alpine"],
    ),
    (f'{LISTEN}{RULE}namespaces = ["Fleet"]\n', ["line 4, rules[0].namespaces: expected a glob"]),
    (f"{LISTEN}{RULE}{RULE}", ["line 4, rules[1]: rules[0] matches every image"]),
    (
        f'{LISTEN}{RULE}mode = "warned"\nprofile = "coss"\nverify_keys = ["none.pub"]\n',
        ["line 4, rules[0].mode", "line 5, rules[0].profile", "line 6, rules[0].verify_keys"],
    ),
    (f'{LISTEN}{RULE}profile = "profile-bad.toml"\n', ["line 4, rules[0].profile: {}/profile-bad.toml"]),
    (
        f'{LISTEN}{RULE}policies = ["good.toml", "bad.toml", "none.toml"]\n',
        [
            "line 4, rules[0].policies: expected a file",
            *["line 4, rules[0].policies: {}/bad.toml: line 2, waivers[0]: expected the key"] * 2,
            *["line 4, rules[0].policies: {}/bad.toml: line 4, files[0]: expected the key"] * 3,
            "line 4, rules[0].policies: {}/bad.toml: line 5, files[0].paht: there is no such key",
        ],
    ),
    (
        f'{LISTEN}{RULE}verify_keys = ["tls-key.pem", "cosign.pub"]\nattestation_keys = ["text"]\n',
        ["line 4, rules[0].verify_keys: {}/tls-key.pem", "line 5, rules[0].attestation_keys: {}/text"],
    ),
    (
        f'{LISTEN}{RULE}[[kinds]]\nkind = "plans"\ngroup = "a.example/v1"\nimages = ["$.a["]\n',
        ["line 5, kinds[0].kind", "line 6, kinds[0].group", "line 7, kinds[0].images"],
    ),
    (f"{LISTEN}{RULE}[[kinds]]\nimages = []\n", ["line 4, kinds[0]: expected the key kind", "line 5, kinds[0].images"]),
    ("[listen", ["expected TOML"]),
    (f"{LISTEN}{RULE}{RULE}mode = 'skip'\nmode = 'warn'\n", ["expected TOML"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), WRONG)
def test_every_mistake_is_told_and_no_other(directory, text, expected):
    path = directory / "server.toml"
    path.write_text(text)

    found = [line.removeprefix(f"{path}: ") for line in examine(str(path))]

    expected = sorted(each.replace("{}", str(directory)) for each in expected)
    assert len(found) == len(expected), found
    for line, start in zip(sorted(found), expected, strict=True):
        assert start in line, (line, start)


@pytest.mark.parametrize(
    "text",
    [
        f"{LISTEN}{RULE}",
        f'{TLS}client_ca = "tls.pem"\n{RULE}',
        f'{LISTEN}{RULE}registries = ["quay.io"]\nrepositories = ["org/os*"]\nmode = "enforce"\n{RULE}mode = "skip"\n',
        f'{LISTEN}{RULE}profile = "profile.toml"\npolicies = ["good.toml"]\nverify_keys = ["cosign.pub"]\n',
        f'{LISTEN}{RULE}[harbor]\ntoken_file = "token"\naddresses = {{"core:8080" = "harbor.example", "core" = "a:5000"}}\n',
        f'{LISTEN}{RULE}[inspections]\ncache = "cache"\nplain_http = ["10.0.0.1:5000", "a"]\n[[kinds]]\nkind = "Pod"\nimages = ["$.a"]\n',
        f'{LISTEN}{RULE}registries = ["docker.io"]\nrepositories = ["library/alpine", "*"]\nnamespaces = ["", "a-*"]\n',
    ],
)
def test_a_right_configuration_has_no_mistake(directory, text):
    path = directory / "server.toml"
    path.write_text(text)

    assert examine(str(path)) == ()


def test_the_command_prints_a_line_each(directory):
    path = directory / "server.toml"
    path.write_text(f'{RULE}mode = "x"\nprofile = "coss"\n')
    out, err = io.StringIO(), io.StringIO()

    status = main(["serve", "--config", str(path), "--check"], stdout=out, stderr=err)

    assert (status, out.getvalue()) == (2, "")
    lines = err.getvalue().splitlines()
    assert len(lines) == 4
    assert lines[-1] == f"{path}: 3 mistakes"
    assert main(["serve", "--config", str(directory / "none"), "--check"], stdout=out, stderr=err) == 2
