"""What can this OS image do? Does it boot, install, upgrade, make an ISO, and if not, why?"""

from cosinspect.cache import Cache
from cosinspect.errors import CosinspectError
from cosinspect.image.image import Image
from cosinspect.image.opening import open_image
from cosinspect.inspection.inspection import inspect
from cosinspect.inspection.options import Options
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.report.report import Capability, CheckResult, Finding, Kind, Level, Report, Status, Verdict
from cosinspect.signatures.keys import PublicKey
from cosinspect.signatures.policy import Identity, SignaturePolicy
from cosinspect.sources.config.access import Access
from cosinspect.sources.config.credential import Credential
from cosinspect.version import __version__

__all__ = [
    "DEFAULT_LIMITS",
    "Access",
    "Cache",
    "Capability",
    "CheckResult",
    "CosinspectError",
    "Credential",
    "Finding",
    "Identity",
    "Image",
    "Kind",
    "Level",
    "Limits",
    "Options",
    "PublicKey",
    "Report",
    "SignaturePolicy",
    "Status",
    "Verdict",
    "__version__",
    "inspect",
    "open_image",
]
