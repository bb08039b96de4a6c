"""The results of the checks as values: the report, its findings, its verdict, and its lines of text.

It may import `signatures`, and nothing that reads images. `Report.to_dict` is the published schema: keys are
added, never changed. `display` makes text from an image safe to print. `lines` are sentences that several
formats share. The package exports the names of `report`; plugins and programs import them from here.
"""

from __future__ import annotations

from cosinspect.report.report import (
    DECIDABLE,
    NEEDS,
    SCHEMA,
    SIGNATURE_TAG,
    Capability,
    CapabilityResult,
    CheckResult,
    Effect,
    Finding,
    Kind,
    LayerSummary,
    Level,
    Need,
    Report,
    Rule,
    Stats,
    Status,
    Verdict,
    Waiver,
    judge,
    name_layer,
    shorten_step,
)

__all__ = [
    "DECIDABLE",
    "NEEDS",
    "SCHEMA",
    "SIGNATURE_TAG",
    "Capability",
    "CapabilityResult",
    "CheckResult",
    "Effect",
    "Finding",
    "Kind",
    "LayerSummary",
    "Level",
    "Need",
    "Report",
    "Rule",
    "Stats",
    "Status",
    "Verdict",
    "Waiver",
    "judge",
    "name_layer",
    "shorten_step",
]
