"""`deploy kubernetes|gatekeeper|harbor`: prints what puts a server to work."""

from __future__ import annotations

import argparse
import base64
import json
from importlib import import_module
from pathlib import Path
from typing import Any

from cosinspect.commands.command import Terminal, WrongUse

__all__ = ["configure", "run"]

TOKEN = 512
"""Characters of a scanner's credential that Harbor stores (its scanner_registration.access_cred)."""
_PEM = b"-----BEGIN CERTIFICATE-----"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "target", choices=("kubernetes", "gatekeeper", "harbor"), help="what shall ask the server"
    )
    parser.add_argument(
        "--images",
        action="append",
        default=[],
        metavar="HOST/GLOB",
        help="which images are held to a verdict, such as quay.io/org/os*; may be given again; the rest is let pass",
    )
    parser.add_argument(
        "--name", default="cosinspect", help="of everything that is made; default: cosinspect"
    )
    parser.add_argument("--namespace", default="cosinspect", help="default: cosinspect")
    parser.add_argument(
        "--image", default="cosinspect:latest", help="of the server; docs/server.md has its Containerfile"
    )
    parser.add_argument(
        "--mode",
        choices=("enforce", "warn"),
        default="warn",
        help="default: warn, to see first what would be refused",
    )
    parser.add_argument("--profile", default="auto", metavar="NAME", help="what is required; default: auto")
    parser.add_argument(
        "--failure-policy",
        choices=("Fail", "Ignore"),
        default="Fail",
        help="what the API server does where nobody answers; default: Fail",
    )
    parser.add_argument(
        "--workloads",
        "--pods",
        action="store_true",
        help="ask about pods, Deployments, StatefulSets, DaemonSets, Jobs and CronJobs as well",
    )
    parser.add_argument("--pin", action="store_true", help="pin tags to the digest that was checked")
    parser.add_argument(
        "--workers", type=int, default=2, metavar="N", help="processes that inspect; default: 2"
    )
    parser.add_argument("--storage", default="10Gi", help="for verdicts and cache; default: 10Gi")
    parser.add_argument("--memory", default="2Gi", help="that the server may take; default: 2Gi")
    parser.add_argument(
        "--pull-secret", default="", metavar="NAME", help="a secret with the registry's credentials"
    )
    parser.add_argument("--notifications", action="store_true", help="take events of registries")
    parser.add_argument("--harbor", action="store_true", help="be a scanner of Harbor's as well")
    parser.add_argument(
        "--harbor-address",
        action="append",
        default=[],
        metavar="INTERNAL=PUBLIC",
        help="Harbor has images fetched at INTERNAL, such as core:8080, which rules know as PUBLIC, such as "
        "harbor.example; may be given again",
    )
    parser.add_argument(
        "--skip-cert-verify",
        action="store_true",
        help="of harbor: do not verify the server's certificate; better add its authority to what Harbor trusts",
    )
    parser.add_argument(
        "--stage",
        choices=("template", "constraint", "all"),
        default="template",
        help="of gatekeeper: the template, or the constraint, whose kind there is once Gatekeeper has seen the template; "
        "default: template",
    )
    parser.add_argument(
        "--no-cert-manager",
        action="store_true",
        help="take the certificate from a secret NAME-tls of your own; with --ca-bundle",
    )
    parser.add_argument("--ca-bundle", metavar="FILE", help="PEM of the authority that made the certificate")
    parser.add_argument(
        "--token-file", metavar="FILE", help="of harbor: what requests bear, as in the server's configuration"
    )
    parser.set_defaults(quiet=False)


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Do it, and give the exit status."""
    if arguments.target == "harbor":
        terminal.out.write(json.dumps(_harbor(arguments), indent=2) + "\n")
        return 0
    if arguments.harbor_address and not arguments.harbor:
        raise WrongUse("--harbor-address: expected --harbor as well")
    if arguments.target == "kubernetes" and not arguments.images:
        raise WrongUse("--images: expected which images are held to a verdict, such as quay.io/org/os*")
    # Loaded by its name: its library takes longer than most commands.
    manifests = import_module("cosinspect.render.manifests")
    try:
        deployment = manifests.Deployment(
            images=tuple(manifests.ImageGlob.parse(text) for text in arguments.images),
            name=arguments.name,
            namespace=arguments.namespace,
            image=arguments.image,
            mode=arguments.mode,
            profile=arguments.profile,
            failure_policy=arguments.failure_policy,
            workers=arguments.workers,
            storage=arguments.storage,
            memory=arguments.memory,
            workloads=arguments.workloads,
            pin=arguments.pin,
            cert_manager=not arguments.no_cert_manager,
            ca_bundle=_bundle(arguments.ca_bundle),
            pull_secret=arguments.pull_secret,
            notifications=arguments.notifications,
            harbor=arguments.harbor,
            harbor_addresses=_addresses(arguments.harbor_address),
        )
        text: str
        if arguments.target == "kubernetes":
            text = manifests.deployment_manifest(deployment)
        else:
            text = manifests.gatekeeper_manifest(deployment, arguments.stage)
    except ValueError as fault:
        raise WrongUse(str(fault)) from fault
    terminal.out.write(text)
    return 0


def _harbor(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the registration of a scanner for Harbor (its API v2.0, ScannerRegistrationReq)."""
    told = {
        "name": "cosinspect",
        "description": "Whether an OS image boots, installs and upgrades",
        "url": f"https://{arguments.name}.{arguments.namespace}.svc/scanner",
        "skip_certVerify": arguments.skip_cert_verify,
        # Its internal address is one of Harbor's own network, which a server elsewhere cannot reach.
        "use_internal_addr": bool(arguments.harbor_address),
        "disabled": False,
    }
    if arguments.token_file:
        token = Path(arguments.token_file).read_text("utf-8").strip()
        if not 0 < len(token) <= TOKEN:
            raise WrongUse(
                f"--token-file: expected a token of 1 to {TOKEN} characters, as Harbor stores no more; found {len(token)}"
            )
        told |= {"auth": "Bearer", "access_credential": token}
    return told


def _addresses(texts: list[str]) -> tuple[tuple[str, str], ...]:
    found = []
    for text in texts:
        address, equals, host = text.partition("=")
        if not equals:
            raise WrongUse(f"--harbor-address: expected INTERNAL=PUBLIC, found {text[:80]!r}")
        found.append((address, host))
    return tuple(found)


def _bundle(path: str | None) -> str:
    if path is None:
        return ""
    pem = Path(path).read_bytes()
    if _PEM not in pem or b"PRIVATE KEY" in pem:
        raise WrongUse(f"--ca-bundle: expected certificates in PEM and no key: {path}")
    return base64.b64encode(pem).decode()
