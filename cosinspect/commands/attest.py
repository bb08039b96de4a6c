"""`attest IMAGE --key FILE`: inspects, signs the verdict, and pushes it beside the image for others to enforce."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from attrs import evolve

from cosinspect.attestation.place import AttestationRepository
from cosinspect.attestation.statement import statement_of
from cosinspect.attestation.verdict import StatementSigner, attest
from cosinspect.commands.command import ExitStatus, Terminal, WrongUse
from cosinspect.commands.options import access_of, add_image, cache_of, limits_of
from cosinspect.commands.progress import layer_bars
from cosinspect.commands.rule_options import add_profile
from cosinspect.commands.signatures import add_signatures, read_key_file, rulebook_of
from cosinspect.extras import load_extra
from cosinspect.inspection.inspection import inspect
from cosinspect.oci.documents import Digest
from cosinspect.oci.reference import ImageName
from cosinspect.report.lines import sentence
from cosinspect.report.report import Verdict
from cosinspect.signatures.signing import PrivateKey
from cosinspect.sources.registry.source import RegistrySource

__all__ = ["configure", "run"]

EXIT_STATUSES = {
    Verdict.PASS: ExitStatus.YES,
    Verdict.FAIL: ExitStatus.NO,
    Verdict.OPEN: ExitStatus.UNDECIDED,
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_image(parser)
    add_profile(parser)
    parser.add_argument(
        "--key",
        metavar="FILE|env://NAME",
        help="private key in PEM, such as cosign.key; $COSIGN_PASSWORD has its password",
    )
    parser.add_argument(
        "--identity-token",
        metavar="TOKEN|env://NAME",
        help="sign by identity (extra sigstore): an OpenID Connect token for sigstore, such as $SIGSTORE_ID_TOKEN of GitLab",
    )
    parser.add_argument(
        "--trust-config",
        metavar="FILE",
        help="addresses and keys of your own sigstore (ClientTrustConfig); default: the public instance",
    )
    parser.add_argument(
        "--no-tag",
        action="store_true",
        help="push only a referrer, not the tag sha256-....att of cosign 2",
    )
    parser.add_argument(
        "--print",
        action="store_true",
        help="print the statement; sign and push nothing",
    )
    add_signatures(parser)


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Run the command and return the exit status."""
    reference = ImageName.parse(arguments.image).reference
    if reference is None and not arguments.print:
        raise WrongUse(
            "expected an image in a registry, because the attestation is pushed beside it; or --print"
        )
    ways = [arguments.key is not None, arguments.identity_token is not None, arguments.print]
    if ways.count(True) != 1:
        raise WrongUse("expected exactly one of --key, --identity-token and --print")
    key = _signer(arguments)
    book = rulebook_of(arguments)
    today = datetime.now(UTC)
    access = access_of(arguments, arguments.image)
    limits = limits_of(arguments)
    with layer_bars(terminal) as bars:
        report = inspect(
            arguments.image,
            plan=book.plan(today.date()),
            platform=arguments.platform,
            access=access,
            verify_diff_ids=not arguments.no_diff_ids,
            signatures=book.signatures,
            limits=limits,
            cache=cache_of(arguments),
            jobs=arguments.jobs,
            on_image=bars.begin,
            progress=bars.advance,
        )
    rules = book.digest(today.date())
    if key is None or reference is None:
        statement = json.loads(statement_of(report, rules))
        terminal.out.write(json.dumps(statement, indent=2) + "\n")
        return EXIT_STATUSES[report.verdict]
    pinned = evolve(reference, digest=Digest.parse(report.index or report.digest))
    source = RegistrySource(pinned, access=access, limits=limits)
    try:
        placed = attest(
            report,
            rules,
            key,
            AttestationRepository(source, limits),
            source.resolve(),
            created=today.strftime("%Y-%m-%dT%H:%M:%SZ"),
            tagged=not arguments.no_tag,
        )
    finally:
        source.close()
    terminal.out.write(f"{sentence(report)}\n")
    if not arguments.quiet:
        place = f"{reference.registry}/{reference.repository}"
        who = key.public if isinstance(key, PrivateKey) else key.name
        terminal.out.write(f"attested {placed.result} by {who}\n  {place}@{placed.referrer}\n")
        if placed.tag is not None:
            terminal.out.write(f"  {place}:{placed.tag}\n")
    return EXIT_STATUSES[report.verdict]


class _IdentitySigner(StatementSigner, Protocol):
    """A signer by identity."""

    @property
    def name(self) -> str:
        """The name of the signer."""
        ...


def _signer(arguments: argparse.Namespace) -> PrivateKey | _IdentitySigner | None:
    """Return the signer, None if nothing is signed."""
    environment = arguments.environment
    if arguments.key is not None:
        password = environment.get("COSIGN_PASSWORD")
        pem = read_key_file(arguments.key, environment)
        return PrivateKey.from_pem(pem, arguments.key, password.encode() if password else None)
    if arguments.identity_token is None:
        return None
    token = arguments.identity_token
    if token.startswith("env://"):
        name = token.removeprefix("env://")
        if name not in environment:
            raise WrongUse(f"--identity-token: expected the variable {name[:60]} to be set, it is not")
        token = environment[name]
    # Imported on demand: its import takes half a second.
    module = load_extra("cosinspect.signatures.keyless", "sigstore")
    config = Path(arguments.trust_config) if arguments.trust_config else None
    signer: _IdentitySigner = module.KeylessSigner(token, config)
    return signer
