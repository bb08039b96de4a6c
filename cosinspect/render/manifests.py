"""Manifests that put a server into a cluster, filled with what was asked for.

They are templates of YAML, so whatever goes into one is held against a pattern first: a name, a glob, a quantity, and nothing that
could be more YAML than it looks.
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
class ClusterDeployment:
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
        stage: `template` for what comes first, `constraint` for what Gatekeeper knows the kind of afterwards, or `all`.

    Raises:
        ValueError: there is no CA bundle where one is needed.
    """
    if not deployment.ca_bundle and stage != "constraint":
        raise ValueError("expected a CA bundle: Gatekeeper asks no provider without")
    return _filled("gatekeeper.yaml", deployment, stage=stage)


def _filled(template: str, deployment: ClusterDeployment, **further: str) -> str:
    values = {name: getattr(deployment, name) for name in ClusterDeployment.__annotations__}
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
