"""Policies: what users require of their images beyond a profile, as data in TOML, and what they accept for a time.

A policy extends a profile: its rules become checks beside those of the catalogue, its levels and required capabilities are added,
its waivers cover findings without hiding them. `docs/policy.md` is the manual.

It may import `checks`, `formats`, `profiles`, `report` and `rootfs`. A new rule is a type in `rules`; `plan` puts profile and policies together.
"""

from __future__ import annotations

from cosinspect.policy.document import Policy, load_policy, parse_policy, read_policy
from cosinspect.policy.plan import Plan, make_plan

__all__ = ["Plan", "Policy", "load_policy", "make_plan", "parse_policy", "read_policy"]
