"""The view that people use: paths walked by Linux's rules inside the image's root, contents verified, errors that tell."""

import os

import pytest

from cosinspect.errors import (
    DigestMismatch,
    LimitExceeded,
    NotADirectory,
    NotARegularFile,
    PathNotFound,
    RootfsError,
    SymlinkLoop,
)
from cosinspect.layer.retain import Retain
from cosinspect.limits import Limits
from cosinspect.rootfs.rootfs import Hop, Rootfs
from cosinspect.testing import (
    Device,
    Directory,
    Fifo,
    File,
    Hardlink,
    RawName,
    Symlink,
    Whiteout,
    tar_bytes,
)
from stacks import index_of, layer_of

BASE = {
    "bin": Symlink("usr/bin"),
    "boot": Directory(mode=0o700, uid=1, gid=2, mtime=3),
    "boot/vmlinuz-6.1": "kernel",
    "boot/vmlinuz": Symlink("vmlinuz-6.1"),
    "boot/dangling": Symlink("nowhere/at/all"),
    "dev/null": Device("char", 1, 3, mode=0o666),
    "dev/sda": Device("block", 8, 0),
    "etc/hosts": File("127.0.0.1\n", mode=0o640, uid=5, gid=6, mtime=7, xattrs={"user.note": "seen"}),
    "etc/os-release": Symlink("../usr/lib/os-release"),
    "run/pipe": Fifo(),
    "usr/bin/tool": File("#!/bin/sh\n", mode=0o4755),
    "usr/bin/same": Hardlink("usr/bin/tool"),
    "usr/lib/os-release": "ID=cos\n",
}


def rootfs_of(*layers, **options):
    """A tree whose layers keep every body; parents stay implied, so that links remain what they are."""
    return Rootfs([index_of(tar_bytes(layer, parents=False)) for layer in layers], **options)


@pytest.fixture(scope="module")
def base():
    return rootfs_of(BASE)


# -- lstat and stat --------------------------------------------------------------------------------------------------


def test_an_entry_has_all_that_its_header_says(base):
    entry = base.lstat("/etc/hosts")

    assert "/etc/hosts" == entry.path
    assert "hosts" == entry.name
    assert "file" == entry.type
    assert 0o640 == entry.mode
    assert (5, 6, 10, 7) == (entry.uid, entry.gid, entry.size, entry.mtime)
    assert {"user.note": "seen"} == entry.xattrs
    assert ("", (0, 0), 0) == (entry.link, entry.device, entry.layer)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/boot", "dir"),
        ("/boot/vmlinuz", "symlink"),
        ("/dev/null", "char"),
        ("/dev/sda", "block"),
        ("/run/pipe", "fifo"),
        ("/usr/bin/tool", "file"),
        ("/usr/bin/same", "file"),
    ],
)
def test_every_type_of_file_has_its_word(base, path, kind):
    assert kind == base.lstat(path).type


def test_a_device_has_its_numbers(base):
    assert (1, 3) == base.stat("/dev/null").device


def test_a_directory_that_is_listed_has_its_attributes(base):
    entry = base.stat("/boot")

    assert (0o700, 1, 2, 3, 0) == (entry.mode, entry.uid, entry.gid, entry.mtime, entry.size)


def test_a_directory_that_is_only_used_has_the_usual_attributes(base):
    entry = base.stat("/etc")

    assert ("dir", 0o755, 0, 0, 0) == (entry.type, entry.mode, entry.uid, entry.gid, entry.mtime)


def test_the_root_is_there_even_without_layers():
    entry = Rootfs([]).stat("/")

    assert ("/", "", "dir") == (entry.path, entry.name, entry.type)


def test_the_root_has_the_attributes_that_a_layer_gives_it():
    assert 0o711 == rootfs_of({"/": Directory(mode=0o711)}).stat("/").mode


def test_the_root_keeps_its_owner_where_an_entry_leaves_it_unchanged():
    """chown(2) takes 2**32 - 1 as "leave unchanged", for the root as for every directory."""
    layers = [{".": Directory(uid=5, gid=6)}, {".": Directory(mode=0o700, uid=2**32 - 1, gid=2**32 - 1)}]
    root = rootfs_of(*layers).lstat("/")
    assert (0o700, 5, 6) == (root.mode, root.uid, root.gid)
    root = rootfs_of(layers[1]).lstat("/")
    assert (0o700, 0, 0) == (root.mode, root.uid, root.gid)


def test_only_regular_files_are_executable(base):
    assert base.stat("/usr/bin/tool").is_executable
    assert not base.stat("/etc/hosts").is_executable
    assert not base.stat("/boot").is_executable
    assert not base.lstat("/boot/vmlinuz").is_executable


def test_the_layer_is_the_one_that_gave_the_name():
    tree = rootfs_of({"a": "1", "b": "1"}, {"b": "2", "c": Hardlink("a")})

    assert [0, 1, 1] == [tree.stat(path).layer for path in ("/a", "/b", "/c")]


def test_lstat_follows_the_directories_and_not_the_end(base):
    assert "symlink" == base.lstat("/boot/vmlinuz").type
    assert "/usr/bin/tool" == base.lstat("/bin/tool").path


def test_stat_follows_everything(base):
    assert "/boot/vmlinuz-6.1" == base.stat("/boot/vmlinuz").path


@pytest.mark.parametrize("path", ["etc/hosts", "//etc///hosts", "/etc/./hosts", "/boot/../etc/hosts"])
def test_a_path_may_be_written_in_many_ways(base, path):
    assert "/etc/hosts" == base.stat(path).path


@pytest.mark.parametrize("path", ["", "/", "//", ".", "..", "/../..", "/etc/../.."])
def test_what_is_above_the_root_is_the_root(base, path):
    assert "/" == base.resolve(path)


def test_a_link_that_climbs_ends_at_the_root():
    tree = rootfs_of({"a/b/link": Symlink("../../../../../etc/hosts"), "etc/hosts": "x"})

    assert "/etc/hosts" == tree.resolve("/a/b/link")


def test_an_absolute_link_starts_at_the_images_root():
    tree = rootfs_of({"a/b/link": Symlink("/etc/hosts"), "etc/hosts": "x"})

    assert "/etc/hosts" == tree.resolve("/a/b/link")


def test_dots_behind_a_link_count_from_where_it_leads():
    tree = rootfs_of({"short": Symlink("deep/er"), "deep/er/x": "", "deep/y": "found"})

    assert "/deep/y" == tree.resolve("/short/../y")


def test_bytes_that_are_no_utf8_are_surrogates():
    tree = rootfs_of([(RawName(b"caf\xe9"), File("x"))])

    (entry,) = [entry for entry in tree.walk() if entry.type == "file"]
    assert b"/caf\xe9" == os.fsencode(entry.path)
    assert b"x" == tree.read_bytes(entry.path)


# -- what goes wrong on the way --------------------------------------------------------------------------------------


def test_a_missing_path_is_told(base):
    with pytest.raises(PathNotFound) as caught:
        base.stat("/etc/nothing")

    assert "/etc/nothing: expected a file, /etc/nothing is not there" == str(caught.value)
    assert isinstance(caught.value, FileNotFoundError)


def test_of_a_missing_path_the_first_missing_name_is_told(base):
    with pytest.raises(PathNotFound, match="/etc/a is not there"):
        base.stat("/etc/a/b/c")


def test_a_dangling_link_is_told_with_its_chain(base):
    with pytest.raises(PathNotFound) as caught:
        base.stat("/boot/dangling")

    assert (
        "/boot/dangling: expected a file, /boot/nowhere is not there (/boot/dangling -> nowhere/at/all)"
        == str(caught.value)
    )


def test_a_dangling_link_is_there_itself(base):
    assert "nowhere/at/all" == base.lstat("/boot/dangling").link
    assert not base.exists("/boot/dangling")


@pytest.mark.parametrize(
    "path", ["/etc/hosts/x", "/etc/hosts/", "/etc/hosts/.", "/etc/hosts/..", "/dev/null/x"]
)
def test_a_file_is_no_directory(base, path):
    with pytest.raises(NotADirectory, match=r"expected a directory at /(etc/hosts|dev/null) on the way"):
        base.stat(path)


def test_a_link_whose_target_ends_in_a_slash_leads_to_a_directory_only():
    tree = rootfs_of({"dir/x": "", "file": "", "good": Symlink("dir/"), "bad": Symlink("file/")})

    assert "/dir" == tree.resolve("/good")
    with pytest.raises(NotADirectory):
        tree.stat("/bad")
    assert "symlink" == tree.lstat("/bad").type


def test_a_trailing_slash_follows_a_link_to_a_directory(base):
    assert "/usr/bin" == base.lstat("/bin/").path
    assert "/bin" == base.lstat("/bin").path


def test_a_trailing_slash_on_a_link_to_a_file_fails(base):
    with pytest.raises(NotADirectory):
        base.lstat("/boot/vmlinuz/")


@pytest.mark.parametrize(
    "links",
    [
        {"x": "x"},
        {"x": "y", "y": "x"},
        {"x": "/y", "y": "/./x"},
        {"x": "x/deeper"},
        {"x": "y/a", "y": "x/b"},
    ],
)
def test_links_in_a_circle_end_as_a_loop(links):
    tree = rootfs_of({path: Symlink(target) for path, target in links.items()})

    with pytest.raises(SymlinkLoop) as caught:
        tree.stat("/x")

    assert "/x: expected the links to end, followed 40" == str(caught.value)


def chain(count):
    """`l0` leads through so many links to `end`."""
    links = {f"l{number}": Symlink(f"l{number + 1}") for number in range(count - 1)}
    return rootfs_of({**links, f"l{count - 1}": Symlink("end"), "end": "here"})


def test_forty_links_are_followed():
    assert "/end" == chain(40).resolve("/l0")


def test_forty_one_links_are_too_many():
    with pytest.raises(SymlinkLoop):
        chain(41).resolve("/l0")


def test_links_of_directories_count_too():
    tree = rootfs_of({**{f"l{number}": Symlink(".") for number in range(41)}, "end": ""})

    assert "/end" == tree.resolve("/".join([f"/l{number}" for number in range(40)]) + "/end")
    with pytest.raises(SymlinkLoop):
        tree.resolve("/".join([f"/l{number}" for number in range(41)]) + "/end")


def test_the_limit_of_links_can_be_set():
    tree = rootfs_of({"a": Symlink("b"), "b": Symlink("c"), "c": ""}, limits=Limits(link_hops=1))

    assert "/c" == tree.resolve("/b")
    with pytest.raises(SymlinkLoop, match="followed 1"):
        tree.resolve("/a")


# -- trace -----------------------------------------------------------------------------------------------------------


def test_a_trace_tells_each_link_and_the_layer_that_put_it_there():
    tree = rootfs_of({"usr/lib/kernel": "k", "lib": Symlink("usr/lib")}, {"vmlinuz": Symlink("lib/kernel")})

    trace = tree.trace("/vmlinuz")

    assert (Hop("/vmlinuz", "lib/kernel", 1), Hop("/lib", "usr/lib", 0)) == trace.hops
    assert "/vmlinuz -> lib/kernel -> usr/lib" == trace.chain
    assert ("/usr/lib/kernel", "") == (trace.at, trace.problem)
    assert trace.entry is not None
    assert "/usr/lib/kernel" == trace.entry.path
    assert "/vmlinuz -> lib/kernel (layer 1)" == str(trace.hops[0])


@pytest.mark.parametrize(
    ("path", "at", "problem"),
    [
        ("/etc/nothing/deeper", "/etc/nothing", "missing"),
        ("/boot/dangling", "/boot/nowhere", "missing"),
        ("/etc/hosts/deeper", "/etc/hosts", "not-a-directory"),
        ("/bin/tool/", "/usr/bin/tool", "not-a-directory"),
    ],
)
def test_a_trace_that_fails_tells_where_and_why(base, path, at, problem):
    trace = base.trace(path)

    assert (None, at, problem) == (trace.entry, trace.at, trace.problem)


def test_a_trace_of_a_loop_has_the_links_that_were_followed():
    trace = rootfs_of({"x": Symlink("y"), "y": Symlink("x")}).trace("/x")

    assert ("loop", 40) == (trace.problem, len(trace.hops))


def test_a_trace_need_not_follow_the_end(base):
    trace = base.trace("/bin", follow=False)

    assert () == trace.hops
    assert trace.entry is not None
    assert "symlink" == trace.entry.type


# -- names -----------------------------------------------------------------------------------------------------------


def test_readlink_gives_the_target_as_written(base):
    assert "../usr/lib/os-release" == base.readlink("/etc/os-release")


def test_readlink_of_something_else_is_refused(base):
    with pytest.raises(RootfsError, match="/etc/hosts: expected a symbolic link, found a file"):
        base.readlink("/etc/hosts")


def test_listdir_is_sorted_and_follows_links(base):
    assert ["same", "tool"] == base.listdir("/bin")
    assert ["bin", "boot", "dev", "etc", "run", "usr"] == base.listdir("/")


def test_listdir_of_a_file_is_refused(base):
    with pytest.raises(NotADirectory, match="/etc/hosts: expected a directory, found a file"):
        base.listdir("/etc/hosts")


def test_walk_gives_directories_before_their_contents_and_follows_no_link(base):
    paths = [entry.path for entry in base.walk()]

    assert sorted(paths, key=lambda path: path.split("/")) == paths
    assert "/" == paths[0]
    assert "/bin" in paths
    assert "/bin/tool" not in paths
    # what the layer lists, and the directories that it only uses
    assert len(BASE) + len(["/", "/dev", "/etc", "/run", "/usr", "/usr/bin", "/usr/lib"]) == len(paths)


def test_walk_may_start_anywhere_and_through_a_link(base):
    assert ["/usr/bin", "/usr/bin/same", "/usr/bin/tool"] == [entry.path for entry in base.walk("/bin")]
    assert ["/etc/hosts"] == [entry.path for entry in base.walk("/etc/hosts")]


def test_walk_of_nothing_is_refused(base):
    with pytest.raises(PathNotFound):
        next(base.walk("/nothing"))


def test_depth_costs_no_recursion():
    deep = "/".join(["d"] * 900)
    tree = rootfs_of({f"{deep}/file": "x"})

    assert f"/{deep}/file" == [entry.path for entry in tree.walk()][-1]
    assert 1 == len(tree.glob("/**/file"))


# -- glob ------------------------------------------------------------------------------------------------------------

TREE = {
    "boot/initrd-1": "",
    "boot/initrd-2": "",
    "boot/initrd-10": "",
    "boot/Initrd-1": "",
    "boot/.hidden": "",
    "boot/[": "",
    "boot/a]": "",
    "boot/a-b": "",
    "boot/dir/initrd-1": "",
    "link": Symlink("boot"),
    "boot/up": Symlink(".."),
    "boot/dangling": Symlink("nowhere"),
}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("/boot/initrd-*", ["/boot/initrd-1", "/boot/initrd-10", "/boot/initrd-2"]),
        ("boot/initrd-?", ["/boot/initrd-1", "/boot/initrd-2"]),
        ("/boot/[iI]nitrd-1", ["/boot/Initrd-1", "/boot/initrd-1"]),
        ("/boot/initrd-[2-9]", ["/boot/initrd-2"]),
        ("/boot/initrd-[!2-9]", ["/boot/initrd-1"]),
        ("/boot/initrd-[9-2]", []),
        ("/boot/[", ["/boot/["]),
        ("/boot/[[]", ["/boot/["]),
        ("/boot/?[]]", ["/boot/a]"]),
        ("/boot/a[!]]b", ["/boot/a-b"]),
        ("/boot/[!]", []),
        ("/boot/a[a-]b", ["/boot/a-b"]),
        ("/boot/a[--0]b", ["/boot/a-b"]),
        ("/boot/.h*", ["/boot/.hidden"]),
        ("/boot/nothing*", []),
        ("/nothing/*", []),
        ("/boot/*/initrd-1", ["/boot/dir/initrd-1"]),
        ("/**/initrd-1", ["/boot/dir/initrd-1", "/boot/initrd-1"]),
        ("/boot/**/initrd-1", ["/boot/dir/initrd-1", "/boot/initrd-1"]),
        ("/boot/dir/**", ["/boot/dir", "/boot/dir/initrd-1"]),
        ("/link/initrd-1", ["/boot/initrd-1"]),
        ("/l*/initrd-1", ["/boot/initrd-1"]),
        ("/link/**/initrd-1", ["/boot/dir/initrd-1", "/boot/initrd-1"]),
        ("/boot/up/boot/initrd-2", ["/boot/initrd-2"]),
        ("/boot/d*", ["/boot/dangling", "/boot/dir"]),
        ("/boot/initrd-1/*", []),
        ("/boot/../boot/initrd-2", ["/boot/initrd-2"]),
        ("/", ["/"]),
        ("", ["/"]),
    ],
)
def test_a_glob_gives_real_paths_each_once(pattern, expected):
    assert expected == [entry.path for entry in rootfs_of(TREE).glob(pattern)]


def test_a_glob_of_everything_is_the_walk(base):
    assert sorted(entry.path for entry in base.walk()) == [entry.path for entry in base.glob("/**")]


def test_two_ways_to_a_file_are_one_match():
    tree = rootfs_of({"a/x": "", "b": Symlink("a"), "c": Symlink("a")})

    assert ["/a/x"] == [entry.path for entry in tree.glob("/*/x")]


def test_many_stars_cost_no_more_than_one():
    tree = rootfs_of({"a" * 200: ""})

    assert [] == tree.glob("/" + "*a" * 60 + "*b")


# -- contents --------------------------------------------------------------------------------------------------------


def test_a_file_is_read_through_links(base):
    assert b"kernel" == base.read_bytes("/boot/vmlinuz")
    assert "ID=cos\n" == base.read_text("/etc/os-release")


def test_text_keeps_bytes_that_are_no_utf8():
    assert "caf\udce9" == rootfs_of({"x": b"caf\xe9"}).read_text("/x")


def test_a_file_is_read_in_pieces(base):
    with base.open("/boot/vmlinuz") as stream:
        assert [b"ke", b"rnel", b""] == [stream.read(2), stream.read(), stream.read()]


@pytest.mark.parametrize(
    ("path", "kind"), [("/boot", "dir"), ("/", "dir"), ("/dev/null", "char"), ("/run/pipe", "fifo")]
)
def test_only_regular_files_are_read(base, path, kind):
    with pytest.raises(NotARegularFile, match=f"{path}: expected a regular file, found a {kind}"):
        base.open(path)


def test_a_larger_file_than_allowed_is_refused_by_its_size(base):
    assert b"kernel" == base.read_bytes("/boot/vmlinuz", limit=6)
    with pytest.raises(LimitExceeded) as caught:
        base.read_bytes("/boot/vmlinuz", limit=5)

    assert "/boot/vmlinuz-6.1: expected at most 5 bytes, the file has 6" == str(caught.value)
    assert ("parsed_file_bytes", 5) == (caught.value.limit, caught.value.bound)


def test_the_usual_bound_is_that_of_the_limits():
    tree = rootfs_of({"x": "12345"}, limits=Limits(parsed_file_bytes=4))

    with pytest.raises(LimitExceeded, match="expected at most 4 bytes"):
        tree.read_text("/x")


def test_a_hard_link_reads_as_the_file_that_it_is():
    tree = rootfs_of({"a": "lower"}, {"b": Hardlink("a")}, {"a": "upper"})

    assert (b"upper", b"lower") == (tree.read_bytes("/a"), tree.read_bytes("/b"))


ARCHIVE = tar_bytes({"kept": "kept", "dropped": "dropped" * 1000, "empty": "", "name": Hardlink("dropped")})


def second_pass(archive=ARCHIVE):
    """A tree of one layer that kept one of its files only, and the source behind it."""
    layer = layer_of(archive)
    return Rootfs([layer.index(Retain(["kept"]))], [layer]), layer.source


def test_what_was_not_kept_is_read_in_a_second_pass():
    tree, _ = second_pass()

    assert b"dropped" * 1000 == tree.read_bytes("/dropped") == tree.read_bytes("/name")


def test_what_was_kept_needs_no_source():
    tree, source = second_pass()
    source.blobs.clear()

    assert b"kept" == tree.read_bytes("/kept")
    assert b"" == tree.read_bytes("/empty")


def test_a_source_that_changed_in_between_is_told():
    tree, source = second_pass()
    (digest,) = source.blobs
    source.blobs[digest] = ARCHIVE.replace(b"dropped" * 1000, b"changed" * 1000)

    with pytest.raises(DigestMismatch):
        tree.read_bytes("/dropped")


def test_what_was_read_of_a_changed_source_is_refused_when_it_is_closed():
    tree, source = second_pass()
    (digest,) = source.blobs
    source.blobs[digest] = ARCHIVE[:-1] + b"x"
    stream = tree.open("/dropped")
    stream.read(7)

    with pytest.raises(DigestMismatch):
        stream.close()


def test_an_error_while_reading_is_not_hidden_by_the_verification():
    tree, source = second_pass()
    (digest,) = source.blobs
    source.blobs[digest] = ARCHIVE[:-1] + b"x"

    with pytest.raises(KeyError), tree.open("/dropped"):
        raise KeyError


def test_without_layers_only_what_was_kept_can_be_read():
    tree = Rootfs([layer_of(ARCHIVE).index(Retain(["kept"]))])

    assert b"kept" == tree.read_bytes("/kept")
    with pytest.raises(RootfsError, match="/dropped: the content is not available"):
        tree.read_bytes("/dropped")


# -- hard links ------------------------------------------------------------------------------------------------------


def test_all_names_of_a_file_are_told(base):
    assert ("/usr/bin/same", "/usr/bin/tool") == base.hardlinks(base.stat("/bin/tool"))


def test_a_file_with_one_name_has_no_others(base):
    assert () == base.hardlinks(base.stat("/etc/hosts"))


def test_names_that_were_removed_do_not_count():
    tree = rootfs_of({"a": "x", "b": Hardlink("a"), "c": Hardlink("a")}, {"a": Whiteout()})

    assert ("/b", "/c") == tree.hardlinks(tree.stat("/b"))


def test_the_last_name_that_is_left_is_no_hard_link():
    tree = rootfs_of({"a": "x", "b": Hardlink("a")}, {"a": Whiteout()})

    assert () == tree.hardlinks(tree.stat("/b"))


# -- problems and history --------------------------------------------------------------------------------------------


def test_what_no_runtime_unpacks_is_told_and_left_out():
    tree = rootfs_of({"x": Hardlink("nowhere"), "y": ""})

    assert ["/y"] == [entry.path for entry in tree.walk() if entry.path != "/"]
    (problem,) = tree.problems
    assert ("dangling-hardlink", 0, "x") == (problem.kind, problem.layer, problem.path)


@pytest.mark.parametrize("path", ["/boot/vmlinuz", "boot/vmlinuz", "//boot/./vmlinuz/"])
def test_history_takes_a_path_in_any_form(base, path):
    (change,) = base.history(path)

    assert (0, "/boot/vmlinuz") == (change.layer, change.cause)


def test_history_of_what_never_was_is_empty(base):
    assert () == base.history("/nothing")


@pytest.mark.parametrize("follow", [True, False])
def test_the_short_walk_says_what_the_long_one_says(follow):
    """To whatever is there, by odd spellings and not, and to what is not."""
    tree = rootfs_of(
        {
            "a/b/f": "x",
            "a/l": Symlink("b"),
            "a/b/up": Symlink(".."),
            "g": Hardlink("a/b/f"),
            "dead": Symlink("no"),
        }
    )
    paths = [
        "",
        "/",
        ".",
        "/..",
        "//a",
        "a/",
        "a/b/f",
        "/a/b/f/",
        "a//b/./f",
        "a/l",
        "a/l/f",
        "a/b/up/b",
        "g",
        "dead",
        "dead/x",
    ]
    paths += ["no", "a/no", "a/b/f/x", "a/l/", "/a/../g", *(entry.path for entry in tree.walk())]

    for path in paths:
        assert tree.trace(path, follow=follow) == tree._winding(path, follow=follow)


def test_a_layer_may_delete_and_do_nothing_else():
    indexes = [
        index_of(tar_bytes(layer))
        for layer in ({"a": "1", "b": "2", "c": "3"}, {"a": Whiteout(), "b": Whiteout()})
    ]

    assert [entry.path for entry in Rootfs(indexes).walk()] == ["/", "/c"]
