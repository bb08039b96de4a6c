r"""A report for programs: `Report.to_dict`, which is versioned, as one JSON document in ASCII.

Bytes that are not UTF-8 are escaped, and the key `escaped` says where (`cosinspect.report.json_text`). Nothing else
is written to the stream.
"""

from __future__ import annotations

from typing import TextIO

from cosinspect.report.json_text import json_text
from cosinspect.report.report import Report

__all__ = ["JsonRenderer"]


class JsonRenderer:
    """Writes an indented document that ends with a line break; ignores colour and width."""

    def render(self, report: Report, stream: TextIO, *, color: bool = False, width: int = 100) -> None:
        """Write the report."""
        stream.write(json_text(report.to_dict(), indent=2) + "\n")
