"""A good image damaged in turn, seen through the command: every blob in ways that keep its length, every field of its documents."""

import copy
import json

import pytest

from cosinspect.testing import ImageBuilder, Registry, digest_of, image_index
from cosinspect.testing.derivative import derivative

GOOD = derivative()
INDEX = image_index(GOOD)
COMMANDS = [
    ("check", ()),
    ("check", ("--format", "json")),
    ("check", ("--no-diff-ids",)),
    ("ls", ("-R",)),
    ("cat", ("/etc/os-release",)),
    ("history", ("/boot/initrd",)),
    ("packages", ()),
]


def damages(blob):
    """Other bytes, as many of them."""
    return [(how, wrong) for how, wrong in rewritten(blob) if wrong != blob]


def rewritten(blob):
    size = len(blob)
    for at in sorted({0, 1, 4, 9, size // 4, size // 2, size - 9, size - 5, size - 1}):
        yield f"byte {at}", blob[:at] + bytes([blob[at] ^ 0x21]) + blob[at + 1 :]
    yield "zeros behind the middle", blob[: size // 2] + bytes(size - size // 2)
    yield "halves exchanged", blob[size // 2 :] + blob[: size // 2]
    yield "all zeros", bytes(size)
    yield "a byte less and one more", blob[1:] + b"\0"
    if blob[:1] == b"{":
        keys = dict(reversed(json.loads(blob).items()))
        yield "keys in another order", json.dumps(keys, separators=(",", ":"), ensure_ascii=False).encode()


def assert_told(command, commands, name, digest, how):
    """Nothing is said of the image but which blob is wrong."""
    for word, arguments in commands:
        run = command(word, name, *arguments)
        assert (3, b"") == (run.status, run.out), (how, run)
        assert digest in run.message, (how, run)


@pytest.mark.parametrize("number", range(len(INDEX.blobs)))
def test_no_blob_can_be_damaged_unseen(command, tmp_path, number):
    digest, blob = list(INDEX.blobs.items())[number]
    layout = tmp_path / "layout"
    name = INDEX.write_layout(layout)
    place = layout / "blobs/sha256" / digest.removeprefix("sha256:")
    told = 0
    for how, wrong in damages(blob):
        assert len(wrong) == len(blob)
        place.write_bytes(wrong)
        assert_told(command, COMMANDS, name, digest, how)
        told += 1
    assert told >= 12


@pytest.mark.parametrize("number", range(len(INDEX.blobs)))
def test_no_blob_of_a_registry_can_be_damaged_unseen(command, number):
    digest, blob = list(INDEX.blobs.items())[number]
    with Registry() as registry:
        for tag, (how, wrong) in enumerate(damages(blob)):
            name = registry.push(INDEX.replace_blob(digest, wrong), f"org/os{number}:v{tag}")
            run = command("check", name)
            assert (3, b"") == (run.status, run.out), (how, run)


def test_a_process_of_its_own_says_the_same(command, tmp_path):
    digest = GOOD.layers[-1]
    wrong = bytes(len(GOOD.blobs[digest]))
    name = GOOD.replace_blob(digest, wrong).write_layout(tmp_path)
    run = command.process("check", name)

    assert (3, b"") == (run.status, run.out)
    assert run.message == command("check", name).message
    assert 0 == command.process("check", GOOD.write_layout(tmp_path / "good")).status


def test_a_report_is_written_where_it_shall_go_and_nowhere_else(command, tmp_path):
    name, report = GOOD.write_layout(tmp_path / "layout"), tmp_path / "report"
    command("check", name, "-o", report, writes=[report])

    # Who watches for other writes sees this one.
    with pytest.raises(AssertionError):
        command("check", name, "-o", report)


# -- fields --------------------------------------------------------------------------------------------------------

GONE = object()
ZEROS = "sha256:" + "0" * 64
PLAIN_LAYER = "application/vnd.oci.image.layer.v1.tar"
WRONG = [
    GONE, None, True, 0, 1, -1, 2**31, 2**63, 2**70, 1.5, "", "x", "\x1b[2J\u202e", "\udcff", "../../../../etc/passwd", [], {},
    [None], {"a": {"b": "c"}}, ZEROS, "sha512:" + "0" * 128, "application/vnd.oci.image.manifest.v1+json",
    PLAIN_LAYER, "application/vnd.oci.empty.v1+json", "x" * 100_000, [[]] * 2000,
]  # fmt: skip


def places(document, path=()):
    """Every place of a document, by its path."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def changed(document, path, value):
    document = copy.deepcopy(document)
    holder = document
    for key in path[:-1]:
        holder = holder[key]
    if value is GONE:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return json.dumps(document).encode()


def decides(path):
    """Whether something else at this place makes another image of it, or none."""
    if path[0] in ("layers", "config", "manifests") and "annotations" not in path:
        return path[-1] not in ("platform", "os", "architecture", "created")
    return path[0] in ("schemaVersion", "rootfs")


MANIFEST = json.loads(GOOD.manifest)
CONFIG = json.loads(GOOD.config)


@pytest.mark.parametrize("path", list(places(MANIFEST)), ids=lambda path: ".".join(map(str, path)))
def test_no_field_of_a_manifest_can_be_wrong_unseen(command, tmp_path, path):
    for number, value in enumerate(WRONG):
        raw = changed(MANIFEST, path, value)
        if json.loads(raw) == MANIFEST:
            continue
        name = GOOD.with_manifest(raw).write_layout(tmp_path / str(number))
        for word, arguments in COMMANDS[: 4 if number % 5 == 0 else 1]:
            run = command(word, name, *arguments)
            # Whether a layer is compressed is told by its bytes, for containerd, Docker, Podman and us.
            if decides(path) and not (path[-1] == "mediaType" and value == PLAIN_LAYER):
                assert (3, b"") == (run.status, run.out), (value, run)


@pytest.mark.parametrize("path", list(places(CONFIG)), ids=lambda path: ".".join(map(str, path)))
def test_no_field_of_a_configuration_can_be_wrong_unseen(command, tmp_path, path):
    for number, value in enumerate(WRONG):
        raw = changed(CONFIG, path, value)
        if json.loads(raw) == CONFIG:
            continue
        document = copy.deepcopy(MANIFEST)
        document["config"] |= {"digest": digest_of(raw), "size": len(raw)}
        image = GOOD.with_manifest(json.dumps(document).encode())
        layout = tmp_path / str(number)
        name = image.write_layout(layout)
        (layout / "blobs/sha256" / digest_of(raw).removeprefix("sha256:")).write_bytes(raw)
        for word, arguments in (COMMANDS[number % 2], ("history", ("/boot/vmlinuz",)))[
            : 1 + (path[0] == "history")
        ]:
            run = command(word, name, *arguments)
            if path[0] == "rootfs":
                assert (3, b"") == (run.status, run.out), (value, run)


def test_no_two_documents_are_one(command, tmp_path):
    """Keys given twice, in another case, or for a manifest and an index at once: decoders take this or that one."""
    body = GOOD.manifest.decode().strip()
    for number, raw in enumerate(
        [
            body[:-1] + ',"layers":[]}',
            body[:-1] + ',"LAYERS":[]}',
            body[:-1] + ',"manifests":[]}',
            body[:-1] + ',"config":{}}',
            body + body,
            body + "x",
            "\ufeff" + body,
            body.replace('"layers"', '"layer\\u0073","layers"'),
            "[" * 5000,
            '{"a":' * 5000,
            "",
            "null",
            "[]",
        ]
    ):
        name = GOOD.with_manifest(raw.encode()).write_layout(tmp_path / str(number))
        run = command("check", name)
        assert (3, b"") == (run.status, run.out), (raw[-60:], run)


def test_an_index_that_leads_to_itself_ends(command, tmp_path):
    digest = "sha256:" + "1" * 64
    item = {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest, "size": 0}
    document = {"schemaVersion": 2, "manifests": [item]}
    for _ in range(3):
        item["size"] = len(json.dumps(document))
    raw = json.dumps(document).encode()
    index = INDEX.with_manifest(raw)
    layout = tmp_path / "layout"
    name = index.write_layout(layout)
    (layout / "blobs/sha256" / ("1" * 64)).write_bytes(raw)

    assert 3 == command("check", name).status


def test_layers_of_nothing_and_of_noise_are_3_or_told(command, tmp_path):
    for number, blob in enumerate(
        [b"", b"\0", bytes(1024), b"x" * 512, b"\x1f\x8b", b"\x28\xb5\x2f\xfd", bytes(511)]
    ):
        for media_type in (None, "application/vnd.oci.image.layer.v1.tar+gzip"):
            built = ImageBuilder().raw_layer(blob, media_type=media_type).build()
            name = built.write_layout(tmp_path / f"{number}-{media_type is None}")
            assert command("check", name).status in (1, 3)
