"""Options for the requirements of images: the profile, policies, and what a run adds to them."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING

from cosinspect.profiles.names import BUILTIN

if TYPE_CHECKING:
    from cosinspect.policy import Policy

__all__ = ["add_profile", "policies_of", "rule_texts"]


def add_profile(parser: argparse.ArgumentParser) -> None:
    """Add the requirements of an image."""
    parser.add_argument(
        "--profile",
        default="auto",
        metavar="NAME|FILE",
        help=f"requirements: {', '.join(BUILTIN)}, or a TOML file; default: auto, which selects one by the image",
    )
    parser.add_argument(
        "--policy",
        action="append",
        default=[],
        metavar="FILE",
        help="further requirements and waivers, a TOML file; may be repeated",
    )
    parser.add_argument("--strict", action="store_true", help="warnings fail, too")
    parser.add_argument(
        "--skip",
        type=_skipped,
        action="append",
        default=[],
        metavar="ID=REASON",
        help="accept the findings of a check; the report names the reason; may be repeated, and a policy can do it for a time",
    )
    parser.add_argument(
        "--manifest",
        metavar="FILE",
        help="manifest of luet-makeiso or elemental build-iso, which names the kernel and initrd of an ISO",
    )


def rule_texts(arguments: argparse.Namespace) -> tuple[tuple[str, str], ...]:
    """Return the policy that --strict and --skip of `add_profile` make, as its name and its text; none without them."""
    strict, skipped = getattr(arguments, "strict", False), getattr(arguments, "skip", ())
    if not strict and not skipped:
        return ()
    # Quoted as in JSON, text is quoted as in TOML.
    waivers = "".join(
        f"[[waivers]]\ncheck = {json.dumps(check)}\nreason = {json.dumps(reason)}\nexpires = {datetime.now(UTC).date()}\n"
        for check, reason in skipped
    )
    name = " ".join([*(["--strict"] if strict else []), *(["--skip"] if skipped else [])])
    return ((name, f'name = "{name}"\nstrict = {"true" if strict else "false"}\n{waivers}'),)


def policies_of(arguments: argparse.Namespace) -> list[str | Policy]:
    """Return the policies from the arguments of `add_profile`.

    Raises:
        InvalidPolicy: --skip is wrong.
    """
    # Imported on demand: a policy imports every check.
    policy = import_module("cosinspect.policy")
    texts = rule_texts(arguments)
    return [*arguments.policy, *(policy.parse_policy(text, where) for where, text in texts)]


def _skipped(text: str) -> tuple[str, str]:
    check, equals, reason = text.partition("=")
    reason = " ".join(reason.split())
    if not check.strip() or not equals or len(reason) < 3 or not reason.isprintable():
        raise argparse.ArgumentTypeError(
            f"expected the id of a check and a reason, such as COS090='no cosign in the lab', found {text[:60]!r}"
        )
    return check.strip(), reason
