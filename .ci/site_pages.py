"""A hook of mkdocs: pages of the repository outside docs/ become pages of the site, and links between them stay valid.

A line `<!-- reference: MODULE -->` becomes the reference of what the module exports, by mkdocstrings; elsewhere it is not shown.
"""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

OUTSIDE = {
    "../CONTRIBUTING.md": "contributing.md",
    "../CHANGELOG.md": "changelog.md",
    "../benchmarks/README.md": "benchmarks.md",
    "../cosinspect/profiles/generations.toml": "generations.toml",
    "../cosinspect/profiles/fingerprints.toml": "fingerprints.toml",
}


_REFERENCE = re.compile(r"^<!-- reference: (\S+) -->$", re.MULTILINE)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages and files outside docs/."""
    docs = Path(config["docs_dir"])
    for source, page in OUTSIDE.items():
        files.append(File.generated(config, page, abs_src_path=str((docs / source).resolve())))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links to the pages of the site."""
    for source, target in OUTSIDE.items():
        markdown = markdown.replace(f"]({source}", f"]({target}")
    if page.file.src_uri in OUTSIDE.values():
        markdown = re.sub(r"\]\((?:\.\./)?docs/", "](", markdown)
    return _REFERENCE.sub(_reference, markdown)


def _reference(match: re.Match[str]) -> str:
    """Return what mkdocstrings reads: the module, and the names that it exports, in their order."""
    names = sorted(name for name in import_module(match[1]).__all__ if not name.startswith("__"))
    return f"::: {match[1]}\n    options:\n      members: {json.dumps(names)}\n"
