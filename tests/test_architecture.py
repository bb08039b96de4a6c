"""The house: imports go down only, third parties stay where they belong, and the library touches nothing of the process."""

import ast
from pathlib import Path

import pytest

import cosinspect

PACKAGE = Path(cosinspect.__file__).parent

# From the ground up. A module may import from floors below its own, and from its own floor only within its group.
FLOORS = [
    {"errors", "irregularities", "version", "tarblocks", "tarfields", "wire_types"},
    {"limits", "deadline", "media_types", "platforms", "semantics", "xz_blocks"},
    {"oci_wire", "compression", "tarstream"},
    {"oci", "restarts"},
    {"artifact", "reference", "blob", "changeset", "formats", "kubernetes_images"},
    {"outline", "table"},
    {"indexing"},
    {"table_audit", "tree"},
    {"layer"},
    {"table_layer"},
    {"overlay"},
    {"cache"},
    {"sources", "history", "entry"},
    {"rootfs", "signatures"},
    {"parsed", "partial"},
    {"image", "packages", "differences"},
    {"opening"},
    {"report"},
    {"profiles"},
    {"checks"},
    {"policy", "plugins"},
    {"judgement", "foresight"},
    {"early"},
    {"inspection", "explanation"},
    {"rulebook", "attestation"},
    {""},  # the package itself: exported names
    {"render"},
    {"task"},
    {"testing", "server", "fleet"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
# Packages that are one floor each; inside them, modules may import each other as long as there is no cycle.
GROUPS = {
    "formats",
    "sources",
    "checks",
    "render",
    "commands",
    "testing",
    "profiles",
    "signatures",
    "cache",
    "policy",
    "server",
    "fleet",
    "attestation",
}

CODECS = {"zlib_ng", "isal", "zstandard", "lz4", "lzma", "bz2", "gzip"}
CONFINED = {
    "requests": {"sources/registry_http.py", "sources/registry_connections.py"},
    "urllib3": {"sources/registry_http.py", "sources/registry_connections.py", "cli.py"},
    "oras": {"sources/docker_config.py"},
    "magic": {"formats/kernel.py"},
    "pylibmagic": {"formats/kernel.py"},
    "yaml": {"formats/yaml.py"},
    "cryptography": {"signatures/keys.py", "signatures/signing.py", "signatures/keyless.py"},
    "nacl": set(),  # loaded by its name in signatures/signing.py,
    "sigstore": {"signatures/keyless.py"},
    "re2": {"policy/patterns.py"},
    "debian_inspector": {"policy/quantities.py"},
    "fsspec": {"cache/shared.py"},
    "jinja2": {"render/html.py", "render/manifests.py"},
    "markupsafe": {"render/html.py"},
    "jsonpath": {"kubernetes_images.py"},
    "starlette": {"server/application.py"},
    "uvicorn": {"server/listener.py"},
    "prometheus_client": {"server/metrics.py"},
    "sqlite3": {"server/verdicts.py"},
    "multiprocessing": {"task.py"},
    "pyarrow": set(),  # loaded by its name in fleet/export.py
    "distributed": set(),  # loaded by its name in commands/scan.py
    "rich": {"render/text.py", "commands/bars.py"},
    "subprocess": set(),  # credential helpers are run by oras
    "tarfile": set(),  # it disagrees with every runtime
    **{codec: {"compression.py"} for codec in CODECS},
    "lzma": {"compression.py", "xz_blocks.py"},
}
# The test package writes what the library reads.
MAY_COMPRESS = {"testing/layers.py", "testing/bootfiles.py", "testing/derivative_parts.py"}
LARGEST_MODULE = 560


def _modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        yield pytest.param(path, id=str(path.relative_to(PACKAGE)))


MODULES = list(_modules())


def imports(path):
    """Every module a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide floors"
            base = node.module or ""
            found = [f"{base}.{alias.name}" for alias in node.names if is_module(f"{base}.{alias.name}")]
            yield from found or [base]


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


@pytest.mark.parametrize("path", MODULES)
def test_imports_go_down(path):
    own = room_of(path)
    for name in imports(path):
        if name.split(".")[0] != "cosinspect":
            continue
        other = [*name.split("."), ""][1]
        if other == own and own in GROUPS:
            continue
        assert floor_of(other) < floor_of(own), f"{own} imports {name}"


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_no_cycles_within_a_floor(group):
    graph = {}
    for path in (PACKAGE / group).glob("*.py"):
        own = f"cosinspect.{group}" + ("" if path.stem == "__init__" else f".{path.stem}")
        graph[own] = {name for name in imports(path) if name.startswith(f"cosinspect.{group}")} - {own}
    while graph:
        leaves = {name for name, needs in graph.items() if not needs & graph.keys()}
        assert leaves, f"a cycle among {sorted(graph)}"
        for name in leaves:
            del graph[name]


@pytest.mark.parametrize("path", MODULES)
def test_imports_stand_at_the_top(path):
    tree = ast.parse(path.read_text())
    inside = [
        node.lineno
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for node in ast.walk(outer)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert [] == inside


@pytest.mark.parametrize("path", MODULES)
def test_third_parties_are_confined(path):
    relative = str(path.relative_to(PACKAGE))
    for name in imports(path):
        top = name.split(".")[0]
        if top in CONFINED and not (top in CODECS and relative in MAY_COMPRESS):
            assert relative in CONFINED[top], f"{relative} imports {name}"


@pytest.mark.parametrize("path", MODULES)
def test_only_the_command_line_touches_the_process(path):
    relative = str(path.relative_to(PACKAGE))
    if relative == "cli.py":
        return
    tree = ast.parse(path.read_text())
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not calls & {"print", "input", "sys.exit", "exit", "logging.basicConfig", "os._exit", "os.getenv"}
    assert not names & {"os.environ", "sys.argv"}
    if relative != "__main__.py" and not relative.startswith("commands/"):
        assert not names & {"sys.stdout", "sys.stderr"}


@pytest.mark.parametrize("path", MODULES)
def test_types_are_ready_before_anything_is_decoded_into_them(path):
    """Two threads that decode into a type for the first time can end the process: `wire_types` tells."""
    if path.name == "wire_types.py":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("msgspec."):
            name = ast.unparse(node.func)
            assert not name.endswith(".Decoder")
            kinds = [each.value for each in node.keywords if each.arg == "type"]
            kinds += node.args[1:2] if name == "msgspec.convert" else []
            assert all(ast.unparse(kind).startswith("ready(") for kind in kinds), ast.unparse(node)


@pytest.mark.parametrize("path", MODULES)
def test_no_module_hides_a_second_noun(path):
    assert len(path.read_text().splitlines()) <= LARGEST_MODULE


def test_no_module_is_a_drawer_for_everything():
    names = {path.stem for path in PACKAGE.rglob("*.py")}
    assert not names & {"utils", "util", "helpers", "common", "manager", "misc", "core"}
