"""The check on images without a system that Elemental 3 reads: ISO carriers, release manifests, extensions, Kubernetes payloads.

The rules are those of SUSE/elemental af2c437: internal/cli/action/customize.go, internal/config/manager.go, systemd_sysext.go and
kubernetes.go, pkg/extractor, pkg/manifest/api.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from cosinspect.checks import subjects
from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check
from cosinspect.errors import FormatError
from cosinspect.formats.text.yaml import parse_yaml
from cosinspect.report.report import Finding, Level
from cosinspect.rootfs.rootfs import Entry

__all__ = ["elemental3_carrier_unusable"]

_ISO = "/iso/*default-iso*.iso"
_ISO_MARK = b"CD001"
_ISO_MARK_AT = 0x8001
_MANIFESTS = ("/release_manifest*.yaml", "/etc/release-manifest/release_manifest*.yaml")
_MANIFEST_KEYS = frozenset({"schema", "metadata", "lifecycle", "components", "corePlatform"})
_OF_EXTENSION = ("usr", "opt")
_INSTALL_SCRIPT = "/install.sh"


@check(
    id="COS275",
    name="elemental3-carrier-unusable",
    level=Level.WARNING,
    summary="Elemental 3 cannot use the content of the image.",
    why="""`elemental3 customize` and `elemental3 build` unpack the image, extract the ISO, the release manifest, the extension or
    the Kubernetes payload, and stop if it is missing or not of the expected form.""",
    remedy="""Build the image FROM scratch with only its payload: one ISO in /iso, /release_manifest.yaml, one .raw file or /usr
        of an extension, /install.sh with the files of a Kubernetes distribution.""",
    reads=("release_manifest*.yaml", "etc/release-manifest/release_manifest*.yaml"),
    applies=subjects.carrier,
)
def elemental3_carrier_unusable(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the content as elemental3 does."""
    table = context.table
    look = _LOOKS.get(table.carries) if table is not None else None
    if look is None:
        raise NotApplicable("the image has no content for Elemental 3")
    yield from look(context)


def _first(context: CheckContext, *patterns: str) -> Entry:
    found = (entry for pattern in patterns for entry in context.rootfs.glob(pattern))
    entry = next(found, None)
    if entry is None:
        raise NotApplicable(f"no file has the name {' or '.join(patterns)}")
    return entry


def _file(context: CheckContext, entry: Entry) -> tuple[Entry | None, Finding | None]:
    """Return the file at an entry, links followed, or the reason why there is none."""
    trace = context.rootfs.trace(entry.path)
    if trace.entry is None:
        return None, context.broken(trace, f"expected a file at {entry.path}, the link is dangling")
    if trace.entry.type != "file" or not trace.entry.size:
        what = f"a {trace.entry.type}" if trace.entry.type != "file" else "an empty file"
        return None, Finding(
            f"expected a file at {entry.path}, found {what}",
            entry.path,
            trace.entry.layer,
            (context.step(trace.entry.layer),),
        )
    return trace.entry, None


def _iso(context: CheckContext) -> Iterator[Finding | str]:
    """Read the signature of ISO 9660 in the first file of the name."""
    entry = _first(context, _ISO)
    file, fault = _file(context, entry)
    if fault is not None:
        yield fault
    if file is None:
        return
    with context.rootfs.open(file.path) as stream:
        head = b""
        while len(head) < _ISO_MARK_AT + len(_ISO_MARK) and (more := stream.read(1 << 15)):
            head += more
    if head[_ISO_MARK_AT:].startswith(_ISO_MARK):
        yield f"elemental3 customize uses {entry.path}, an ISO 9660 file system of {file.size} bytes"
    else:
        yield Finding(
            f"expected an ISO 9660 file system in {entry.path}, its signature is missing",
            entry.path,
            file.layer,
            (context.step(file.layer),),
        )


def _manifest(context: CheckContext) -> Iterator[Finding | str]:
    """Decode the manifest, and look for the keys that its type requires."""
    entry = _first(context, *_MANIFESTS)
    file, fault = _file(context, entry)
    if fault is not None:
        yield fault
    if file is None:
        return
    text = context.facts.text(entry.path).text
    if text is None:
        raise Undecided(f"{entry.path} is too large to be read")
    try:
        value = parse_yaml(text).value
    except FormatError as refusal:
        if refusal.kind not in ("syntax", "alias", "encoding", "scalar", "key", "merge", "cycle"):
            raise Undecided(f"{entry.path} cannot be read here: {refusal.message}") from refusal
        yield Finding(f"{entry.path}: {refusal.message}", entry.path, file.layer, (context.step(file.layer),))
        return
    faults = list(_manifest_faults(value))
    for message in faults:
        yield Finding(f"{entry.path}: {message}", entry.path, file.layer, (context.step(file.layer),))
    if not faults:
        yield f"{entry.path} names the components of a release"


def _manifest_faults(value: object) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield "expected a mapping"
        return
    unknown = sorted(str(key) for key in value if key not in _MANIFEST_KEYS)
    if unknown:
        yield f"expected no other keys than those of a manifest, found {', '.join(unknown[:4])}"
    if "corePlatform" in value:
        if not _text(value, "corePlatform", "image"):
            yield "expected corePlatform.image, the image of the manifest that it extends"
        return
    for key in ("base", "iso"):
        if not _text(value, "components", "operatingSystem", "image", key):
            yield f"expected components.operatingSystem.image.{key}, the name of an image"


def _text(value: object, *keys: str) -> str:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else ""


def _extension(context: CheckContext) -> Iterator[Finding | str]:
    """Look at the root directory: one file, or /usr with or without /opt."""
    children = context.rootfs.children(context.rootfs.root)
    if len(children) == 1 and next(iter(children.values())).type != "dir":
        yield f"the extension is the file /{next(iter(children))}"
        return
    usr = children.get("usr")
    if usr is None or usr.type != "dir":
        yield Finding("expected a single file or the directory /usr, found neither", "/usr")
        return
    for name, entry in sorted(children.items()):
        if name not in _OF_EXTENSION:
            yield Finding(
                f"expected /usr and /opt alone in an extension, /{name} is not copied",
                f"/{name}",
                entry.layer,
                (context.step(entry.layer),),
            )
    yield "the extension is /usr" + (" with /opt" if "opt" in children else "")


def _payload(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the script that the machine runs at its first boot."""
    file, fault = _file(context, _first(context, _INSTALL_SCRIPT))
    if fault is not None:
        yield fault
    if file is not None:
        yield f"{_INSTALL_SCRIPT} installs the Kubernetes distribution at the first boot"


_LOOKS: Mapping[str, Callable[[CheckContext], Iterator[Finding | str]]] = {
    "iso": _iso,
    "manifest": _manifest,
    "extension": _extension,
    "payload": _payload,
}
