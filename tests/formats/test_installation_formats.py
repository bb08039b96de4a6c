"""What bootc, ostree, systemd and kairos-init read: their own readers, or those that they use, read generated files alike."""

import ctypes
import ctypes.util
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from cosinspect.errors import FormatError
from cosinspect.formats.text.bootc_install import merge_bootc_install, read_bootc_install
from cosinspect.formats.text.go_version import go_version
from cosinspect.formats.text.key_file import read_key_file
from cosinspect.formats.text.loader_entry import read_loader_entry
from cosinspect.formats.text.sysusers import read_account_names, read_sysusers_conf
from cosinspect.formats.text.tmpfiles import read_tmpfiles_conf

GLIB = ctypes.util.find_library("glib-2.0")
needs_go = pytest.mark.skipif(not shutil.which("go"), reason="Go is not installed")


def needs(program):
    return pytest.mark.skipif(not shutil.which(program), reason=f"{program} is not installed")


# -- key files: GLib -------------------------------------------------------------------------------------------------

PLACES = (("composefs", "enabled"), ("root", "transient"), ("a", "k"))
PIECES = (
    *("[composefs]", "[root]", "[a]", "[a", " [a] ", "[a] x", "]", "\n", "\n", "\n", "\r\n", "enabled=yes", "= v", "k"),
    *("enabled = maybe ", "transient=true", "transient = 1", "k=v", " k = v", "#c", "=", "k[de]=x", "k[=x", "\\s", "\\q"),
    *("\t", " ", "k =\\n", "[a]k=v", "[]", "k\\=1", "\u00e9=1", "k.1=2"),
)  # fmt: skip


def by_glib(text):
    """The values at `PLACES`, None for each that is not there or no text; None where the file is refused."""
    library = ctypes.CDLL(GLIB)
    library.g_key_file_new.restype = ctypes.c_void_p
    library.g_key_file_get_string.restype = ctypes.c_void_p
    file = ctypes.c_void_p(library.g_key_file_new())
    data = text.encode()
    found = None
    if library.g_key_file_load_from_data(file, data, ctypes.c_size_t(len(data)), 0, None):
        found = []
        for group, key in PLACES:
            error = ctypes.c_void_p()
            value = library.g_key_file_get_string(file, group.encode(), key.encode(), ctypes.byref(error))
            found.append(ctypes.string_at(value).decode() if value and not error.value else None)
    library.g_key_file_free(file)
    return found


def by_us(text):
    try:
        file = read_key_file(text)
    except FormatError:
        return None
    found = []
    for group, key in PLACES:
        try:
            found.append(file.string(group, key))
        except FormatError:
            found.append(None)
    return found


@pytest.mark.compat
@pytest.mark.skipif(not GLIB, reason="GLib is not installed")
def test_key_files_are_read_as_glib_reads_them():
    chance = random.Random(5)
    for _ in range(3000):
        text = "".join(chance.choice(PIECES) for _ in range(chance.randrange(1, 9)))
        assert by_glib(text) == by_us(text), text


@pytest.mark.parametrize(
    ("value", "expected"),
    [("true", True), ("1 ", True), ("false", False), ("0", False), ("True", None), ("yes", None)],
)
def test_a_boolean_is_one_of_four_words(value, expected):
    file = read_key_file(f"[root]\ntransient = {value}\n")

    if expected is None:
        with pytest.raises(FormatError):
            file.boolean("root", "transient")
    else:
        assert expected is file.boolean("root", "transient")


# -- tmpfiles.d and sysusers.d: systemd ------------------------------------------------------------------------------

NAMES = ("app", "a b", "quo'te", "tab\there", "\u00e9", "dot.d", "100x")


def written(name, chance):
    """Write a path as both readers know it: systemd 252 drops the backslash of `\\x20`, which bootc and later releases read."""
    quoted = bool(set(name) & set(" \t'")) or chance.random() < 0.3
    return f'"/var/{name}"' if quoted else f"/var/{name}"


@pytest.mark.compat
@needs("systemd-tmpfiles")
def test_the_paths_of_tmpfiles_are_those_that_systemd_makes(tmp_path):
    chance = random.Random(7)
    lines = ["# a comment", ""]
    for number in range(60):
        kind = chance.choice(["d", "D", "f", "L+", "d!"])
        name = f"{number}-{chance.choice(NAMES)}"
        rest = "- - - - ../run" if kind == "L+" else "0755 - - -"
        blank = " " * chance.randrange(1, 4)
        lines.append(f"{kind}{blank}{written(name, chance)}{blank}{rest}")
    text = "\n".join(lines) + "\n"
    conf = tmp_path / "usr/lib/tmpfiles.d/own.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text(text)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (tmp_path / "etc/group").write_text("root:x:0:\n")

    subprocess.run(
        ["systemd-tmpfiles", f"--root={tmp_path}", "--create", "--boot", "--prefix=/var"],
        check=True,
        capture_output=True,
    )

    found = read_tmpfiles_conf(text)
    assert () == found.problems
    assert 60 == len(found.lines)
    for line in found.lines:
        assert (tmp_path / line.path.lstrip("/")).is_symlink() or (
            tmp_path / line.path.lstrip("/")
        ).exists(), line


@pytest.mark.parametrize("line", ["d", "d ", r"d /var/a\qb", r"d /var/a\x2", "d /var/a\\"])
def test_what_bootc_cannot_read_is_a_problem(line):
    found = read_tmpfiles_conf(f"{line}\n")

    assert ["syntax"] == [problem.kind for problem in found.problems] or [""] == [
        each.path for each in found.lines
    ]


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("z /dev/kvm          0666 - kvm -", "/dev/kvm"),
        ("a+      /var/lib/tpm2-tss/system/keystore   -    -    -     -     default:group:tss:rwx", "/var/lib/tpm2-tss/system/keystore"),
        ('d "/run/file with spaces/foo" 0700 root root -', "/run/file with spaces/foo"),
        (r"d /spaces\x20\x20here/foo 0700 root root -", "/spaces  here/foo"),
    ],
)  # fmt: skip
def test_upstreams_own_lines_are_read_alike(line, path):
    """crates/tmpfiles/src/lib.rs, test_tmpfiles_entry_get_path."""
    assert [path] == [each.path for each in read_tmpfiles_conf(line).lines]


@pytest.mark.compat
@needs("systemd-sysusers")
def test_the_accounts_of_sysusers_are_those_that_systemd_makes(tmp_path):
    chance = random.Random(11)
    lines = ["# a comment", ""]
    for number in range(40):
        name = f"acct{number}"
        lines.append(
            chance.choice(
                [
                    f'u {name} - "An account" /var/lib/{name} -',
                    f'u   {name}   -   "Of {name}"',
                    f"u {name} {700 + number} - /",
                    f"g {name} -",
                    f"g {name} {700 + number}",
                    f'u "{name}" - -',
                ]
            )
        )
    lines.append("r - 300-999")
    text = "\n".join(lines) + "\n"
    conf = tmp_path / "usr/lib/sysusers.d/own.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text(text)
    (tmp_path / "etc").mkdir()

    subprocess.run(["systemd-sysusers", f"--root={tmp_path}"], check=True, capture_output=True)

    found = read_sysusers_conf(text)
    users = set(read_account_names((tmp_path / "etc/passwd").read_text()))
    groups = set(read_account_names((tmp_path / "etc/group").read_text()))
    assert (users, groups) == (set(found.users), set(found.groups))


def test_lines_of_nis_are_no_accounts():
    assert ("root", "app") == read_account_names(
        "root:x:0:0::/:\n+::::::\n-nobody::\n\napp:x:1:1::/:\nroot:x:0:0\n"
    )


# -- versions: HashiCorp's module, which kairos-init uses ------------------------------------------------------------

PARTS = (
    *(
        "6",
        "1",
        "0",
        "12",
        "01",
        ".",
        "-",
        "~",
        "generic",
        "amd64",
        "raspi",
        "x86_64",
        "rc1",
        "+",
        "el9",
        "fc40",
    ),
    *("default", "v", "_", "99999999999999999999", "50", "a", "b"),
)


@pytest.mark.modules
@needs_go
def test_versions_are_chosen_as_the_module_chooses_them(tmp_path):
    program = tmp_path / "goversion"
    source = Path(__file__).parents[1] / "compat" / "goversion"
    subprocess.run(["go", "build", "-o", program, "."], cwd=source, check=True)
    chance = random.Random(3)
    lines = []
    for _ in range(5000):
        names = {
            "".join(chance.choice(PARTS) for _ in range(chance.randrange(1, 8)))
            if chance.random() < 0.5
            else f"{chance.choice('56')}.{chance.randrange(20)}.{chance.randrange(3)}-{chance.randrange(20)}"
            + chance.choice(["-generic", "-amd64", ".el9.x86_64", "-default", "-raspi", "", ".fc40"])
            for _ in range(chance.randrange(1, 5))
        }
        lines.append(" ".join(sorted(names)))

    out = subprocess.run([program], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)

    for line, expected in zip(lines, out.stdout.splitlines(), strict=True):
        versions = [version for name in line.split(" ") if (version := go_version(name)) is not None]
        assert expected == (str(max(reversed(versions))) if versions else "-"), line


# -- settings of installation and boot entries -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "[install\n",
        '[install]\nroot-fs-type = "zfs"\n',
        "[install]\nroot-fs-type = 1\n",
        '[install.filesystem.root]\nkind = "xfs"\n',
        '[install]\nbootloader = "lilo"\n',
        'install = "x"\n',
        "[other]\n",
    ],
)
def test_settings_that_bootc_refuses_are_refused(text):
    with pytest.raises(FormatError):
        read_bootc_install(text)


def test_the_newer_key_wins_within_a_file_and_the_later_file_among_several():
    """install/config.rs, canonicalize and merge."""
    both = read_bootc_install('[install]\nroot-fs-type = "xfs"\n[install.filesystem.root]\ntype = "ext4"\n')
    other = read_bootc_install('[install]\nroot-fs-type = "btrfs"\nmatch-architectures = ["aarch64"]\n')

    assert "ext4" == both.filesystem
    assert "ext4" == merge_bootc_install([both, other], "x86_64").filesystem
    assert "btrfs" == merge_bootc_install([both, other], "aarch64").filesystem


def test_an_entry_is_its_keys_and_values():
    found = read_loader_entry("# c\ntitle  Kairos  v4\n\nuki\t/EFI/kairos/norole.efi\nempty\n")

    assert {"title": "Kairos  v4", "uki": "/EFI/kairos/norole.efi", "empty": ""} == found
