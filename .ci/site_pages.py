"""A hook of mkdocs: pages of the repository outside docs/ become pages of the site, and links between them stay valid."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

OUTSIDE = {
    "../CONTRIBUTING.md": "contributing.md",
    "../CHANGELOG.md": "changelog.md",
    "../benchmarks/README.md": "benchmarks.md",
    "../cosinspect/profiles/generations.toml": "generations.toml",
}


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
    return markdown
