"""Wrong input: what a person mistypes, names or forgets; each row says the exit status and what the message must have.

A message says what was expected, what was found, where, and what to do, in one line without words of Python. Further tables:
local paths, outputs, variables and configuration files, and `scan` have theirs beside their other tests.
"""

import io
import re

import pytest

from cosinspect.cli import main
from cosinspect.commands import COMMANDS
from cosinspect.testing import ImageBuilder, Registry, image_index

USE, OPEN, NO = 2, 3, 1
PYTHON = re.compile(
    r"\bb'|<class|Traceback|NoneType|\bstr\b|\bint\b|\bbool\b|object at 0x|Error\(|Errno|Expecting|\bdict\b"
)
"""What only programmers read."""

FILES = {
    "text": "some text\n",
    "empty": "",
    "broken.json": "{",
    "list.json": "[]",
    "numbers.json": '{"auths": 3}',
    "broken.toml": "a = = 1\n",
    "profile.toml": 'name = 3\nrequired = ["fly", "boot"]\nlevels = {COS010 = "loud"}\n',
    "nothing.toml": 'name = "a"\nrequired = []\n',
    "unknown-level.toml": 'name = "a"\nrequired = ["boot"]\nlevels = {COS999 = "error"}\n',
    "policy.toml": 'nam = "a"\n[[waivers]]\ncheck = "COS010"\nreason = ""\nexpires = "soon"\n',
    "expired-check.toml": 'name = "a"\n[[waivers]]\ncheck = "COS999"\nreason = "because"\nexpires = 2030-01-01\n',
    "key.pem": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    "names": "Upper/Case\n",
}

# Arguments, the exit status, and the parts that the message must have.
ROWS = [
    # -- which command, how many words
    (["chekc", "IMAGE"], USE, ["chekc: expected a command or an image", "did you mean the command check?"]),
    (["lss", "IMAGE", "/"], USE, ["did you mean the command ls?"]),
    (["help", "chekc"], USE, ["help: expected one command, found chekc", "did you mean cosinspect help check?"]),
    (["help", "a", "b"], USE, ["help: expected one command, found a b"]),
    (["version", "x"], USE, ["expected nothing behind it, found x"]),
    (["IMAGE", "IMAGE"], USE, ["expected one image, found 2", "for several images: cosinspect scan"]),
    (["check"], USE, ["expected IMAGE, found nothing; see cosinspect check --help"]),
    (["cat", "IMAGE"], USE, ["expected PATH, found nothing"]),
    (["history", "IMAGE"], USE, ["expected PATH, found nothing"]),
    (["explain"], USE, ["expected IMAGE, found nothing"]),
    (["diff", "IMAGE", "IMAGE", "IMAGE"], USE, ["expected nothing more, found"]),
    (["ls", "IMAGE", "/", "/etc"], USE, ["expected nothing more, found /etc"]),
    (["packages", "IMAGE", "x"], USE, ["expected nothing more, found x"]),
    (["checks", "COS010", "COS011"], USE, ["expected nothing more, found COS011"]),
    (["checks", "COS9999"], USE, ["there is no check 'COS9999'"]),
    (["checks", "kernel-mising"], USE, ["did you mean COS010 (kernel-missing)"]),
    (["cache"], USE, ["found nothing"]),
    (["cache", "purge"], USE, ["expected one of info, verify, prune, found 'purge'", "did you mean prune?"]),
    (["cache", "prune", "--max-size", "big"], USE, ["--max-size: expected a size such as 500M or 2G, found 'big'"]),
    (["completion"], USE, ["found nothing"]),
    (["completion", "tcsh"], USE, ["expected one of bash, zsh, fish, found 'tcsh'"]),
    (["schema", "reports"], USE, ["expected one of report, scan, boot, diff, explain, layers, packages, found 'reports'; did you mean report?"]),
    (["deploy"], USE, ["found nothing"]),
    (["deploy", "k8s"], USE, ["expected one of kubernetes, gatekeeper, harbor, systemd, found 'k8s'"]),
    (["deploy", "kubernetes"], USE, ["--images: expected the images that need a verdict, such as"]),
    (["demo", "--broken", "kernel-danglin"], USE, ["did you mean kernel-dangling"]),
    (["demo", "--broken", "zzz"], USE, ["cosinspect demo --list prints them"]),
    (["serve"], USE, ["expected --config, found nothing"]),
    (["serve", "--config", "absent"], USE, ["absent: the configuration cannot be read: No such file"]),
    (["serve", "--config", "text"], USE, ["text: expected TOML"]),
    (["boot"], USE, ["expected an image, or --demo"]),
    # -- options
    (["IMAGE", "--formt", "json"], USE, ["there is no option --formt; did you mean --format?"]),
    (["IMAGE", "--zzzz"], USE, ["there is no option --zzzz; see cosinspect check --help"]),
    (["IMAGE", "-z"], USE, ["there is no option -z"]),
    (["IMAGE", "--plat", "linux/amd64"], USE, ["did you mean --platform?"]),
    (["IMAGE", "--format"], USE, ["--format: expected a value, found nothing"]),
    (["IMAGE", "--fast=yes"], USE, ["--fast: expected no value, found 'yes'"]),
    (["IMAGE", "--format", "jsn"], USE, ["--format: expected one of text, json", "found 'jsn'; did you mean json?"]),
    (["IMAGE", "--no-cache", "--cache", "x"], USE, ["--cache and --no-cache exclude each other; leave one out"]),
    (["IMAGE", "--quiet", "--debug"], USE, ["exclude each other; leave one out"]),
    (["IMAGE", "--verify", "full", "--fast"], USE, ["--verify full and --fast exclude each other"]),
    (["IMAGE", "--verify", "full", "--trust-toc"], USE, ["--verify full and --trust-toc exclude each other"]),
    (["IMAGE", "--verify", "half"], USE, ["--verify: expected one of full, found 'half'"]),
    (["IMAGE", "--only", ","], USE, ["--only: expected ids of checks with commas between them, found ','"]),
    (["IMAGE", "--only", "COS999"], USE, ["there is no check 'COS999'"]),
    (["IMAGE", "--skip", "COS010"], USE, ["--skip: expected the id of a check and a reason"]),
    (["IMAGE", "--skip", "COS999=because"], USE, ["there is no check 'COS999'"]),
    (["IMAGE", "--semantics", "docker"], USE, ["--semantics: expected names out of oci, overlay, elemental"]),
    (["ls", "IMAGE", "--semantics", "oci,overlay"], USE, ["expected one semantics, found 'oci,overlay'"]),
    (["diff", "IMAGE", "--semantics", "oci"], USE, ["--semantics: expected two semantics to compare"]),
    # -- profiles and policies
    (["IMAGE", "--profile", "coss"], USE, ["there is no profile 'coss'; use auto, boot, bootc, cos, kairos"]),
    (["IMAGE", "--profile", "absent.toml"], USE, ["absent.toml: the profile cannot be read: No such file"]),
    (["IMAGE", "--profile", "./"], USE, ["the profile cannot be read: Is a directory"]),
    (["IMAGE", "--profile", "broken.toml"], USE, ["broken.toml: expected TOML", "line 1"]),
    (["IMAGE", "--profile", "nothing.toml"], USE, ["nothing.toml, line 2, required: expected a capability, found none"]),
    (["IMAGE", "--profile", "unknown-level.toml"], USE, ["profile a, levels: there is no check 'COS999'"]),
    (["IMAGE", "--profile", "profile.toml"], USE, [
        "profile.toml: 3 mistakes\n", "  line 1, name: expected text in quotes, found a whole number\n",
        "  line 2, required: expected boot or install", "found 'fly'\n", "  line 3, levels.COS010: expected error or warning or note",
    ]),
    (["IMAGE", "--policy", "absent"], USE, ["absent: the policy cannot be read: No such file"]),
    (["IMAGE", "--policy", "text"], USE, ["text: expected TOML"]),
    (["IMAGE", "--policy", "policy.toml"], USE, ["policy.toml: ", " mistakes\n", "nam: there is no such key; did you mean name?",
        "line 5, waivers[0].expires: expected a day such as 2027-03-31, found 'soon'"]),
    (["IMAGE", "--policy", "expired-check.toml"], USE, ["expired-check.toml, waivers: there is no check 'COS999'"]),
    (["IMAGE", "--manifest", "absent"], USE, ["absent: the build manifest cannot be read: No such file", "name the YAML file"]),
    (["IMAGE", "--manifest", "text"], USE, ["text: the build manifest cannot be read"]),
    # -- keys
    (["IMAGE", "--verify-key", "absent"], USE, ["absent: the key cannot be read: No such file", "name the file of a public key"]),
    (["IMAGE", "--verify-key", "text"], USE, ["text: expected a public key in PEM, found something else"]),
    (["IMAGE", "--verify-key", "key.pem"], USE, ["key.pem: expected a public key in PEM, found something else"]),
    (["IMAGE", "--verify-key", "env://ABSENT"], USE, ["env://ABSENT: the environment has no such variable"]),
    (["IMAGE", "--verify-key", "https://a/b"], USE, ["keys are read from files and from the environment only"]),
    (["IMAGE", "--certificate-identity", "a@b"], USE, ["expected --certificate-identity and --certificate-oidc-issuer"]),
    (["IMAGE", "--annotation", "a=b"], USE, ["--annotation: expected a signer too"]),
    (["IMAGE", "--trusted-root", "x"], USE, ["--trusted-root: expected a signer too"]),
    (["IMAGE", "--signature-repository", "x"], USE, ["--signature-repository: expected a signer too"]),
    (["IMAGE", "--from-attestation", "x"], USE, ["--from-attestation: expected an image in a registry"]),
    (["attest", "IMAGE", "--key", "x"], USE, ["expected an image in a registry"]),
    # -- names of images
    (["Quay.io/Org/Os"], USE, ["upper case is not allowed", "quay.io/org/os:v1"]),
    (["an image"], USE, ["expected an image name without blanks"]),
    (["quay.io/org/os:"], USE, ["expected a tag of up to 128 letters"]),
    (["quay.io/org/os@sha256:12"], USE, ["sha256"]),
    (["user:secret@quay.io/os"], USE, ["a user and a password do not belong into a name: log in"]),
    (["https://quay.io/os"], USE, ["expected docker:// or no scheme at all"]),
    (["containers-storage:x"], USE, ["needs a daemon or a local store", "push the image to a registry, or save it"]),
    (["docker-daemon:x"], USE, ["needs a daemon or a local store"]),
    (["0" * 64], USE, ["looks like the ID of a local image"]),
    (["oci:"], USE, ["expected a path after oci:"]),
    (["oci:absent"], OPEN, ["absent: oci: expected a directory, found nothing; check the path"]),
    (["IMAGEx"], OPEN, ["expected an image named 'latestx'; name one of them behind the path: latest"]),
    (["DIGEST"], OPEN, ["expected an image sha256:000", "name one of them behind the path"]),
    (["ls", "IMAGE", "--platform", "linux"], USE, ["--platform: expected a platform such as linux/amd64"]),
    (["ls", "INDEX", "--platform", "linux/s390x"], OPEN, ["expected a manifest for linux/s390x, found linux/amd64", "choose one with --platform linux/amd64"]),
    (["ls", "SINGLE", "--platform", "linux/s390x"], OPEN, ["expected an image for linux/s390x, found one for linux/amd64; leave the platform out"]),
    # -- damage
    (["ls", "DAMAGED"], OPEN, ["damaged", "blob sha256:", "expected ", "the image is damaged, or was changed on the way: copy or push it again"]),
    (["ls", "NO-JSON"], OPEN, ["no-json", "index: expected a JSON document, found something else in line 1, column 1"]),
    # -- paths in the image
    (["ls", "IMAGE", "/absent"], NO, ["/absent is not there"]),
    (["cat", "IMAGE", "/etc"], NO, ["expected a regular file, found a dir"]),
    (["cat", "IMAGE", "/etc/motd/x"], NO, ["expected a directory at /etc/motd"]),
    (["history", "IMAGE", "/absent"], NO, ["/absent: no layer ever had it"]),
    # -- registries
    (["ls", "localhost:1/os", "--authfile", "absent"], USE, ["absent: --authfile: expected a file, found nothing; check the path"]),
    (["ls", "localhost:1/os", "--authfile", "broken.json"], USE, ["broken.json: --authfile: expected a JSON object with credentials", "podman login"]),
    (["ls", "localhost:1/os", "--authfile", "list.json"], USE, ["expected a JSON object with credentials, found something else"]),
    (["ls", "localhost:1/os", "--authfile", "numbers.json"], USE, ["expected a JSON object with credentials, found something else"]),
    (["ls", "localhost:1/os", "--authfile", "."], USE, ["--authfile: the file cannot be read: Is a directory"]),
    (["ls", "localhost:1/os", "--cert-dir", "absent"], USE, ["absent: --cert-dir: expected a directory, found nothing"]),
    (["ls", "localhost:1/os", "--cert-dir", "text"], USE, ["text: expected a directory of certificates"]),
    (["ls", "localhost:1/os", "--registries-conf", "absent"], USE, ["--registries-conf: expected a file, found nothing"]),
    (["ls", "localhost:1/os", "--registries-conf", "text"], USE, ["text: expected a registries.conf"]),
    (["ls", "localhost:1/os", "--creds", "me"], USE, ["--creds: expected USER:PASSWORD, or env://NAME"]),
    (["ls", "localhost:1/os", "--creds", "env://ABSENT"], USE, ["--creds: expected the variable ABSENT to be set, it is not"]),
    (["ls", "localhost:1/os", "--registry-token", "a b"], USE, ["--registry-token: expected a token"]),
    (["ls", "localhost:1/os", "--tls-verify", "maybe"], USE, ["--tls-verify: expected true or false, found 'maybe'"]),
    (["ls", "localhost:1/os"], OPEN, ["localhost:1/os:latest: http://localhost:1 refuses the connection; check the port"]),
    (["ls", "REGISTRY/org/os:v2"], OPEN, ["answers 404", "check the tag or digest"]),
    (["ls", "REGISTRY/org/no:v1"], OPEN, ["answers 404"]),
    (["ls", "REGISTRY/org/os:v1", "--tls-verify", "true"], OPEN, ["does not speak TLS; if it speaks plain HTTP, try --plain-http"]),
    # -- bounds and the cache
    (["IMAGE", "--jobs", "0"], USE, ["--jobs: expected a number from 1 to 64, found '0'"]),
    (["IMAGE", "--timeout", "-1"], USE, ["--timeout: expected seconds, more than 0, found '-1'"]),
    (["IMAGE", "--timeout", "soon"], USE, ["--timeout: expected seconds, more than 0, found 'soon'"]),
    (["IMAGE", "--cache", "text"], USE, ["text: expected a directory for the cache, found a file; name another directory"]),
    (["IMAGE", "--cache", "nonsense://x"], USE, ["expected a URL that fsspec can open, found nonsense://"]),
    # -- scan
    (["scan"], USE, ["expected images to scan: names, --from"]),
    (["scan", "--from", "absent"], USE, ["absent: --from: the list cannot be read: No such file", "name a file with one image in each line"]),
    (["scan", "--from", "empty"], USE, ["expected images to scan, found none"]),
    (["scan", "--tag", "v*"], USE, ["--tag, --newest: expected --repository or --catalogue with them"]),
    (["scan", "--newest", "0"], USE, ["--newest: expected a number, at least 1, found '0'"]),
    (["scan", "--kubernetes-manifest", "absent"], USE, ["absent: the file cannot be read: No such file"]),
    (["scan", "--kubernetes-manifest", "text"], USE, ["text: expected objects that name OS images, found none; docs/server.md"]),
    (["scan", "--repository", "REGISTRY/org/os", "--tag", "zz*"], USE, ["/org/os: expected tags that match zz*, found none; correct --tag"]),
    (["scan", "--catalogue", "REGISTRY", "--match", "zz*"], USE, ["expected repositories that match zz*, found none; correct --match"]),
    (["scan", "--repository", "localhost:1/os"], OPEN, ["refuses the connection"]),
    (["scan", "--repository", "quay.io/org/os:v1"], USE, ["expected a repository, found an image; say which with --tag"]),
]  # fmt: skip

IMAGE_COMMANDS = ("check", "ls", "packages", "explain", "diff", "layers")
COMMON = [
    (["--platform", "linux"], USE, "--platform: expected a platform such as linux/amd64"),
    (["--jobs", "many"], USE, "--jobs: expected a number from 1 to 64, found 'many'"),
    (["--timeout", "0"], USE, "--timeout: expected seconds, more than 0, found '0'"),
    (["--cache", "text"], USE, "text: expected a directory for the cache, found a file"),
    (["--format", "yaml"], USE, "--format: expected one of text, json"),
    (["--no-colour"], USE, "there is no option --no-colour; did you mean --no-color?"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("place")
    for name, text in FILES.items():
        (place / name).write_text(text)
    return place


@pytest.fixture(scope="module")
def names(place):
    """The images that rows name."""
    built = ImageBuilder().layer({"etc/motd": "hello\n"}).build()
    image = built.write_layout(place / "image")
    no_json = built.write_layout(place / "no-json")
    (place / "no-json" / "index.json").write_text("nope")
    damaged = built.replace_blob(built.layers[0], b"other").write_layout(place / "damaged")
    saved = built.write_docker_archive(place / "saved.tar", "org/os:v1")
    with Registry() as registry:
        registry.push(built, "org/os:v1")
        yield {
            "IMAGE": image,
            "IMAGEx": f"{image}x",
            "DIGEST": f"oci:{place}/image@sha256:{'0' * 64}",
            "INDEX": image_index(built).write_layout(place / "index"),
            "SINGLE": saved,
            "NO-JSON": no_json,
            "DAMAGED": damaged,
            "REGISTRY": registry.address,
        }


def refused(place, names, monkeypatch, words):
    """Run a command that must be refused, and return its status and message."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("HOME", str(place))
    given = [names.get(word, re.sub(r"^REGISTRY", lambda _: names["REGISTRY"], word)) for word in words]
    out, err = io.StringIO(), io.StringIO()
    status = main(given, stdout=out, stderr=err)
    text = err.getvalue()
    assert "" == out.getvalue()
    assert re.match(r"cosinspect: error: \S", text)
    assert "secret" not in text
    assert not PYTHON.search(text), text
    first, *further = text.splitlines()
    assert all(line.startswith("  ") for line in further), (
        "only mistakes of one document have lines of their own"
    )
    assert not first.endswith(".")
    return status, text


@pytest.mark.parametrize(("words", "status", "parts"), ROWS, ids=[" ".join(row[0])[:60] for row in ROWS])
def test_wrong_input_is_answered(place, names, monkeypatch, words, status, parts):
    found, text = refused(place, names, monkeypatch, words)

    assert status == found
    assert [] == [part for part in parts if part not in text], text


@pytest.mark.parametrize("command", IMAGE_COMMANDS)
@pytest.mark.parametrize(("words", "status", "part"), COMMON, ids=[" ".join(row[0]) for row in COMMON])
def test_every_command_answers_alike(place, names, monkeypatch, command, words, status, part):
    found, text = refused(place, names, monkeypatch, [command, "IMAGE", *words])

    assert status == found
    assert part in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_an_option_that_there_is_not(place, names, monkeypatch, command):
    status, text = refused(place, names, monkeypatch, [command, "IMAGE", "--zzzzzz"])

    assert USE == status
    assert re.search(r"there is no option --zzzzzz|expected ", text)
