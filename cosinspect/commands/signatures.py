"""Arguments for required signatures, with cosign's names."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cosinspect.commands.command import WrongUse
from cosinspect.commands.rule_options import rule_texts
from cosinspect.errors import InvalidSignaturePolicy
from cosinspect.inspection.rulebook import Rulebook, load_rulebook
from cosinspect.signatures.keys import KEY_BYTES, PublicKey
from cosinspect.signatures.policy import Identity, SignaturePolicy

__all__ = ["add_signatures", "read_key_file", "rulebook_of", "signature_policy", "without_signatures"]

_ENVIRONMENT = "env://"


def add_signatures(parser: argparse.ArgumentParser) -> None:
    """Add the options for required signers, annotations, and the place of signatures."""
    group = parser.add_argument_group("signatures", "requires a signature by one of these signers")
    group.add_argument(
        "--verify-key",
        action="append",
        default=[],
        metavar="FILE|env://NAME",
        help="public key in PEM, such as cosign.pub; may be repeated, one valid signature is enough",
    )
    for what, metavar, text in (
        ("identity", "NAME", "the e-mail address or URI in the signer's certificate"),
        ("oidc-issuer", "URL", "the issuer of that identity"),
    ):
        either = group.add_mutually_exclusive_group()
        either.add_argument(f"--certificate-{what}", metavar=metavar, help=text)
        either.add_argument(
            f"--certificate-{what}-regexp",
            metavar="REGEXP",
            help=f"{text}, as a regular expression that matches anywhere",
        )
    group.add_argument(
        "--trusted-root",
        metavar="FILE",
        help="sigstore's certificates and keys (trusted_root.json); default: fetched from the public instance",
    )
    group.add_argument(
        "-a",
        "--annotation",
        "--annotations",  # as cosign spells it
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="annotation that the signature must have; may be repeated, all are required",
    )
    group.add_argument(
        "--signature-repository",
        metavar="HOST/PATH",
        help="repository of the signatures; default: $COSIGN_REPOSITORY, else the image's repository",
    )


def without_signatures() -> dict[str, Any]:
    """Return the values of `add_signatures` without any option."""
    parser = argparse.ArgumentParser()
    add_signatures(parser)
    return vars(parser.parse_args([]))


def signature_policy(arguments: argparse.Namespace) -> SignaturePolicy | None:
    """Return the policy for signatures, None if no signer is given.

    Args:
        arguments: of `add_signatures`, and the process's `environment`.

    Raises:
        WrongUse: the arguments contradict each other.
        InvalidSignaturePolicy: a key is invalid.
        InvalidReference: the repository is invalid.
    """
    identities = _identities(arguments)
    if not arguments.verify_key and not identities:
        for name in ("annotation", "trusted_root", "signature_repository"):
            if getattr(arguments, name):
                raise WrongUse(
                    f"--{name.replace('_', '-')}: expected a signer too: --verify-key, or "
                    "--certificate-identity and --certificate-oidc-issuer"
                )
        return None
    if arguments.trusted_root and not identities:
        raise WrongUse("--trusted-root: expected --certificate-identity too; keys need no root")
    environment: Mapping[str, str] = arguments.environment
    return SignaturePolicy(
        keys=tuple(
            PublicKey.from_pem(read_key_file(text, environment), text) for text in arguments.verify_key
        ),
        identities=identities,
        annotations=dict(_annotation(text) for text in arguments.annotation),
        repository=arguments.signature_repository or environment.get("COSIGN_REPOSITORY") or None,
        trusted_root=Path(arguments.trusted_root) if arguments.trusted_root else None,
    )


def rulebook_of(arguments: argparse.Namespace) -> Rulebook:
    """Return the rulebook from the arguments of `add_profile` and `add_signatures` and the platform.

    Raises:
        InvalidProfile: the profile, a policy or the manifest cannot be used.
        WrongUse, InvalidSignaturePolicy, InvalidReference: as `signature_policy`.
    """
    return load_rulebook(
        arguments.profile,
        arguments.policy,
        build_manifest=arguments.manifest,
        signatures=signature_policy(arguments),
        platform=str(arguments.platform) if arguments.platform else None,
        texts=rule_texts(arguments),
    )


def _identities(arguments: argparse.Namespace) -> tuple[Identity, ...]:
    subject, issuer = arguments.certificate_identity, arguments.certificate_oidc_issuer
    subjects, issuers = arguments.certificate_identity_regexp, arguments.certificate_oidc_issuer_regexp
    if {subject, issuer, subjects, issuers} == {None}:
        return ()
    if (subject is None and subjects is None) or (issuer is None and issuers is None):
        raise WrongUse(
            "expected --certificate-identity and --certificate-oidc-issuer (or their -regexp forms), found one of them"
        )
    return (
        Identity(
            subjects if subject is None else subject,
            issuers if issuer is None else issuer,
            subject_is_pattern=subject is None,
            issuer_is_pattern=issuer is None,
        ),
    )


def _annotation(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise WrongUse(f"--annotation: expected NAME=VALUE, found {text[:100]!r}")
    return name, value


def read_key_file(text: str, environment: Mapping[str, str]) -> bytes:
    """Return the key of an argument: a file, or env:// and a variable.

    Raises:
        InvalidSignaturePolicy: there is no key.
    """
    if text.startswith(_ENVIRONMENT):
        name = text.removeprefix(_ENVIRONMENT)
        if name not in environment:
            raise InvalidSignaturePolicy("the environment has no such variable", where=text[:300])
        return environment[name].encode("utf-8", "surrogateescape")
    if "://" in text:
        raise InvalidSignaturePolicy(
            "keys are read from files and from the environment only",
            where=text[:300],
            remedy="write the public key to a file: cosign public-key --key ... > cosign.pub",
        )
    try:
        with Path(text).open("rb") as file:
            return file.read(KEY_BYTES + 1)
    except (OSError, ValueError) as fault:  # ValueError: a NUL in the path
        reason = fault.strerror if isinstance(fault, OSError) else None
        raise InvalidSignaturePolicy(
            f"the key cannot be read: {reason or fault}",
            where=text[:300],
            remedy="name the file of a public key, such as cosign.pub, or env://NAME of a variable that has it",
        ) from fault
