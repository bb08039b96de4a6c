"""The explorer: what its views show, and what its keys do, by textual's pilot."""

import asyncio
import io

import pytest

from cosinspect import cli, open_image
from cosinspect.commands.explore import explorer
from cosinspect.explorer.pages import content_page
from cosinspect.explorer.views import Mark, ViewName, Views
from cosinspect.rootfs.semantics import Semantics
from cosinspect.testing import ImageBuilder, Opaque, Symlink, Whiteout
from cosinspect.testing.derivative import derivative

textual = pytest.importorskip("textual")

LAYERS = [
    {
        "etc/motd": "hello\n\x1b[31m",
        "etc/hosts": "h",
        "var/d/a": "1",
        "bin/x": b"\x00\xff" * 20,
        "odd/[b]\udcff": "",
    },
    {"etc/motd": "new", "etc/hosts": Whiteout(), "etc/new": "n", "var/d/": Opaque(), "var/d/b": "2"},
    {"opt/link": Symlink("/etc/new"), "opt/loop": Symlink("loop")},
]


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    builder = ImageBuilder()
    for number, layer in enumerate(LAYERS):
        builder = builder.layer(layer, created_by=f"STEP {number}")
    with open_image(builder.build().write_layout(tmp_path_factory.mktemp("image"))) as image:
        yield Views(image, image.read_rootfs())


def marks(view):
    return {path: mark.value for path, mark in view.marks.items() if mark is not Mark.INSIDE}


def test_a_layer_s_view_marks_what_the_layer_does(views):
    view = views.view(ViewName(layer=1))

    assert marks(view) == {
        "/etc/motd": "changed",
        "/etc/hosts": "removed",
        "/etc/new": "added",
        "/var/d/a": "removed",
        "/var/d/b": "added",
    }
    assert {"/etc", "/var", "/var/d"} == {path for path, mark in view.marks.items() if mark is Mark.INSIDE}
    assert [(row.entry.name, row.mark.value) for row in view.children("/etc")] == [
        ("hosts", "removed"),
        ("motd", "changed"),
        ("new", "added"),
    ]
    assert view.lookup("/opt/link") is None  # of a later layer


def test_the_lowest_layer_adds_everything(views):
    view = views.view(ViewName(layer=0))

    assert set(marks(view).values()) == {"added"}
    assert view.lookup("/etc/motd").entry.size == 11


def test_a_reader_s_view_marks_where_it_differs(views):
    """elemental has no opaque whiteouts (docs/semantics.md): what they delete stays."""
    view = views.view(ViewName(reader=Semantics.ELEMENTAL))

    assert marks(view) == {"/var/d/a": "added"}
    assert view.comparison.causes["/var/d/a"].kind == "opaque-whiteout"


def test_names_are_found_with_the_directories_above_them(views):
    view = views.view(ViewName(layer=1))

    assert view.find("hosts", frozenset()) == {"/", "/etc", "/etc/hosts"}
    assert view.find("", frozenset({Mark.SAME, Mark.INSIDE, Mark.ADDED, Mark.CHANGED})) == {
        "/",
        "/etc",
        "/etc/hosts",
        "/var",
        "/var/d",
        "/var/d/a",
    }
    assert view.find("", frozenset(), {"/etc/new": 1}) == {"/", "/etc", "/etc/new"}


@pytest.mark.parametrize(
    ("layer", "path", "lines"),
    [
        (0, "/etc/motd", ["hello", "\\x1b[31m"]),
        (1, "/etc/hosts", ["h"]),
        (2, "/opt/link", ["n"]),
        (2, "/etc", ["a dir has no content"]),
        (0, "/bin/x", ["00000000  00 ff 00 ff 00 ff 00 ff 00 ff 00 ff 00 ff 00 ff  ................"]),
    ],
)
def test_a_content_is_shown(views, layer, path, lines):
    view = views.view(ViewName(layer=layer))

    page = list(content_page(view, view.lookup(path)))

    assert page[-len(lines) :] == lines or page[: len(lines)] == lines


def played(image, play, size=(130, 60)):
    """Open the explorer on an image, and let a function press keys."""

    async def run():
        app = explorer(image)
        async with app.run_test(size=size) as pilot:
            await settled(app, pilot)
            # The checks begin after the first picture.
            while "the checks run" in screen(app):
                await settled(app, pilot)
            await play(app, pilot)

    asyncio.run(run())


def screen(app):
    """The text on the screen."""
    return "\n".join(
        "".join(segment.text for segment in line) for line in app.screen._compositor.render_strips()
    )


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    with open_image(derivative("kernel-dangling").write_layout(tmp_path_factory.mktemp("broken"))) as image:
        yield image


async def settled(app, pilot):
    await pilot.pause(0.2)
    await app.workers.wait_for_complete()
    await pilot.pause()


def test_findings_lead_to_their_paths(broken):
    async def play(app, pilot):
        assert "boot no, install no" in screen(app).splitlines()[0]
        await pilot.press("3", "tab", "enter")
        await settled(app, pilot)
        assert app._at == "/boot/vmlinuz"
        assert app.focused is app._tree
        assert "vmlinuz -> vmlinuz-6.1.0-50-amd64  ! 1 finding" in screen(app)
        await pilot.press("1")
        await settled(app, pilot)
        assert "COS011 kernel-link-dangling" in screen(app)
        assert "/boot/vmlinuz-6.1.0-50-amd64 was deleted" in screen(app)
        await pilot.press("4")
        await settled(app, pilot)
        assert "fails: GRUB loads the kernel" in screen(app)

    played(broken, play)


def test_a_layer_is_chosen_and_the_tree_filtered(broken):
    async def play(app, pilot):
        app.query_one("#views").focus()
        await pilot.press("end", "up", "up", "up")  # the last layer; three readers follow it
        await settled(app, pilot)
        assert app.shown.name == ViewName(layer=len(broken.layers) - 1)
        await pilot.press("enter", "ctrl+u")
        await settled(app, pilot)
        assert "- vmlinuz-6.1.0-50-amd64" in screen(app)
        assert "os-release" not in screen(app)
        await pilot.press("escape", "slash", *"os-release", "enter")
        await settled(app, pilot)
        assert "os-release" in screen(app)
        await pilot.press("slash", "q", "1")  # letters are text there, not keys
        await settled(app, pilot)
        assert app.query_one("#filter").value == "q1"
        await pilot.press("escape", "slash", *"os-release", "enter")
        await settled(app, pilot)
        assert "vmlinuz" not in screen(app).split("Details")[0].splitlines()[3]
        await pilot.press("ctrl+b")
        await settled(app, pilot)
        assert "-rw-r--r--" in screen(app)

    played(broken, play)


def test_a_file_is_opened_with_enter(broken):
    async def play(app, pilot):
        app.reveal("/etc/os-release")
        await settled(app, pilot)
        await pilot.press("enter")
        await settled(app, pilot)
        assert "NAME=" in screen(app)

    played(broken, play)


def test_the_command_needs_a_terminal(broken):
    out, err = io.TextIOWrapper(io.BytesIO()), io.TextIOWrapper(io.BytesIO())

    assert cli.main(["explore", broken.name], stdout=out, stderr=err) == 2
    err.flush()
    assert b"expected a terminal on standard input and output" in err.buffer.getvalue()
