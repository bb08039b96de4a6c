"""Policies: requirements of users beyond a profile, and waivers, as data in TOML.

A policy extends a profile. Its rules become checks, its levels and required capabilities are added, and its
waivers cover findings without hiding them. `docs/policy.md` is the manual.

It may import `checks`, `facts`, `formats`, `profiles`, `report` and `rootfs`. Add a kind of rule in `rules`; `plan`
combines profile and policies.
"""

from __future__ import annotations

from cosinspect.policy.document import Policy, load_policy, parse_policy, read_policy
from cosinspect.policy.plan import Plan, make_plan

__all__ = ["Plan", "Policy", "load_policy", "make_plan", "parse_policy", "read_policy"]
