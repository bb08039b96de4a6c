"""Manifests that put a server into a cluster, filled with what was asked for.

They are templates of YAML, so whatever goes into one is held against a pattern first: a name, a glob, a quantity, and nothing that
could be more YAML than it looks.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files

from attrs import field, frozen
from jinja2 import Environment, FunctionLoader, StrictUndefined

__all__ = [
    "Deployment",
    "ImageGlob",
    "SystemdUnit",
    "deployment_manifest",
    "gatekeeper_manifest",
    "systemd_unit",
]

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,511}")
_GLOB = re.compile(r"[A-Za-z0-9*?._/:\[\]-]{1,512}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252})(:[0-9]{1,5})?")
_QUANTITY = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?([KMGT]i?|m)?")
_PATH = re.compile(r"/[A-Za-z0-9._/@+-]{1,1023}")
_PORT = re.compile(r":([0-9]{1,5})$")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_PROFILE = re.compile(r"[a-z][a-z0-9-]{0,30}")

MOST_REPLICAS = 100


@frozen
class ImageGlob:
    """Images that a rule speaks of.

    Attributes:
        registry: glob of the host.
        repository: glob below it.

    Raises:
        ValueError: it is no such glob.
    """

    registry: str
    repository: str

    @classmethod
    def parse(cls, text: str) -> ImageGlob:
        """Read `quay.io/org/os*`."""
        registry, slash, repository = text.partition("/")
        if not slash or not registry or not repository or not _GLOB.fullmatch(text):
            raise ValueError(
                f"expected HOST/REPOSITORY, globs allowed, such as quay.io/org/*, found {text[:80]!r}"
            )
        return cls(registry, repository)


@frozen(kw_only=True)
class Deployment:
    """What a server in a cluster is made of.

    Attributes:
        name: of everything that is made.
        namespace: that it is in.
        image: of the server.
        images: that are held to a verdict.
        mode: `enforce` or `warn`.
        profile: a builtin one's name.
        failure_policy: what the API server does where the server does not answer: `Fail` or `Ignore`.
        workers: processes that inspect.
        storage: for verdicts and cache.
        memory: that it may take.
        workloads: whether pods and everything with a template of one are asked about as well.
        pin: whether tags are pinned to the digest that was checked.
        cert_manager: whether cert-manager makes the certificate.
        ca_bundle: base64 of the authority's PEM, "" to leave it to cert-manager.
        pull_secret: name of a secret with credentials, "" for none.
        notifications: whether registries' events are taken.
        harbor: whether it is a scanner of Harbor's.
        harbor_addresses: internal addresses of Harbor's registry, each with the host that `images` name.
        replicas: pods; with more than one, each has a cache of its own that does not outlive it.
        database_secret: name of a secret with the environment by which libpq finds PostgreSQL, "" for a file of SQLite.
        exclude_namespaces: whose objects the API server does not ask about, besides `kube-system` and the server's own.
        priority_class: of the pods, "" for none.
        network_policy: whether the pods' connections are restricted to what the server needs.
        monitoring: whether Prometheus' operator is told to scrape the server, and when to alert.

    Raises:
        ValueError: something is not what it should be.
    """

    images: tuple[ImageGlob, ...]
    name: str = "cosinspect"
    namespace: str = "cosinspect"
    image: str = "cosinspect:latest"
    mode: str = "warn"
    profile: str = "auto"
    failure_policy: str = "Fail"
    workers: int = 2
    storage: str = "10Gi"
    memory: str = "2Gi"
    workloads: bool = False
    pin: bool = False
    cert_manager: bool = True
    ca_bundle: str = field(default="", repr=False)
    pull_secret: str = ""
    notifications: bool = False
    harbor: bool = False
    harbor_addresses: tuple[tuple[str, str], ...] = ()
    replicas: int = 1
    database_secret: str = ""
    exclude_namespaces: tuple[str, ...] = ()
    priority_class: str = ""
    network_policy: bool = False
    monitoring: bool = False

    def __attrs_post_init__(self) -> None:
        for what, pattern, text in (
            ("name", _LABEL, self.name),
            ("namespace", _LABEL, self.namespace),
            ("pull secret", _LABEL, self.pull_secret or "none"),
            ("database secret", _LABEL, self.database_secret or "none"),
            ("priority class", _LABEL, self.priority_class or "none"),
            *(("namespace", _LABEL, each) for each in self.exclude_namespaces),
            ("image", _IMAGE, self.image),
            ("storage", _QUANTITY, self.storage),
            ("memory", _QUANTITY, self.memory),
            ("CA bundle", _BASE64, self.ca_bundle),
            ("profile", _PROFILE, self.profile),
            ("mode", re.compile("enforce|warn"), self.mode),
            ("failure policy", re.compile("Fail|Ignore"), self.failure_policy),
        ):
            if not pattern.fullmatch(text):
                raise ValueError(f"expected a {what} such as Kubernetes takes, found {text[:80]!r}")
        for host in (each for pair in self.harbor_addresses for each in pair):
            if not _HOST.fullmatch(host):
                raise ValueError(f"expected a host such as core:8080, found {host[:80]!r}")
        if not 1 <= self.replicas <= MOST_REPLICAS:
            raise ValueError(f"expected 1 to {MOST_REPLICAS} replicas, found {self.replicas}")
        if self.replicas > 1 and not self.database_secret:
            raise ValueError(
                "expected a database secret for several replicas: verdicts in a file belong to one pod, so the others would inspect again"
            )
        if not self.cert_manager and not self.ca_bundle:
            raise ValueError("expected a CA bundle where cert-manager does not make one")


@frozen(kw_only=True)
class SystemdUnit:
    """What a server outside of a cluster is made of.

    Attributes:
        name: of the unit.
        program: absolute path of the command cosinspect.
        config: absolute path of the server's configuration.
        memory: that the server and its processes may take.

    Raises:
        ValueError: something is not what it should be.
    """

    name: str = "cosinspect"
    program: str = "/usr/local/bin/cosinspect"
    config: str = "/etc/cosinspect/server.toml"
    memory: str = "2Gi"

    def __attrs_post_init__(self) -> None:
        for what, pattern, text in (
            ("name", _LABEL, self.name),
            ("program", _PATH, self.program),
            ("configuration", _PATH, self.config),
            ("memory", _QUANTITY, self.memory),
        ):
            if not pattern.fullmatch(text):
                raise ValueError(f"expected a {what} such as systemd takes, found {text[:80]!r}")


def systemd_unit(unit: SystemdUnit) -> str:
    """Return the unit by which systemd runs a server."""
    values = {"name": unit.name, "program": unit.program, "config": unit.config}
    # systemd's suffixes are binary as they are, and it has no fractions of bytes.
    memory = unit.memory.removesuffix("i")
    return _environment().get_template("systemd.service").render(values | {"memory": memory}).strip() + "\n"


def deployment_manifest(deployment: Deployment) -> str:
    """Return everything that runs a server as an admission webhook."""
    configuration = _filled("server.toml", deployment)
    ports = [443, *(int(found[1]) for each in deployment.images if (found := _PORT.search(each.registry)))]
    return _filled(
        "kubernetes.yaml",
        deployment,
        configuration=configuration,
        checksum=hashlib.sha256(configuration.encode()).hexdigest(),
        registry_ports=sorted(set(ports)),
        excluded=list(dict.fromkeys(("kube-system", deployment.namespace, *deployment.exclude_namespaces))),
    )


def gatekeeper_manifest(deployment: Deployment, stage: str) -> str:
    """Return what has Gatekeeper ask a server.

    Args:
        deployment: the server.
        stage: `template` for what comes first, `constraint` for what Gatekeeper knows the kind of afterwards, or `all`.

    Raises:
        ValueError: there is no CA bundle where one is needed.
    """
    if not deployment.ca_bundle and stage != "constraint":
        raise ValueError("expected a CA bundle: Gatekeeper asks no provider without")
    return _filled("gatekeeper.yaml", deployment, stage=stage)


def _filled(template: str, deployment: Deployment, **further: object) -> str:
    values = {name: getattr(deployment, name) for name in Deployment.__annotations__}
    return _environment().get_template(template).render(values | further).strip() + "\n"


@cache
def _environment() -> Environment:
    # YAML has no escaping that HTML's would be; the values are held against patterns instead.
    return Environment(
        loader=FunctionLoader(
            lambda name: files("cosinspect.render").joinpath("deployment", name).read_text("utf-8")
        ),
        autoescape=False,  # noqa: S701 - see above
        undefined=StrictUndefined,
    )
