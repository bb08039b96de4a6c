"""A cloud-config document as a version of yip loads it: its stages, or why yip refuses it.

yip (`pkg/schema`) reads a document of its own, with a mapping `stages`; one with the header `#cloud-config` is read by
cloud-init's keys, which become steps of the stages `boot`, `initramfs` and `network`; then it is read again for `stages` of its
own. A fault there loses only those stages.
"""

from __future__ import annotations

import re
from typing import Any

from attrs import frozen

from cosinspect.errors import FormatError
from cosinspect.formats.yip.go_yaml import Budget, Decoded, decode
from cosinspect.formats.yip.nodes import DocumentTree, read_nodes
from cosinspect.formats.yip.schema import CLOUD_CONFIG, DOCUMENT, Yip
from cosinspect.limits import DEFAULT_LIMITS, Limits

__all__ = ["Document", "is_cloud_init", "read_document"]

HEADER = "#cloud-config"
# The characters of Go's unicode.IsSpace, which are removed after a header.
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_OCTAL = re.compile(r"[0-7]+")


@frozen
class Document:
    """A document as yip loads it.

    Attributes:
        cloud_init: whether its header makes it one of cloud-init's.
        empty: whether it has no content.
        value: yip's structure `Document` as plain values, empty fields left out; None if the document is refused.
        refusals: why yip refuses it, one line for each reason.
        parsed: whether it is YAML.
        lost_stages: why the `stages` of a document of cloud-init are skipped, one line for each reason.
        unknown: the keys that yip skips, by their paths.
        repeated: the keys that one mapping has twice, although yip accepts it.
        rest: the line where a further document begins, which is not read.
        bound: the bound of this reader that was reached, so that nothing is known; "" if none was.
    """

    cloud_init: bool
    empty: bool
    value: dict[str, Any] | None
    refusals: tuple[str, ...] = ()
    lost_stages: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    rest: int | None = None
    bound: str = ""
    parsed: bool = True


def is_cloud_init(text: bytes, lines: int) -> bool:
    """Return whether the header is within the first lines, after only comments and blank lines."""
    pieces = text.split(b"\n", max(lines - 1, 1))
    for piece in pieces[:1] if lines == 1 else pieces:
        line = piece.decode("utf-8", "surrogateescape").rstrip(_SPACE)
        if line == HEADER:
            return True
        if line and not line.startswith("#"):
            return False
    return False


def read_document(
    text: bytes, yip: Yip, *, limits: Limits = DEFAULT_LIMITS, budget: Budget | None = None
) -> Document:
    """Load a document as `yip` does; no bytes raise an error.

    Args:
        text: the file's bytes.
        yip: the version.
        limits: `parsed_file_bytes` bounds the text.
        budget: for the values in it; one of its own without it.
    """
    budget = budget or Budget()
    cloud_init = is_cloud_init(text, yip.header_lines)
    own = _load(text, yip, limits, budget, cloud_init=False)
    if isinstance(own, Document):
        return own if not cloud_init else _cloud_init(text, yip, limits, budget, own, None)
    tree, decoded = own
    if cloud_init:
        return _cloud_init(text, yip, limits, budget, tree, decoded)
    return Document(
        cloud_init=False,
        empty=tree.root is None,
        value=None if decoded.errors else decoded.value,
        refusals=decoded.errors,
        unknown=decoded.unknown,
        repeated=decoded.repeated,
        rest=tree.rest,
        bound=decoded.bound,
    )


def _load(
    text: bytes, yip: Yip, limits: Limits, budget: Budget, *, cloud_init: bool
) -> Document | tuple[DocumentTree, Decoded]:
    """Parse and decode by yip's schema or cloud-init's; return a `Document` if the parser refuses the text."""
    dialect = yip.cloud_init_yaml if cloud_init else yip.yaml
    dashes = cloud_init and yip.dashes
    try:
        tree = read_nodes(text, dialect, limits=limits)
    except FormatError as fault:
        if fault.kind in {"limit", "depth"}:
            return Document(cloud_init, empty=False, value=None, bound=str(fault))
        return Document(cloud_init, empty=False, value=None, refusals=(str(fault),), parsed=False)
    target = yip.type(CLOUD_CONFIG if cloud_init else DOCUMENT)
    return tree, decode(tree.root, target, dialect, dashes=dashes, budget=budget)


def _cloud_init(
    text: bytes,
    yip: Yip,
    limits: Limits,
    budget: Budget,
    own: Document | DocumentTree,
    stages: Decoded | None,
) -> Document:
    loaded = _load(text, yip, limits, budget, cloud_init=True)
    if isinstance(loaded, Document):
        return loaded
    tree, decoded = loaded
    lost = own.refusals if isinstance(own, Document) else stages.errors if stages is not None else ()
    bound = decoded.bound or (own.bound if isinstance(own, Document) else stages.bound if stages else "")
    if decoded.errors or bound:
        return Document(cloud_init=True, empty=False, value=None, refusals=decoded.errors, bound=bound)
    own_value = {} if lost or stages is None else stages.value
    try:
        value = _transpiled(decoded.value, own_value, yip)
    except ValueError as fault:
        return Document(cloud_init=True, empty=False, value=None, refusals=(str(fault),))
    unknown = [key for key in decoded.unknown if key not in {"name", "stages"}]
    if not lost and stages is not None:
        unknown += [key for key in stages.unknown if "." in key]
    return Document(
        cloud_init=True,
        empty=tree.root is None,
        value=value,
        lost_stages=lost,
        unknown=tuple(unknown),
        repeated=decoded.repeated + (stages.repeated if stages is not None and not lost else ()),
        rest=tree.rest,
    )


def _transpiled(config: dict[str, Any], own: dict[str, Any], yip: Yip) -> dict[str, Any]:
    """Make yip's stages from cloud-init's keys, and append the document's own stages.

    Raises:
        ValueError: permissions of a file are not an octal number.
    """
    shared = config.get("ssh_authorized_keys") or []
    users: dict[str, Any] = {}
    keys: dict[str, list[str]] = {}
    names = []
    for user in config.get("users") or []:
        name = user.get("name", "")
        names.append(name)
        users[name] = {
            key: value
            for key, value in user.items()
            if not key.startswith("coreos_") and key != "ssh_authorized_keys"
        }
        keys[name] = list(user.get("ssh_authorized_keys") or [])
    for name in names:
        keys[name] = keys[name] + shared
    if not names and shared:
        keys["root"] = shared
    files = [_file(file) for key in ("write_files", "milpa_files") for file in config.get(key) or []]
    network: dict[str, list[str]] = {}
    if yip.network_keys:
        network, keys = _parted(keys)
    step = {"commands": config.get("runcmd"), "files": files, "users": users, "authorized_keys": keys}
    devices = (config.get("growpart") or {}).get("devices") or []
    grown = [{"layout": {"expand_partition": {"size": 0}, "device": {"path": each}}} for each in devices]
    boot = [step, *grown]
    stages: dict[str, Any] = {"boot": boot, "initramfs": [{"hostname": config.get("hostname", "")}]}
    if yip.network_keys:
        stages["network"] = [{"authorized_keys": network}]
    for stage, steps in (own.get("stages") or {}).items():
        stages[stage] = stages.get(stage, []) + (steps or [])
    # Until 1.3 the document always has this name.
    return {"name": "Cloud init", "stages": stages} if yip.version < (1, 4) else {"stages": stages}


def _parted(keys: dict[str, list[str]]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Split keys that are fetched over the network from those that are written out."""
    network: dict[str, list[str]] = {}
    others: dict[str, list[str]] = {}
    for user, items in keys.items():
        for item in items:
            (network if item.startswith(("gitlab", "github")) else others).setdefault(user, []).append(item)
    return network, others


def _file(file: dict[str, Any]) -> dict[str, Any]:
    permissions = file.get("permissions", "")
    if permissions and (_OCTAL.fullmatch(permissions) is None or int(permissions[-40:], 8) >= 2**32):
        path = file.get("path", "")
        raise ValueError(
            f"write_files: {path[:100]}: expected permissions as octal digits, found the text {permissions[:40]!r}"
        )
    found = {
        "path": file.get("path", ""),
        "ownerstring": file.get("owner", ""),
        "content": file.get("content", ""),
        "encoding": file.get("encoding", ""),
    }
    return found | {"permissions": int(permissions, 8) if permissions else 0}
