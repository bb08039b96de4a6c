"""What can this OS image do? Does it boot, install, upgrade, make an ISO, and if not, why?"""

from cosinspect.errors import CosinspectError
from cosinspect.image.image import Image
from cosinspect.image.opening import open_image
from cosinspect.inspection.inspection import inspect
from cosinspect.report.report import Report, Verdict
from cosinspect.signatures.keys import PublicKey
from cosinspect.signatures.policy import Identity, SignaturePolicy
from cosinspect.version import __version__

__all__ = [
    "CosinspectError",
    "Identity",
    "Image",
    "PublicKey",
    "Report",
    "SignaturePolicy",
    "Verdict",
    "__version__",
    "inspect",
    "open_image",
]
