"""Manifests that deploy a server in a cluster.

They are YAML templates. Every value is matched with a pattern first (a name, a glob, a quantity), so that
none can contain further YAML.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files

from attrs import field, frozen
from jinja2 import Environment, FunctionLoader, StrictUndefined

__all__ = [
    "ClusterDeployment",
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
    """The images of a rule.

    Attributes:
        registry: glob of the host.
        repository: glob below it.

    Raises:
        ValueError: the text is not such a glob.
    """

    registry: str
    repository: str

    @classmethod
    def parse(cls, text: str) -> ImageGlob:
        """Parse `quay.io/org/os*`."""
        registry, slash, repository = text.partition("/")
        if not slash or not registry or not repository or not _GLOB.fullmatch(text):
            raise ValueError(
                f"expected HOST/REPOSITORY, globs allowed, such as quay.io/org/*, found {text[:80]!r}"
            )
        return cls(registry, repository)


@frozen(kw_only=True)
class ClusterDeployment:
    """What a server in a cluster is made of.

    Attributes:
        name: of all objects.
        namespace: of all objects.
        image: of the server.
        images: the images that need a verdict.
        mode: `enforce` or `warn`.
        profile: name of a builtin profile.
        failure_policy: what the API server does if the server does not answer: `Fail` or `Ignore`.
        workers: number of inspecting processes.
        storage: for verdicts and cache.
        memory: memory limit.
        workloads: whether pods and objects with a pod template are included.
        pin: whether tags are replaced by the inspected digest.
        cert_manager: whether cert-manager makes the certificate.
        ca_bundle: base64 of the authority's PEM, "" to leave it to cert-manager.
        pull_secret: name of a secret with credentials, "" if there is none.
        notifications: whether to accept events of registries.
        harbor: whether to serve as a scanner for Harbor.
        harbor_addresses: internal addresses of Harbor's registry, each with its host in `images`.
        replicas: pods; with more than one, each has a cache of its own that ends with the pod.
        database_secret: name of a secret with the variables of libpq, "" for a file of SQLite.
        exclude_namespaces: namespaces that the API server does not ask about, besides `kube-system` and the server's own.
        priority_class: of the pods, "" if there is none.
        network_policy: whether to restrict the pods' connections to what the server needs.
        monitoring: whether the operator of Prometheus scrapes the server and raises alerts.

    Raises:
        ValueError: a value is invalid.
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
                raise ValueError(f"expected a {what} that Kubernetes accepts, found {text[:80]!r}")
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
    """The unit of a server outside of a cluster.

    Attributes:
        name: of the unit.
        program: absolute path of the command cosinspect.
        config: absolute path of the server's configuration.
        memory: memory limit of the server and its processes.

    Raises:
        ValueError: a value is invalid.
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
                raise ValueError(f"expected a {what} that systemd accepts, found {text[:80]!r}")


def systemd_unit(unit: SystemdUnit) -> str:
    """Return the unit by which systemd runs a server."""
    values = {"name": unit.name, "program": unit.program, "config": unit.config}
    # systemd's suffixes are binary as they are, and it has no fractions of bytes.
    memory = unit.memory.removesuffix("i")
    return _environment().get_template("systemd.service").render(values | {"memory": memory}).strip() + "\n"


def deployment_manifest(deployment: ClusterDeployment) -> str:
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


def gatekeeper_manifest(deployment: ClusterDeployment, stage: str) -> str:
    """Return what has Gatekeeper ask a server.

    Args:
        deployment: the server.
        stage: `template` for the first step, `constraint` for the second, after Gatekeeper has defined the kind, or `all`.

    Raises:
        ValueError: a required CA bundle is missing.
    """
    if not deployment.ca_bundle and stage != "constraint":
        raise ValueError("expected a CA bundle: Gatekeeper asks no provider without")
    return _filled("gatekeeper.yaml", deployment, stage=stage)


def _filled(template: str, deployment: ClusterDeployment, **further: object) -> str:
    values = {name: getattr(deployment, name) for name in ClusterDeployment.__annotations__}
    return _environment().get_template(template).render(values | further).strip() + "\n"


@cache
def _environment() -> Environment:
    # YAML has no escaping like HTML's; the values are matched with patterns instead.
    return Environment(
        loader=FunctionLoader(
            lambda name: files("cosinspect.render").joinpath("deployment", name).read_text("utf-8")
        ),
        autoescape=False,  # noqa: S701 - see above
        undefined=StrictUndefined,
    )
