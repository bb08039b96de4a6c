"""Profiles: what an image must be able to do, and what each generation of the toolkit keeps where. Data, in TOML.

A profile names the capabilities it requires and may change the level of checks. The generations' tables hold paths
and names, so that one set of checks serves all generations.

It may import `report` and `rootfs`. A new generation is a table in `generations.toml` and a fingerprint.
"""

from cosinspect.deferred import deferred_names

TYPE_CHECKING = False

if TYPE_CHECKING:
    from cosinspect.profiles.names import BUILTIN
    from cosinspect.profiles.profile import Profile, load_profile, parse_profile, read_profile
    from cosinspect.profiles.tables import (
        BootState,
        BootTable,
        Deployment,
        Family,
        Generation,
        InitrdUnit,
        Part,
        UnifiedTable,
        boot_globs,
        generation_tables,
    )

__all__ = [
    "BUILTIN",
    "BootState",
    "BootTable",
    "Deployment",
    "Family",
    "Generation",
    "InitrdUnit",
    "Part",
    "Profile",
    "UnifiedTable",
    "boot_globs",
    "generation_tables",
    "load_profile",
    "parse_profile",
    "read_profile",
]

_MODULES = {
    "BUILTIN": "names",
    "BootState": "tables",
    "BootTable": "tables",
    "Deployment": "tables",
    "Family": "tables",
    "Generation": "tables",
    "InitrdUnit": "tables",
    "Part": "tables",
    "Profile": "profile",
    "UnifiedTable": "tables",
    "boot_globs": "tables",
    "generation_tables": "tables",
    "load_profile": "profile",
    "parse_profile": "profile",
    "read_profile": "profile",
}

if not TYPE_CHECKING:
    __getattr__ = deferred_names(__name__, _MODULES)
