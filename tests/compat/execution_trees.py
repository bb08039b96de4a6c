"""Random trees with programs, libraries and scripts in them, and what the kernel and its loader make of them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from cosinspect.testing import Directory, File, Symlink
from cosinspect.testing.elf_files import elf_file

LOADER = "/lib64/ld-linux-x86-64.so.2"
TRIPLET = "x86_64-linux-gnu"
DIRECTORIES = (
    f"lib/{TRIPLET}",
    f"usr/lib/{TRIPLET}",
    "lib",
    "usr/lib",
    "usr/lib64",
    "opt/lib",
    "opt/app/lib",
    "opt/app/bin",
)
RUNPATHS = (
    "/opt/lib",
    "$ORIGIN",
    "${ORIGIN}/../lib",
    "/opt/$LIB",
    "/opt/lib:/nowhere",
    "/nowhere:/opt/app/lib",
    "",
    "opt/lib",
    "/opt/lib/",
    "$ORIGIN/../lib:$ORIGIN",
)


def real_loader():
    """The loader of the machine that the tests run on, None where it is not glibc's for amd64."""
    path = Path(LOADER)
    return path.resolve().read_bytes() if path.is_file() else None


VERSIONS = ["LIB_1.0", "LIB_1.10", "LIB_2.0"]


class TreeMaker:
    """Makes trees; the same random numbers make the same one."""

    def __init__(self, random, loader):
        self.random = random
        self.loader = loader
        self.entries = {}

    def chance(self, share):
        return self.random.random() < share

    def make(self):
        """Give entries, the paths to execute, and whether ldconfig is run."""
        self.entries = {}
        merged = self.chance(0.6)
        if merged:
            self.entries |= {
                "bin": Symlink("usr/bin"),
                "lib": Symlink("usr/lib"),
                "lib64": Symlink("usr/lib64"),
            }
        self.place_loader()
        for name in ("liba.so.1", "libb.so.2", "libc.so.3", "libd.so"):
            if self.chance(0.95):
                self.place_library(name)
        asked = [self.place_program(number) for number in range(3)]
        asked += [self.place_script(number, asked) for number in range(4)]
        if self.chance(0.5):
            self.entries["etc/ld.so.conf"] = "/opt/lib\ninclude /etc/ld.so.conf.d/*.conf\n"
            self.entries["etc/ld.so.conf.d/app.conf"] = "/opt/app/lib\n"
        return dict(self.entries), asked, self.chance(0.5)

    def put(self, path, entry):
        for link in ("bin", "lib", "lib64"):
            if (
                link in self.entries
                and isinstance(self.entries[link], Symlink)
                and path.startswith(f"{link}/")
            ):
                path = f"usr/{path}"
        self.entries[path] = entry
        return path

    def place_loader(self):
        real = File(self.loader, mode=0o755)
        kind = self.random.choices(
            [
                "good",
                "debian",
                "missing",
                "empty",
                "mode",
                "foreign",
                "directory",
                "dangling",
                "text",
                "narrow",
            ],
            [60, 34, 1, 1, 1, 1, 1, 1, 1, 1],
        )[0]
        match kind:
            case "good":
                self.put("lib64/ld-linux-x86-64.so.2", real)
            case "debian":
                self.put(f"lib/{TRIPLET}/ld-linux-x86-64.so.2", real)
                self.put("lib64/ld-linux-x86-64.so.2", Symlink(f"/lib/{TRIPLET}/ld-linux-x86-64.so.2"))
            case "empty":
                self.put("lib64/ld-linux-x86-64.so.2", File(b"", mode=0o755))
            case "mode":
                self.put("lib64/ld-linux-x86-64.so.2", File(self.loader, mode=0o644))
            case "foreign":
                self.put("lib64/ld-linux-x86-64.so.2", File(elf_file("arm64", shared=True), mode=0o755))
            case "narrow":
                self.put("lib64/ld-linux-x86-64.so.2", File(elf_file("386", shared=True), mode=0o755))
            case "directory":
                self.put("lib64/ld-linux-x86-64.so.2", Directory())
            case "dangling":
                self.put("lib64/ld-linux-x86-64.so.2", Symlink("ld-2.31.so"))
            case "text":
                self.put("lib64/ld-linux-x86-64.so.2", File(b"not a loader at all\n" * 10, mode=0o755))

    def place_library(self, name):
        for directory in self.random.sample(DIRECTORIES, 2 if self.chance(0.3) else 1):
            others = [
                other for other in ("libb.so.2", "libc.so.3", "libd.so") if other > name and self.chance(0.4)
            ]
            soname = self.random.choice([name, name, None, f"other-{name}"])
            good = elf_file(
                soname=soname,
                needed=others,
                shared=True,
                **self.paths(0.3),
                **self.versions(others, defines=True),
            )
            bodies = {
                "good": File(good, mode=self.random.choice([0o644, 0o755, 0o600])),
                "empty": b"",
                "short": b"\x7fELF",
                "text": "INPUT(libx.so)\n" * 8,
                "foreign": elf_file("arm64", soname=soname, shared=True),
                "narrow": elf_file("386", soname=soname, shared=True),
                "program": elf_file(),
                "cut": good[: len(good) // 2],
                "directory": Directory(),
                "dangling": Symlink("nothing.so"),
                "linked": Symlink(f"{name}.0.1"),
            }
            kind = self.random.choices(list(bodies), [90, 2, 1, 2, 3, 3, 1, 2, 2, 2, 20])[0]
            if kind == "linked":
                self.put(f"{directory}/{name}.0.1", bodies["good"])
            self.put(f"{directory}/{name}", bodies[kind])

    def paths(self, share):
        found = {}
        if self.chance(share):
            found["runpath"] = self.random.choice(RUNPATHS)
        if self.chance(share):
            found["rpath"] = self.random.choice(RUNPATHS)
        return found

    def versions(self, needed, *, defines):
        """Versions of symbols: most libraries define those that are asked for, some lack the last, some have none."""
        found = {}
        wants = {
            name: self.random.sample(VERSIONS, self.random.choice([1, 2]))
            for name in needed
            if "/" not in name and self.chance(0.4)
        }
        if needed and self.chance(0.2):
            wants["ld-linux-x86-64.so.2"] = [self.random.choice(["GLIBC_2.3", "GLIBC_2.999"])]
        if wants:
            found["wants"] = wants
            found["weak"] = [name for name in VERSIONS if self.chance(0.1)]
        if defines and self.chance(0.8):
            found["defines"] = VERSIONS if self.chance(0.8) else VERSIONS[:-1]
        return found

    def place_program(self, number):
        names = ["liba.so.1", "libb.so.2", "libc.so.3", "libd.so", "/opt/lib/libd.so", "$ORIGIN/libd.so"]
        needed = [
            name
            for name, share in zip(names, (0.4, 0.25, 0.2, 0.25, 0.03, 0.03), strict=True)
            if self.chance(share)
        ]
        good = elf_file(
            interpreter=LOADER,
            needed=needed,
            no_default=self.chance(0.05),
            **self.paths(0.4),
            **self.versions(needed, defines=False),
        )
        bodies = {
            "good": File(good, mode=self.random.choice([0o755, 0o100, 0o711, 0o010, 0o001])),
            "static": File(elf_file(), mode=0o755),
            "mode": File(good, mode=0o644),
            "empty": File(b"", mode=0o755),
            "foreign": File(elf_file("arm64"), mode=0o755),
            "junk": File(b"\0\1\2\3" * 50, mode=0o755),
            "head": File(good[:60], mode=0o755),
            "elsewhere": File(elf_file(interpreter="/lib/ld-nothing.so.1"), mode=0o755),
            "directory": Directory(),
            "dangling": Symlink("nothing"),
        }
        kind = self.random.choices(list(bodies), [70, 6, 3, 3, 3, 3, 2, 2, 2, 2])[0]
        path = self.put(
            f"{self.random.choice(['bin', 'usr/bin', 'opt/app/bin'])}/program{number}", bodies[kind]
        )
        if self.chance(0.15):
            self.put(f"bin/link{number}", Symlink(f"/{path}"))
            return f"/bin/link{number}"
        return f"/{path}"

    def place_script(self, number, asked):
        interpreter = self.random.choice(
            [*asked[:3], *asked[:3], *asked, "/bin/nothing", "bin/relative", "/opt"]
        )
        line = self.random.choice(
            [
                "#!{0}\n",
                "#! {0} \n",
                "#!\t{0}\targument more\n",
                "#!{0}\r\n",
                "#!{0}",
                "#!\n",
                "#!",
                "#!{0} -x\n",
                "#!" + " " * 300 + "{0}\n",
                "#!{0} " + "x" * 300 + "\n",
                "#!{0}\0rest\n",
                "# {0}\n",
                "#!" + "/x" * 200 + "\n",
            ]
        ).format(interpreter)
        mode = self.random.choice([0o755, 0o755, 0o755, 0o755, 0o644])
        path = self.put(
            f"usr/bin/script{number}", File(line + "exit 0\n" * (not line.endswith("#!")), mode=mode)
        )
        return f"/{path}"


def write_tree(entries, top):
    """Write entries below a directory."""
    for path, entry in entries.items():
        place = top / path
        place.parent.mkdir(parents=True, exist_ok=True)
        match entry:
            case Symlink():
                place.symlink_to(entry.target if isinstance(entry.target, str) else entry.target.decode())
            case Directory():
                place.mkdir(exist_ok=True)
            case File():
                place.write_bytes(entry.content)
                place.chmod(entry.mode)
            case str() | bytes():
                place.write_bytes(entry.encode() if isinstance(entry, str) else entry)


def read_tree(top, entries):
    """Give the entries with what ldconfig made of them: its cache, and the links that it set."""
    found = dict(entries)
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        if path.is_symlink():
            found[name] = Symlink(str(path.readlink()))
        elif name == "etc/ld.so.cache":
            found[name] = path.read_bytes()
    return found


def ldconfig(top):
    """Have ldconfig write its cache for a tree."""
    program = shutil.which("ldconfig", path="/sbin:/usr/sbin:/usr/bin")
    (top / "etc").mkdir(exist_ok=True)
    subprocess.run([program, "-r", str(top)], check=False, capture_output=True)


# A process of its own, as forking a large one takes long. Without /proc the loader asks the environment where the program is.
_JUDGE = """
import json, os, sys
outcomes = []
for top, path, origin in json.load(sys.stdin):
    child = os.fork()
    if not child:
        try:
            null = os.open("/dev/null", os.O_RDWR)
            os.chroot(top)
            os.chdir("/")
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            os.execve(path, [path], {"LD_ORIGIN_PATH": origin})
        except BaseException:
            os._exit(126)
    outcomes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0)
json.dump(outcomes, sys.stdout)
"""


def executed(asked):
    """Say of each pair of a directory and a path whether the file comes to run to its end with that directory as its root."""
    places = [(str(top), path, origin_of(top, path)) for top, path in asked]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _JUDGE],
        input=json.dumps(places).encode(),
        check=True,
        capture_output=True,
    )
    return json.loads(done.stdout)


def origin_of(top, path):
    """Give the directory of the program that is started for a path, which may be a script's interpreter."""
    for _ in range(6):
        real = real_path(top, path)
        place = top / real.lstrip("/")
        head = place.read_bytes()[:256] if place.is_file() else b""
        words = head[2:].partition(b"\n")[0].split() if head.startswith(b"#!") else []
        if not words:
            return str(Path(real).parent)
        path = "/" + words[0].decode(errors="replace").lstrip("/")
    return "/"


def real_path(top, path):
    """Follow links as the kernel does below a root of its own."""
    parts, at, hops = [part for part in reversed(path.split("/")) if part], "", 0
    while parts and hops < 40:
        part = parts.pop()
        if part == "..":
            at = at.rpartition("/")[0]
            continue
        here = top / f"{at}/{part}".lstrip("/")
        if here.is_symlink():
            target, hops = str(here.readlink()), hops + 1
            at = "" if target.startswith("/") else at
            parts += [each for each in reversed(target.split("/")) if each]
            continue
        at = f"{at}/{part}"
    return at
