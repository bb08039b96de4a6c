"""`deploy kubernetes|gatekeeper|harbor|systemd`: prints the manifests, or the unit, that deploy a server."""

from __future__ import annotations

import argparse
import base64
import json
from pathlib import Path
from typing import Any

from cosinspect.commands.command import Terminal, WrongUse
from cosinspect.extras import load_extra

__all__ = ["configure", "run"]

TOKEN = 512
"""The maximum length of a scanner's credential in Harbor (scanner_registration.access_cred)."""
_PEM = b"-----BEGIN CERTIFICATE-----"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "target",
        choices=("kubernetes", "gatekeeper", "harbor", "systemd"),
        help="the system that asks the server, or runs it",
    )
    parser.add_argument(
        "--images",
        action="append",
        default=[],
        metavar="HOST/GLOB",
        help="images that need a verdict, such as quay.io/org/os*; may be repeated; all others are admitted",
    )
    parser.add_argument("--name", default="cosinspect", help="name of all objects; default: cosinspect")
    parser.add_argument("--namespace", default="cosinspect", help="default: cosinspect")
    parser.add_argument(
        "--image",
        default="cosinspect:latest",
        help="image image of the server; docs/server.md has its Containerfile",
    )
    parser.add_argument(
        "--mode",
        choices=("enforce", "warn"),
        default="warn",
        help="default: warn, which refuses nothing",
    )
    parser.add_argument(
        "--profile", default="auto", metavar="NAME", help="profile with the requirements; default: auto"
    )
    parser.add_argument(
        "--failure-policy",
        choices=("Fail", "Ignore"),
        default="Fail",
        help="what the API server does if the server does not answer; default: Fail",
    )
    parser.add_argument(
        "--workloads",
        "--pods",
        action="store_true",
        help="include pods, Deployments, StatefulSets, DaemonSets, Jobs and CronJobs",
    )
    parser.add_argument("--pin", action="store_true", help="replace tags by the inspected digest")
    parser.add_argument(
        "--workers", type=int, default=2, metavar="N", help="number of inspecting processes; default: 2"
    )
    parser.add_argument(
        "--storage", default="10Gi", help="storage storage for verdicts and cache; default: 10Gi"
    )
    parser.add_argument("--memory", default="2Gi", help="memory limit of the server; default: 2Gi")
    parser.add_argument(
        "--pull-secret", default="", metavar="NAME", help="secret with the registry's credentials"
    )
    _add_operation(parser)
    parser.add_argument("--notifications", action="store_true", help="accept events of registries")
    parser.add_argument("--harbor", action="store_true", help="serve as a scanner for Harbor too")
    parser.add_argument(
        "--harbor-address",
        action="append",
        default=[],
        metavar="INTERNAL=PUBLIC",
        help="Harbor names its registry INTERNAL, such as core:8080; rules name it PUBLIC, such as "
        "harbor.example; may be repeated",
    )
    parser.add_argument(
        "--skip-cert-verify",
        action="store_true",
        help="for harbor: do not verify the server's certificate; it is better to make Harbor trust its authority",
    )
    parser.add_argument(
        "--stage",
        choices=("template", "constraint", "all"),
        default="template",
        help="for gatekeeper: the template, or the constraint, whose kind exists after Gatekeeper has read the template; "
        "default: template",
    )
    parser.add_argument(
        "--no-cert-manager",
        action="store_true",
        help="use the certificate in your own secret NAME-tls; requires --ca-bundle",
    )
    parser.add_argument("--ca-bundle", metavar="FILE", help="PEM of the certificate authority")
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help="for harbor: file with the bearer token of requests, as in the server's configuration",
    )
    parser.set_defaults(quiet=False)


def _add_operation(parser: argparse.ArgumentParser) -> None:
    """Add what concerns the server's operation."""
    parser.add_argument(
        "--replicas",
        type=int,
        default=1,
        metavar="N",
        help="pods; more than one need --database-secret; default: 1",
    )
    parser.add_argument(
        "--database-secret",
        default="",
        metavar="NAME",
        help="store verdicts in PostgreSQL; the secret has libpq's variables, such as PGHOST, PGDATABASE, PGUSER, PGPASSWORD",
    )
    parser.add_argument(
        "--exclude-namespace",
        action="append",
        default=[],
        metavar="NAME",
        help="the API server does not ask about objects of this namespace; may be given again",
    )
    parser.add_argument("--priority-class", default="", metavar="NAME", help="of the pods")
    parser.add_argument(
        "--network-policy",
        action="store_true",
        help="restrict the pods' connections to what the server needs",
    )
    parser.add_argument(
        "--monitoring",
        action="store_true",
        help="add a ServiceMonitor and alert rules for the operator of Prometheus",
    )
    parser.add_argument(
        "--program",
        default="/usr/local/bin/cosinspect",
        metavar="PATH",
        help="of systemd: the command; default: /usr/local/bin/cosinspect",
    )
    parser.add_argument(
        "--config",
        dest="unit_config",
        default="/etc/cosinspect/server.toml",
        metavar="FILE",
        help="of systemd: the server's configuration; default: /etc/cosinspect/server.toml",
    )


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Run the command and return the exit status."""
    if arguments.target == "harbor":
        terminal.out.write(json.dumps(_harbor(arguments), indent=2) + "\n")
        return 0
    if arguments.harbor_address and not arguments.harbor:
        raise WrongUse("--harbor-address: expected --harbor as well")
    if arguments.target == "kubernetes" and not arguments.images:
        raise WrongUse("--images: expected the images that need a verdict, such as quay.io/org/os*")
    # Imported on demand: its library takes longer than most commands.
    manifests = load_extra("cosinspect.render.manifests", "server")
    try:
        if arguments.target == "systemd":
            unit = manifests.SystemdUnit(
                name=arguments.name,
                program=arguments.program,
                config=arguments.unit_config,
                memory=arguments.memory,
            )
            terminal.out.write(manifests.systemd_unit(unit))
            return 0
        deployment = manifests.ClusterDeployment(
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
            replicas=arguments.replicas,
            database_secret=arguments.database_secret,
            exclude_namespaces=tuple(arguments.exclude_namespace),
            priority_class=arguments.priority_class,
            network_policy=arguments.network_policy,
            monitoring=arguments.monitoring,
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
        # The internal address belongs to Harbor's network, which a server elsewhere cannot reach.
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
