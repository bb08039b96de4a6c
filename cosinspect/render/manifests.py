"""Manifests that deploy a server in a cluster.

They are YAML templates. Every value is matched with a pattern first (a name, a glob, a quantity), so that
none can contain further YAML.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from attrs import field, frozen
from jinja2 import Environment, FunctionLoader, StrictUndefined

__all__ = ["ClusterDeployment", "ImageGlob", "deployment_manifest", "gatekeeper_manifest"]

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,511}")
_GLOB = re.compile(r"[A-Za-z0-9*?._/:\[\]-]{1,512}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252})(:[0-9]{1,5})?")
_QUANTITY = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?([KMGT]i?|m)?")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_PROFILE = re.compile(r"[a-z][a-z0-9-]{0,30}")


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
        pull_secret: name of a secret with credentials, "" for none.
        notifications: whether to accept events of registries.
        harbor: whether to serve as a scanner for Harbor.
        harbor_addresses: internal addresses of Harbor's registry, each with its host in `images`.

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

    def __attrs_post_init__(self) -> None:
        for what, pattern, text in (
            ("name", _LABEL, self.name),
            ("namespace", _LABEL, self.namespace),
            ("pull secret", _LABEL, self.pull_secret or "none"),
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
        if not self.cert_manager and not self.ca_bundle:
            raise ValueError("expected a CA bundle where cert-manager does not make one")


def deployment_manifest(deployment: ClusterDeployment) -> str:
    """Return everything that runs a server as an admission webhook."""
    return _filled("kubernetes.yaml", deployment)


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


def _filled(template: str, deployment: ClusterDeployment, **further: str) -> str:
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
