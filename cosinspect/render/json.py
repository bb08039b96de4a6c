r"""A report for programs: `Report.to_dict`, which is versioned, as one JSON document in ASCII.

Bytes that are not UTF-8 are escaped as lone surrogates (`\udcff` is the byte 0xFF), which Python's and most
other decoders keep. Nothing else is written to the stream.
"""

from __future__ import annotations

import json
from typing import TextIO

from cosinspect.report.report import Report

__all__ = ["JsonRenderer"]


class JsonRenderer:
    """Writes an indented document that ends with a line break; ignores colour and width."""

    def render(self, report: Report, stream: TextIO, *, color: bool = False, width: int = 100) -> None:
        """Write the report."""
        stream.write(json.dumps(report.to_dict(), indent=2, ensure_ascii=True, allow_nan=False) + "\n")
