"""What each layer does: observed as it is applied, and compared with the trees without and with it."""

import json
import os
import random
import subprocess

import pytest
from hypothesis import given, settings

from cosinspect.image.opening import open_image
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.rootfs.effects import _Observed, stack_effects
from cosinspect.rootfs.efficiency import Efficiency, measure_efficiency
from cosinspect.rootfs.history import Action
from cosinspect.rootfs.semantics import Semantics
from cosinspect.testing import Directory, File, Hardlink, ImageBuilder, Opaque, Symlink, Whiteout, tar_bytes
from go_judge import needs_go
from random_stacks import STACKS, index_of
from stacks import SCALE
from stacks import index_of as indexed

LOWER = {
    "etc/motd": "12345",
    "etc/hosts": "123",
    "usr/bin/sh": File("1234567"),
    "usr/bin/bash": Hardlink("usr/bin/sh"),
    "bin": Symlink("usr/bin"),
    "var/cache/a": "1",
    "var/cache/b/c": "22",
}


def effects(*layers, semantics=Semantics.OCI):
    found = stack_effects([indexed(tar_bytes(layer)) for layer in layers], semantics)
    return [(each.added, each.changed, each.removed, each.wasted_bytes) for each in found.layers], [
        (each.path, each.size, each.layer, each.gone, each.action) for each in found.wasted
    ]


@pytest.mark.parametrize("semantics", Semantics)
def test_a_layer_adds_changes_and_removes(semantics):
    upper = {"etc/motd": "new", "etc/hosts": Whiteout(), "etc/new": Symlink("motd")}

    assert effects(LOWER, upper, semantics=semantics) == (
        [(7, 0, 0, 8), (1, 1, 1, 0)],
        [("/etc/motd", 5, 0, 1, Action.REPLACED), ("/etc/hosts", 3, 0, 1, Action.REMOVED)],
    )


@pytest.mark.parametrize("semantics", [Semantics.OCI, Semantics.OVERLAY])
def test_directories_are_emptied_and_removed(semantics):
    upper = {"var/cache": Directory(), "var/cache/": Opaque(), "var/cache/b": "now a file"}

    assert effects(LOWER, upper, {"etc": Whiteout()}, semantics=semantics) == (
        [(7, 0, 0, 11), (1, 0, 2, 0), (0, 0, 2, 0)],
        [
            ("/etc/motd", 5, 0, 2, Action.REMOVED),
            ("/etc/hosts", 3, 0, 2, Action.REMOVED),
            ("/var/cache/b/c", 2, 0, 1, Action.REMOVED),
            ("/var/cache/a", 1, 0, 1, Action.REMOVED),
        ],
    )  # fmt: skip


def test_a_content_is_wasted_when_its_last_name_is_gone():
    first, second = {"usr/bin/sh": Whiteout()}, {"usr/bin/bash": "other"}

    assert effects(LOWER, first)[1] == []
    assert effects(LOWER, first, second)[1] == [("/usr/bin/sh", 7, 0, 2, Action.REPLACED)]


def test_names_are_counted_at_their_real_paths():
    """The directory becomes a link, behind which there is a file of the same name."""
    lower = {"bin/sh": "1", "bin/a": "22", "usr/bin/a": "333"}
    upper = {"bin": Whiteout(), "usr/bin/sh": "4"}

    assert effects(lower, upper, {"bin": Symlink("usr/bin")})[0] == [
        (3, 0, 0, 3),
        (1, 0, 2, 0),
        (1, 0, 0, 0),
    ]


def test_names_behind_a_link_are_those_of_its_target():
    layers = [{"bin": Symlink("usr/bin"), "usr/bin/a": "1"}, {"bin/b": "2"}, {"bin/a": Whiteout()}]
    indexes = [indexed(tar_bytes(layer, parents=False)) for layer in layers]

    found = stack_effects(indexes)

    assert [(each.added, each.changed, each.removed) for each in found.layers] == [
        (2, 0, 0),
        (1, 0, 0),
        (0, 0, 1),
    ]
    assert [(each.path, each.gone) for each in found.wasted] == [("/usr/bin/a", 2)]


def test_a_link_that_is_replaced_behind_names_below_it():
    """`bin/b` is written to usr/bin, and `bin` leads elsewhere at the end of the layer."""
    layers = [{"bin": Symlink("usr/bin"), "usr/bin/a": "1"}, {"bin/b": "2", "bin": Symlink("opt")}]

    found = stack_effects([indexed(tar_bytes(layer, parents=False)) for layer in layers])

    assert [(each.added, each.changed, each.removed) for each in found.layers] == [(2, 0, 0), (1, 1, 0)]


@given(STACKS)
@settings(max_examples=150 * SCALE)
def test_what_is_observed_is_the_difference_between_the_trees(stack):
    indexes = [
        index_of([item for item in layer if item.path[:1] != ("lib",) and "lib" not in item.path])
        for layer in stack
    ]
    observed, compared = _Observed(), _Observed()

    observed.apply(indexes, Semantics.OCI, DEFAULT_LIMITS)
    compared.compare(indexes, Semantics.OCI, DEFAULT_LIMITS)

    assert observed.counts == compared.counts
    assert observed.gone == compared.gone


def test_efficiency_is_dive_s():
    """The figures are dive's own, of `dive --json` for an image with these layers (v0.13.1)."""
    layers = [
        {
            "etc/motd": "hello\n" * 100,
            "usr/bin/sh": "x" * 3000,
            "usr/bin/bash": Hardlink("usr/bin/sh"),
            "boot/vmlinuz-6.4": "k" * 5000,
            "boot/vmlinuz": Symlink("vmlinuz-6.4"),
            "var/cache/a": "a" * 9999,
            "var/cache/b": "bb",
        },
        {"boot/vmlinuz-6.4": Whiteout(), "boot/vmlinuz-6.5": "n" * 6000, "etc/motd": "hi\n"},
        {"var/cache": Whiteout()},
    ]

    found = measure_efficiency([indexed(tar_bytes(layer)) for layer in layers])

    assert found == Efficiency(pytest.approx(0.8381736743245196), 5603)
    assert measure_efficiency([]) == Efficiency(1.0, 0)


def _stack(seed):
    """Layers as a builder writes them: whiteouts only of what is there."""
    random_ = random.Random(seed)
    there = set()
    layers = []
    for _ in range(5):
        layer = {}
        for _ in range(12):
            path = "/".join(random_.choices("abc", k=random_.randint(1, 3)))
            near = {
                each
                for each in [*there, *layer]
                if each.startswith(f"{path}/") or path.startswith(f"{each}/")
            }
            if near - there or any(path.startswith(f"{each}/") for each in near):
                continue
            if path in layer:
                continue
            if path in there or near:
                if path in there and random_.random() < 0.5:
                    layer[path] = "y" * random_.randint(0, 500)
                else:
                    layer[path] = Whiteout()
                    there -= {path, *near}
            else:
                layer[path] = "x" * random_.randint(0, 500)
        there |= {path for path, entry in layer.items() if isinstance(entry, str)}
        layers.append(layer)
    return layers


@pytest.fixture(scope="module")
def dive(tmp_path_factory):
    target = tmp_path_factory.mktemp("dive")
    subprocess.run(
        ["go", "install", "github.com/wagoodman/dive@v0.13.1"],
        env={**os.environ, "GOBIN": str(target), "GOFLAGS": "-mod=mod"},
        check=True,
    )
    return target / "dive"


@pytest.mark.modules
@needs_go
@pytest.mark.parametrize("seed", range(20))
def test_dive_counts_the_same(dive, seed, tmp_path):
    builder = ImageBuilder()
    for layer in _stack(seed):
        builder = builder.layer(layer, parents=seed % 4 > 0)
    name = builder.build().write_layout(tmp_path / "image")
    archive = tmp_path / "image.tar"
    subprocess.run(["skopeo", "copy", "-q", name, f"docker-archive:{archive}:a:b"], check=True)
    subprocess.run(
        [dive, f"docker-archive://{archive}", "--json", tmp_path / "dive.json"],
        check=True,
        capture_output=True,
    )
    said = json.loads((tmp_path / "dive.json").read_text())["image"]

    with open_image(name) as image:
        found = measure_efficiency(image.read_rootfs().indexes)

    assert found == Efficiency(pytest.approx(said["efficiencyScore"]), said["inefficientBytes"])
