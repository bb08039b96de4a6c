"""The house: imports go down only, third parties stay where they belong, and the library touches nothing of the process."""

import ast
import re
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

import cosinspect
from cosinspect.profiles import generation_tables
from parsed_modules import dotted, nodes_of, tree_of

PACKAGE = Path(cosinspect.__file__).parent

# From the ground up. A package is one room, and so is a module at the top. A room may import rooms of the floors below its own;
# inside a package, modules and packages may import each other as long as there is no cycle.
FLOORS = [
    {"cost", "deferred", "errors", "globs", "limits", "path_walk", "shortage", "version", "wire_types"},
    {"extras"},
    {"compression", "deadline", "kubernetes_images", "mistakes", "oci", "tar"},
    {"blob", "formats", "testing"},
    {"layer", "signatures", "sources"},
    {"report", "rootfs"},
    {"attestation", "cache", "profiles"},
    {"facts", "image"},
    {"checks"},
    {"policy", "render"},
    {"inspection"},
    {"boot"},
    {"", "explorer", "fleet", "server"},  # "" is the package itself: the names it exports
    {"commands"},
    {"cli"},
    {"start"},
    {"__main__"},
]

CODECS = {"zlib_ng", "isal", "zstandard", "lz4", "lzma", "bz2", "gzip"}
CONFINED = {
    "requests": {"sources/registry/connections.py"},
    "certifi": {"sources/registry/direct.py"},
    "urllib3": {"sources/registry/connections.py", "cli.py"},
    "oras": {"attestation/artifact.py", "sources/config/docker_config.py"},
    "magic": {"formats/boot/kernel.py"},
    "pylibmagic": {"formats/boot/kernel.py"},
    "yaml": {"formats/text/yaml.py", "formats/yip/nodes.py"},
    "cryptography": {
        "signatures/openssl_keys.py",
        "signatures/keyless.py",
        "server/certificate.py",
    },
    "nacl": {"signatures/signing.py"},
    "sigstore": {"signatures/keyless.py"},
    "re2": {"policy/patterns.py"},
    "univers": {"policy/version_order.py"},
    "fsspec": {"cache/shared.py", "image/filesystem.py", "image/image.py"},
    "jinja2": {"render/html.py", "render/manifests.py"},
    "markupsafe": {"render/html.py"},
    "cyclonedx": {"render/cyclonedx.py"},
    "license_expression": {"render/spdx.py"},  # cyclonedx and spdx-tools bring it
    "packageurl": {"formats/packages/package_url.py", "render/cyclonedx.py"},
    "spdx_tools": {"render/spdx.py"},
    "jsonpath": {"kubernetes_images.py"},
    "starlette": {"server/application.py"},
    "uvicorn": {"server/listener.py"},
    "prometheus_client": {"server/metrics.py"},
    "structlog": {"server/journal.py"},
    "sqlite3": {"formats/packages/rpm_sqlite.py", "server/sqlite_store.py"},
    "psycopg": {"server/postgresql_store.py"},
    "psycopg_pool": {"server/postgresql_store.py"},
    "multiprocessing": {"inspection/processes.py"},
    "pyarrow": {"fleet/export.py"},
    "distributed": {"commands/scan.py", "fleet/workers.py"},
    "pytest": {"testing/pytest.py"},
    "dockerfile_parse": {"formats/text/containerfile.py"},
    "tqdm": {"commands/bars.py"},
    "rich": {"explorer/screen.py"},  # textual brings it
    "textual": {"explorer/screen.py"},
    "subprocess": {"boot/emulator.py", "inspection/processes.py"},  # credential helpers are run by oras
    "shtab": {"commands/completion.py"},
    "tarfile": set(),  # it disagrees with every runtime
    **{codec: {"compression/codecs.py"} for codec in CODECS},
    "lzma": {"compression/codecs.py", "compression/xz.py"},
    "zlib_ng": {"compression/codecs.py", "compression/salvage.py"},
    "zstandard": {"compression/codecs.py", "compression/salvage.py"},
}
# The test package writes what the library reads.
MAY_COMPRESS = {"testing/layers.py", "testing/bootfiles.py", "testing/derivative/parts.py"}
LARGEST_MODULE = 560


def _modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        yield pytest.param(path, id=str(path.relative_to(PACKAGE)))


MODULES = list(_modules())


@cache
def imports(path):
    """Every module a file imports, wherever in the file."""
    names = []
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide floors"
            base = node.module or ""
            found = [f"{base}.{alias.name}" for alias in node.names if is_module(f"{base}.{alias.name}")]
            names += found or [base]
    return names


@cache
def is_module(name):
    relative = Path(*name.split(".")[1:])
    return name.startswith("cosinspect.") and (
        (PACKAGE / relative).is_dir() or (PACKAGE / relative).with_suffix(".py").is_file()
    )


def floor_of(room):
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def room_of(path):
    relative = path.relative_to(PACKAGE)
    return "" if str(relative) == "__init__.py" else relative.parts[0].removesuffix(".py")


def name_of(path):
    parts = ("cosinspect", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def loaded(path):
    """Modules that a file loads by their names, when they are needed."""
    return [
        node.args[0].value
        for node in nodes_of(path)
        if isinstance(node, ast.Call) and dotted(node.func) in ("import_module", "load_extra", "_Deferred")
        if isinstance(node.args[0], ast.Constant)
    ]


@cache
def own_imports(path):
    """Modules of this package that a file imports, those that it loads when they are needed included."""
    return [name for name in (*imports(path), *loaded(path)) if name.split(".")[0] == "cosinspect"]


def leaves_first(graph):
    """Take what needs nothing that is left out of a graph, until nothing is left; what remains has a cycle."""
    while leaves := {name for name, needs in graph.items() if not needs & graph.keys()}:
        for name in leaves:
            del graph[name]
    return graph


def test_every_room_has_a_floor():
    assert sorted({room_of(path.values[0]) for path in MODULES}) == sorted(
        room for floor in FLOORS for room in floor
    )


@pytest.mark.parametrize("path", MODULES)
def test_imports_go_down(path):
    own = room_of(path)
    for name in own_imports(path):
        other = [*name.split("."), ""][1]
        assert other == own or floor_of(other) < floor_of(own), f"{own} imports {name}"


def test_no_cycles_between_modules():
    graph = {
        name_of(path.values[0]): set(own_imports(path.values[0])) - {name_of(path.values[0])}
        for path in MODULES
    }
    assert {} == leaves_first(graph)


PACKAGES = sorted(path.parent for path in PACKAGE.rglob("*/__init__.py"))


@pytest.mark.parametrize(
    "package", [pytest.param(path, id=str(path.relative_to(PACKAGE))) for path in PACKAGES]
)
def test_no_cycles_between_what_a_package_holds(package):
    """Packages inside a package do not need each other in a circle, whichever of their modules do it."""
    whole = name_of(package / "__init__.py")
    graph = {}
    for path in package.rglob("*.py"):
        own = name_of(path).removeprefix(whole).strip(".").split(".")[0]
        needs = (
            name.removeprefix(f"{whole}.").split(".")[0]
            for name in own_imports(path)
            if name.startswith(f"{whole}.")
        )
        graph.setdefault(own, set()).update(set(needs) - {own})
    assert {} == leaves_first(graph)


@pytest.mark.parametrize(
    "package", [pytest.param(path, id=str(path.relative_to(PACKAGE))) for path in PACKAGES]
)
def test_a_package_says_what_it_is_for(package):
    said = ast.get_docstring(tree_of(package / "__init__.py")) or ""
    assert 3 <= len(said.splitlines()), "what the room is for, what it may import, where to change what"
    assert "may import" in " ".join(said.split())


GROUND = {
    "cost", "deferred", "errors", "extras", "globs", "limits", "deadline", "mistakes", "path_walk", "shortage", "version", "wire_types"
}  # fmt: skip


@pytest.mark.parametrize("room", sorted(path.name for path in PACKAGES if path.parent == PACKAGE))
def test_a_package_imports_what_it_says_it_may(room):
    said = " ".join(ast.get_docstring(tree_of(PACKAGE / room / "__init__.py")).split())
    allowed = (
        set(re.findall(r"`([a-z_]+)`", re.search(r"may import [^.;:]*", said).group())) | GROUND | {room}
    )
    if "every room but" in said:
        return
    for path in (PACKAGE / room).rglob("*.py"):
        for name in own_imports(path):
            other = [*name.split("."), ""][1]
            assert other in allowed, (
                f"{name_of(path)} imports {name}: import less, or name {other} in {room}/__init__.py"
            )


@pytest.mark.parametrize("path", MODULES)
def test_what_is_taken_of_a_module_that_is_loaded_later_is_there(path):
    """No type checker looks through `import_module` and `load_extra`."""
    loaded = {}
    for node in nodes_of(path):
        value = node.value if isinstance(node, ast.Assign | ast.Attribute) else None
        if isinstance(value, ast.Call) and dotted(value.func) in ("import_module", "load_extra"):
            name = value.args[0].value if isinstance(value.args[0], ast.Constant) else ""
            if name.startswith("cosinspect.") and isinstance(node, ast.Assign):
                loaded[ast.unparse(node.targets[0])] = name
            elif name.startswith("cosinspect."):
                assert hasattr(import_module(name), node.attr), f"{name}.{node.attr}"
    for node in nodes_of(path) if loaded else ():
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in loaded:
            name = loaded[ast.unparse(node.value)]
            assert hasattr(import_module(name), node.attr), f"{name}.{node.attr}"


def test_every_module_that_a_rule_names_exists():
    named = {*MAY_COMPRESS, *(name for names in CONFINED.values() for name in names)}
    assert [] == sorted(name for name in named if not (PACKAGE / name).is_file())
    for name in re.findall(
        r'^"(cosinspect/[^"]+)"', (PACKAGE.parent / "pyproject.toml").read_text(), re.MULTILINE
    ):
        assert list(PACKAGE.parent.glob(name)), name


@pytest.mark.parametrize("path", MODULES)
def test_imports_stand_at_the_top(path):
    inside = [
        node.lineno
        for outer in nodes_of(path)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for node in ast.walk(outer)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert [] == inside


@pytest.mark.parametrize("path", MODULES)
def test_third_parties_are_confined(path):
    relative = str(path.relative_to(PACKAGE))
    for name in (*imports(path), *loaded(path)):
        top = name.split(".")[0]
        if top in CONFINED and not (top in CODECS and relative in MAY_COMPRESS):
            assert relative in CONFINED[top], f"{relative} imports {name}"


@pytest.mark.parametrize("path", MODULES)
def test_only_the_command_line_touches_the_process(path):
    relative = str(path.relative_to(PACKAGE))
    if relative in ("cli.py", "start.py"):
        return
    calls = {dotted(node.func) for node in nodes_of(path) if isinstance(node, ast.Call)}
    names = {dotted(node) for node in nodes_of(path) if isinstance(node, ast.Attribute)}
    assert not calls & {"print", "input", "sys.exit", "exit", "logging.basicConfig", "os._exit", "os.getenv"}
    assert not names & {"os.environ", "sys.argv"}
    if relative != "__main__.py" and not relative.startswith("commands/"):
        assert not names & {"sys.stdout", "sys.stderr"}


@pytest.mark.parametrize("path", MODULES)
def test_types_are_ready_before_anything_is_decoded_into_them(path):
    """Two threads that decode into a type for the first time can end the process: `wire_types` tells."""
    if path.name == "wire_types.py":
        return
    for node in nodes_of(path):
        name = (dotted(node.func) if isinstance(node, ast.Call) else None) or ""
        if name.startswith("msgspec."):
            assert not name.endswith(".Decoder")
            kinds = [each.value for each in node.keywords if each.arg == "type"]
            kinds += node.args[1:2] if name == "msgspec.convert" else []
            assert all(ast.unparse(kind).startswith("ready(") for kind in kinds), ast.unparse(node)


@pytest.mark.parametrize("path", MODULES)
def test_no_module_hides_a_second_noun(path):
    assert len(path.read_text().splitlines()) <= LARGEST_MODULE


def _texts(path):
    """The strings of a module's code, docstrings left out."""
    said = {id(node.value) for node in nodes_of(path) if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in nodes_of(path)
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and id(node) not in said
    ]


def test_one_module_spells_whiteouts():
    """The testing kit writes them by itself: what judges may not be what is judged."""
    spelled = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if any((".wh." if isinstance(text, str) else b".wh.") in text for text in _texts(path))
    }
    assert {name for name in spelled if not name.startswith("testing/")} == {"layer/whiteout.py"}


def test_one_module_follows_links():
    """Who walks a path takes its components from the front, and puts those of a link's target before the rest."""
    walks = re.compile(r"""reversed\([^\n]*split\("/"\)|split\("/"\)\[::-1\]""")
    found = {
        str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if walks.search(path.read_text())
    }
    assert found == {"path_walk.py"}


def test_one_module_has_globs():
    users = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if {"fnmatch", "glob"} & set(imports(path))
    }
    assert users == set(), "cosinspect.globs has the one dialect"


SAME_NAME = {
    "Limits": "what an image may cost, and how long a machine is watched: both are the limits of their rooms",
    "Outcome": "how an inspection ends, and how a boot ends: neither room imports the other",
}
"""Names that two classes may have, and why."""


def test_one_word_is_one_class():
    places = {}
    for path in PACKAGE.rglob("*.py"):
        for node in nodes_of(path):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(path.relative_to(PACKAGE)))
    twice = {name: where for name, where in places.items() if len(where) > 1 and name not in SAME_NAME}
    assert twice == {}, "give the new one the field's own term"


@pytest.mark.parametrize("path", MODULES)
def test_no_error_is_changed_after_it_was_raised(path):
    """Others may hold it: `CosinspectError.but` gives a copy with another message, place or remedy."""
    if path.name == "errors.py":
        return
    caught = {node.name for node in nodes_of(path) if isinstance(node, ast.ExceptHandler) and node.name}
    held = {"fault", "last", *caught}
    parts = {"message", "where", "remedy", "args"}
    assert [] == [
        ast.unparse(node)
        for node in nodes_of(path)
        if isinstance(node, ast.Assign | ast.AugAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Attribute)
        if ast.unparse(target.value) in held or (target.attr in parts and ast.unparse(target.value) != "self")
    ]


def test_no_module_is_a_drawer_for_everything():
    names = {path.stem for path in PACKAGE.rglob("*.py")}
    assert not names & {"utils", "util", "helpers", "common", "manager", "misc", "core"}


def test_no_two_test_modules_share_a_name():
    """Test folders are not packages, so pytest could only collect one of them."""
    tests = Path(__file__).parent
    names = [path.name for path in tests.rglob("test_*.py") if not (path.parent / "__init__.py").exists()]
    assert sorted(set(names)) == sorted(names)


WHOLE = {
    "architecture", "packaging", "pages", "public_names", "readme", "contributing", "words",  # of the whole project
    "blob", "deadline", "errors", "extras", "kubernetes_images", "limits", "shortage", "wire_types",  # of a module of the ground floor
}  # fmt: skip
KINDS = {"accuracy", "boots", "compat", "data", "fuzz", "golden", "hostile", "property", "real"}


def test_the_tests_mirror_the_package():
    """A room's tests are in the folder of its name; the other folders are kinds of tests that cross rooms."""
    tests = Path(__file__).parent
    assert {path.stem.removeprefix("test_") for path in tests.glob("test_*.py")} == WHOLE
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    folders = {
        path.name for path in tests.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))
    }
    assert folders - KINDS <= rooms


# Words that are names of generations, too, and stand for something else where they are.
OTHER_WORDS = {
    "checks/kairos.py": {"kairos"},  # a program
    "checks/uki_artefact.py": {"uki"},  # a key of a boot entry
    "formats/boot/kernel.py": {"uki"},  # a kind of kernel
    "formats/text/loader_entry.py": {"uki"},  # a key of a boot entry
}


def strings_in(path):
    """Every string literal of a file but the names that it exports."""
    for statement in tree_of(path).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


@pytest.mark.parametrize("room", ["checks", "facts", "formats", "inspection", "render", "report"])
def test_only_tables_name_generations(room):
    """What differs between generations is an answer of the generation's table, so that a new one is data."""
    for path in (PACKAGE / room).rglob("*.py"):
        own = str(path.relative_to(PACKAGE))
        found = set(generation_tables()).intersection(strings_in(path)) - OTHER_WORDS.get(own, set())
        assert not found, (
            f"{own} names generations {found}: ask the generation's table (cosinspect/profiles/generations.toml)"
        )


def test_words_that_are_no_generations_are_there():
    for name, words in OTHER_WORDS.items():
        assert words <= set(strings_in(PACKAGE / name))
