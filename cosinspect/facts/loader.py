"""Which file a dynamic loader takes for the name of a library, as glibc's and musl's do.

Sources: ld.so(8), `elf/dl-load.c` of glibc (`_dl_map_object`, `open_verify`), `ldso/dynlink.c` of musl
(`load_library`). glibc's loader reads `/etc/ld.so.cache` and never `/etc/ld.so.conf`, which is ldconfig's. A
library for another machine or of another class is skipped; a file that is not a library ends the search and
the program. musl uses the first file of the name.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping

from attrs import define, frozen

from cosinspect.deadline import spend
from cosinspect.errors import FormatError
from cosinspect.facts.executables import ExecutableTree, FoundFile
from cosinspect.formats.boot.elf import Elf
from cosinspect.formats.boot.loader_cache import read_loader_cache

__all__ = ["ExecutionFault", "Linking", "Loader"]

LIBRARIES = 2000
"""Libraries of one program."""

_MUSL = re.compile(r"ld-musl-(.+)\.so\.1")
_GLIBC = re.compile(r"ld(?:-linux.*|64|-\d.*)?\.so(?:\..*)?")
# What musl's loader takes itself for.
_MUSL_OWN = ("libc.", "libpthread.", "librt.", "libm.", "libdl.", "libutil.", "libxnet.")
_MUSL_DIRECTORIES = ("/lib", "/usr/local/lib", "/usr/lib")
_MULTIARCH = {
    "amd64": "x86_64-linux-gnu",
    "386": "i386-linux-gnu",
    "arm64": "aarch64-linux-gnu",
    "arm": "arm-linux-gnueabihf",
    "riscv64": "riscv64-linux-gnu",
    "ppc64le": "powerpc64le-linux-gnu",
    "s390x": "s390x-linux-gnu",
    "loong64": "loongarch64-linux-gnu",
}
_NUMBERED = re.compile(r"[A-Za-z]+_([0-9]{1,6}(?:\.[0-9]{1,6}){0,4})")
_UNREAD_VERSIONS = "its table of symbol versions is out of reach"
_TOKEN = re.compile(r"\$(?:\{(ORIGIN|LIB|PLATFORM)\}|(ORIGIN|LIB|PLATFORM)(?![A-Za-z0-9_]))")


@frozen
class ExecutionFault:
    """Why a program does not come to run.

    Attributes:
        path: the file that is to blame, or that is missing.
        reason: what is wrong, about `path`.
        chain: the requesting files, outermost first, one line each.
        searched: the searched places.
        is_undecided: whether it may run after all, because the image does not decide it, or a bound was reached.
    """

    path: str
    reason: str
    chain: tuple[str, ...] = ()
    searched: tuple[str, ...] = ()
    is_undecided: bool = False

    def __str__(self) -> str:
        """Return path and reason."""
        return f"{self.path}: {self.reason}"


@define(eq=False)
class _Loaded:
    """A loaded file: its place, and the file that requested it."""

    path: str
    origin: str
    elf: Elf
    asked_by: _Loaded | None


class Loader:
    """The loader that programs of a tree request, at its real path."""

    def __init__(self, tree: ExecutableTree, name: str, found: FoundFile, elf: Elf) -> None:
        """Recognise musl's or glibc's loader by the name that programs request."""
        self._tree = tree
        self.name = name
        self.path = found.path
        self.elf = elf
        base = posixpath.basename(name)
        musl = _MUSL.fullmatch(base)
        self.is_musl = musl is not None
        self.is_known = self.is_musl or _GLIBC.fullmatch(base) is not None
        self.directories = self._musl_directories(musl[1]) if musl else self._glibc_directories(found)
        self._cache: Mapping[str, tuple[str, ...]] | None = None

    def _musl_directories(self, architecture: str) -> tuple[str, ...]:
        told = self._tree.read(f"/etc/ld-musl-{architecture}.path")
        if told is None:
            return _MUSL_DIRECTORIES
        return tuple(filter(None, re.split(r"[:\n]", told.decode("utf-8", "replace"))))

    def _glibc_directories(self, found: FoundFile) -> tuple[str, ...]:
        if self.elf.directories:
            return self.elf.directories
        # One without its list of directories is taken to search where distributions keep libraries.
        triplet = _MULTIARCH.get(self.elf.machine or "", "")
        own = posixpath.dirname(found.path)
        multiarch = (f"/lib/{triplet}", f"/usr/lib/{triplet}") if triplet else ()
        wide = ("/lib64", "/usr/lib64") if self.elf.bits == 64 else ()
        return tuple(dict.fromkeys((own, *multiarch, *wide, "/lib", "/usr/lib")))

    @property
    def library_directory(self) -> str:
        """The value of `$LIB`."""
        first = self.directories[0] if self.elf.directories else ("/lib64" if self.elf.bits == 64 else "/lib")
        return first.removeprefix("/usr").strip("/")

    def cached(self, name: str) -> tuple[str, ...]:
        """Return the paths that `/etc/ld.so.cache` has for a name."""
        if self._cache is None:
            data = self._tree.read("/etc/ld.so.cache")
            try:
                self._cache = read_loader_cache(data) if data is not None else {}
            except FormatError:
                self._cache = {}  # the loader takes no notice of it either
        return self._cache.get(name, ())


class Linking:
    """One program as its loader puts it together: its libraries, and theirs, breadth first."""

    def __init__(self, tree: ExecutableTree, loader: Loader, path: str, elf: Elf) -> None:
        """Begin with the program at a real path."""
        self._tree = tree
        self._loader = loader
        self._main = _Loaded(path, posixpath.dirname(path), elf, None)
        own = posixpath.basename(loader.name)
        itself = _Loaded(loader.path, posixpath.dirname(loader.path), loader.elf, self._main)
        self._known: dict[str, _Loaded] = dict.fromkeys((loader.name, own, loader.elf.soname), itself)
        self._searched: dict[str, None] = {}
        self._doubt = ""

    def run(self) -> ExecutionFault | None:
        """Find every library; return the fault of the first that cannot be loaded."""
        waiting = [self._main]
        for asker in waiting:
            spend()
            if asker.elf.problem:
                return self._fault(asker, asker.path, asker.elf.problem, undecided=True)
            for name in asker.elf.needed:
                if name in self._known or (self._loader.is_musl and name.startswith(_MUSL_OWN)):
                    continue
                found = self._find(name, asker)
                if isinstance(found, ExecutionFault):
                    return found
                self._known[name] = found
                if found.elf.soname:
                    self._known.setdefault(found.elf.soname, found)
                waiting.append(found)
            if len(waiting) > LIBRARIES:
                return self._fault(
                    asker, asker.path, f"it needs more than {LIBRARIES} libraries", undecided=True
                )
        return None if self._loader.is_musl else self._version_fault(waiting)

    def _version_fault(self, loaded: list[_Loaded]) -> ExecutionFault | None:
        """Hold the versions of symbols that each file needs against those that its libraries define, as glibc's loader does."""
        doubt: ExecutionFault | None = None
        for asker in loaded:
            if not asker.elf.versions_known:
                doubt = doubt or self._fault(asker, asker.path, _UNREAD_VERSIONS, undecided=True)
            for name, versions in asker.elf.wants:
                library = self._known.get(name)
                if library is None or (library.elf is self._loader.elf and not self._is_linked(loaded)):
                    reason = f"it needs versions of {name}, and nothing links to that library"
                    return self._fault(asker, asker.path, reason)
                if not library.elf.versions_known:
                    doubt = doubt or self._fault(asker, library.path, _UNREAD_VERSIONS, undecided=True)
                    continue
                # A library without definitions is accepted with a warning.
                absent = sorted({*versions}.difference(library.elf.defines)) if library.elf.defines else ()
                if absent:
                    last = max(library.elf.defines, key=_by_number)
                    reason = f"it does not define {', '.join(absent)}, which {asker.path} needs; its latest is {last}"
                    return self._fault(asker, library.path, reason)
        return doubt

    def _is_linked(self, loaded: list[_Loaded]) -> bool:
        """Return whether a file names the loader among its libraries; without that the loader's own versions are not looked at."""
        return any(
            self._known.get(name, self._main).elf is self._loader.elf
            for each in loaded
            for name in each.elf.needed
        )

    def _find(self, name: str, asker: _Loaded) -> _Loaded | ExecutionFault:
        self._searched = {}
        self._doubt = ""
        for path in self._candidates(name, asker):
            spend()
            self._searched[path] = None
            found = self._tree.find(path)
            if found is None:
                continue
            outcome = self._opened(name, path, found, asker)
            if outcome is not None:
                return outcome
        where = tuple(self._searched)
        if not self._loader.is_known:
            self._doubt = self._doubt or f"where {self._loader.name} looks for libraries is not known"
        elif not self._doubt and not self._loader.is_musl and "/" not in name:
            self._doubt = self._by_processor(name, where)
        reason = self._doubt or self._absence(name, where)
        return self._fault(asker, name, reason, searched=where, undecided=bool(self._doubt))

    def _opened(
        self, name: str, path: str, found: FoundFile, asker: _Loaded
    ) -> _Loaded | ExecutionFault | None:
        """Open the result of a search; None continues the search."""
        if found.type != "file":
            return self._fault(asker, path, f"it is a {found.type}")
        if not found.size:
            return self._fault(asker, path, "it is empty")
        program = self._tree.program(path)
        if program is None:
            return self._fault(asker, path, "it was not read", undecided=True)
        elf = program.elf
        if elf is None:
            return self._fault(asker, path, "it is no ELF file")
        if (elf.number, elf.bits, elf.little_endian) != _kind(self._main.elf):
            if self._loader.is_musl:
                return self._fault(
                    asker, path, f"it is for {_words(elf)}, the program for {_words(self._main.elf)}"
                )
            return None
        if not elf.is_shared:
            return self._fault(asker, path, "it is no library")
        if elf.is_cut:
            return self._fault(asker, path, "it ends before what its headers refer to")
        if "\N{REPLACEMENT CHARACTER}" in "".join(elf.needed):
            return self._fault(asker, path, "it names libraries by what is no text", undecided=True)
        return _Loaded(path, posixpath.dirname(path), elf, asker)

    # -- where a name is looked for --------------------------------------------------------------------------------

    def _candidates(self, name: str, asker: _Loaded) -> Iterator[str]:
        if "/" in name:
            yield from self._expanded([name], asker)
            return
        for directory in self._own_directories(asker):
            yield f"{directory}/{name}"
        if not self._loader.is_musl:
            directories = tuple(f"{directory}/" for directory in self._loader.directories)
            for path in self._loader.cached(name):
                if not (asker.elf.no_default and path.startswith(directories)):
                    yield path
            if asker.elf.no_default:
                return
        for directory in self._loader.directories:
            yield f"{directory.rstrip('/')}/{name}"

    def _own_directories(self, asker: _Loaded) -> Iterator[str]:
        """Yield the search paths that the files bring along."""
        each: _Loaded | None = asker
        if self._loader.is_musl:
            while each is not None:
                yield from self._listed(each.elf.runpath or each.elf.rpath, each)
                each = each.asked_by
            return
        if asker.elf.runpath is None:
            while each is not None:
                if each.elf.runpath is None:
                    yield from self._listed(each.elf.rpath, each)
                each = each.asked_by
        else:
            yield from self._listed(asker.elf.runpath, asker)

    def _listed(self, value: str | None, owner: _Loaded) -> Iterator[str]:
        if value:
            separator = r"[:;]" if not self._loader.is_musl else ":"
            # An empty one is the working directory, which is the root.
            names = [part or "." for part in re.split(separator, value)]
            for directory in self._expanded(names, owner):
                yield (
                    posixpath.normpath(f"/{directory}")
                    if not directory.startswith("/")
                    else directory.rstrip("/")
                )

    def _expanded(self, names: list[str], owner: _Loaded) -> Iterator[str]:
        for name in names:
            tokens = [match[1] or match[2] for match in _TOKEN.finditer(name)]
            if "PLATFORM" in tokens and not self._loader.is_musl:
                self._doubt = f"{name} depends on the processor"
                continue
            if self._loader.is_musl and ("LIB" in tokens or "PLATFORM" in tokens):
                continue
            values = {"ORIGIN": owner.origin, "LIB": self._loader.library_directory}
            yield _TOKEN.sub(lambda match, values=values: values[match[1] or match[2]], name)  # type: ignore[misc]

    # -- reasons
    # ----------------------------------------------------------------------------------------------------

    def _by_processor(self, name: str, searched: tuple[str, ...]) -> str:
        """Return whether only some processors have the library: it is in a subdirectory of `glibc-hwcaps`, or an older one's."""
        for directory in dict.fromkeys(posixpath.dirname(path) for path in searched):
            for below in self._tree.names(f"{directory}/glibc-hwcaps"):
                if self._tree.find(f"{directory}/glibc-hwcaps/{below}/{name}") is not None:
                    return f"{directory}/glibc-hwcaps/{below} has it for some processors only"
        return ""

    def _absence(self, name: str, searched: tuple[str, ...]) -> str:
        first = self._tree.absence(searched[0]) if len(searched) == 1 else "it is not there"
        if "/" in name:
            return first
        places = ", ".join(dict.fromkeys(posixpath.dirname(path) or "/" for path in searched))
        return f"it is in none of {places}" if searched else "there is no directory to look for it in"

    def _fault(
        self,
        asker: _Loaded,
        path: str,
        reason: str,
        *,
        searched: tuple[str, ...] = (),
        undecided: bool = False,
    ) -> ExecutionFault:
        chain = []
        at, name = asker, path
        while at is not None:
            chain.append(f"{at.path} needs {name}")
            if at.asked_by is None:
                break
            at, name = at.asked_by, at.path
        if path == asker.path:
            chain = chain[1:]
        return ExecutionFault(path, reason, tuple(reversed(chain)), searched, undecided)


def _kind(elf: Elf) -> tuple[int, int, bool]:
    return elf.number, elf.bits, elf.little_endian


def _by_number(version: str) -> tuple[int, ...]:
    """Sort versions such as GLIBC_2.36 by their numbers; others come first."""
    found = _NUMBERED.fullmatch(version)
    return tuple(map(int, found[1].split("."))) if found else ()


def _words(elf: Elf) -> str:
    return elf.machine or f"the machine {elf.number} with {elf.bits} bits"
