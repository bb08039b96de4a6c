"""The results of the checks as values: the report, its findings, its verdict, and its lines of text.

It may import `signatures`, and nothing that reads images. `Report.to_dict` is the published schema: keys are
added, never changed. `display` makes text from an image safe to print. `lines` are sentences that several
formats share. The package exports the names of `report`; plugins and programs import them from here.
"""

from cosinspect.deferred import deferred_names

TYPE_CHECKING = False

if TYPE_CHECKING:
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
        UpgradeOrigin,
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
    "UpgradeOrigin",
    "Verdict",
    "Waiver",
    "judge",
    "name_layer",
    "shorten_step",
]

_MODULES = dict.fromkeys(__all__, "report")

if not TYPE_CHECKING:
    __getattr__ = deferred_names(__name__, _MODULES)
