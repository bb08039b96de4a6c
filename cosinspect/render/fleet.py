"""Many images as a static site: an overview and a page per image, searchable without a server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from cosinspect.checks import CATALOGUE
from cosinspect.profiles import generation_tables
from cosinspect.render.html import page
from cosinspect.report.display import size
from cosinspect.report.report import Capability, Status
from cosinspect.version import __version__

__all__ = ["fleet_page"]

MOST_FAILING = 15
"""The number of checks in the list of most frequent failures."""

_ORDER = ("fail", "error", "open", "pass")


def fleet_page(
    rows: Sequence[Mapping[str, Any]],
    layers: Iterable[tuple[str, int]],
    pages: Mapping[str, str],
    *,
    title: str = "Images",
    day: date | None = None,
) -> str:
    """Return the page of a fleet.

    Args:
        rows: for each image `image`, `digest`, `verdict`, `generation`, `size`, `failed`, `message`, and its capabilities by name.
        layers: digests and sizes of all layers of all images.
        pages: addresses of the images' pages by digest.
        title: of the page.
        day: on which the page is written; None for today, UTC.
    """
    verdicts = Counter(row["verdict"] for row in rows)
    failing = Counter(check for row in rows for check in row["failed"].split())
    summaries = {check.id: check.summary for check in CATALOGUE}
    titles = {name: table.title for name, table in generation_tables().items()}
    most = max(failing.values(), default=1)
    unique = dict(layers)
    ranked = sorted(rows, key=lambda row: (_ORDER.index(row["verdict"]), row["image"]))
    return page(
        "fleet.html",
        title=title,
        version=__version__,
        day=(day or datetime.now(UTC).date()).isoformat(),
        total=len(rows),
        verdicts={word: verdicts[word] for word in _ORDER if verdicts[word]},
        layers=len(unique),
        size=size(sum(unique.values())),
        whole=size(sum(row["size"] for row in rows)),
        capabilities={
            each.value: {
                status.value: sum(row[each.value] == status.value for row in rows) for status in Status
            }
            for each in Capability
        },
        failing=[
            {
                "check": check,
                "count": count,
                "share": f"{100 * count / most:.1f}",
                "summary": summaries.get(check, ""),
            }
            for check, count in failing.most_common(MOST_FAILING)
        ],
        images=[
            {
                "image": row["image"],
                "verdict": row["verdict"],
                "order": str(_ORDER.index(row["verdict"])),
                "generation": row["generation"],
                "known_as": titles.get(row["generation"], ""),
                "bytes": row["size"],
                "size": size(row["size"]) if row["size"] else "",
                "failed": row["failed"].split(),
                "message": row["message"],
                "page": pages.get(row["digest"], ""),
            }
            for row in ranked
        ],
    )
