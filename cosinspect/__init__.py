"""What can this OS image do? Does it boot, install, upgrade, make an ISO, and if not, why?

A public name is imported at its first use: `import cosinspect` costs next to nothing, and a command loads only
what it uses.
"""

from cosinspect.deferred import deferred_names as _deferred_names

# Type checkers and editors take this name for true; `typing` itself is not imported for it.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from cosinspect.cache import Cache
    from cosinspect.errors import CosinspectError
    from cosinspect.image.image import Image
    from cosinspect.image.opening import open_image
    from cosinspect.inspection.inspection import inspect
    from cosinspect.inspection.options import Options
    from cosinspect.limits import DEFAULT_LIMITS, Limits
    from cosinspect.oci.platform import Platform
    from cosinspect.policy import Policy, load_policy
    from cosinspect.profiles import Profile, load_profile
    from cosinspect.report.report import (
        Capability,
        CheckResult,
        Finding,
        Kind,
        Level,
        Report,
        Status,
        Verdict,
    )
    from cosinspect.rootfs.rootfs import Rootfs
    from cosinspect.rootfs.semantics import Semantics
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
    "Platform",
    "Policy",
    "Profile",
    "PublicKey",
    "Report",
    "Rootfs",
    "Semantics",
    "SignaturePolicy",
    "Status",
    "Verdict",
    "__version__",
    "inspect",
    "load_policy",
    "load_profile",
    "open_image",
]

_MODULES = {
    "DEFAULT_LIMITS": "limits",
    "Access": "sources.config.access",
    "Cache": "cache",
    "Capability": "report.report",
    "CheckResult": "report.report",
    "CosinspectError": "errors",
    "Credential": "sources.config.credential",
    "Finding": "report.report",
    "Identity": "signatures.policy",
    "Image": "image.image",
    "Kind": "report.report",
    "Level": "report.report",
    "Limits": "limits",
    "Options": "inspection.options",
    "Platform": "oci.platform",
    "Policy": "policy",
    "Profile": "profiles",
    "PublicKey": "signatures.keys",
    "Report": "report.report",
    "Rootfs": "rootfs.rootfs",
    "Semantics": "rootfs.semantics",
    "SignaturePolicy": "signatures.policy",
    "Status": "report.report",
    "Verdict": "report.report",
    "__version__": "version",
    "inspect": "inspection.inspection",
    "load_policy": "policy",
    "load_profile": "profiles",
    "open_image": "image.opening",
}
"""The module of each public name; the imports above are for type checkers."""

# Hidden from type checkers, for whom a module with `__getattr__` has every name.
if not TYPE_CHECKING:
    __getattr__ = _deferred_names(__name__, _MODULES)

    def __dir__():  # noqa: ANN202 - as above
        return sorted({*globals(), *_MODULES})
