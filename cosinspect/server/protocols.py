"""The protocols, bound to one configuration; a reload binds new ones, and earlier requests end with the earlier ones."""

from __future__ import annotations

from typing import Self

from attrs import field, frozen

from cosinspect.kubernetes_images import ImageFields
from cosinspect.server.admission import Admissions
from cosinspect.server.gate import Gate
from cosinspect.server.gatekeeper import Provider
from cosinspect.server.harbor import Scanner
from cosinspect.server.inspector import Inspector
from cosinspect.server.metrics import Metrics
from cosinspect.server.notifications import Notifications
from cosinspect.server.settings import Settings

__all__ = ["Protocols"]


@frozen
class Protocols:
    """The handlers of requests.

    Attributes:
        settings: of the protocols.
        admissions: of Kubernetes.
        provider: of Gatekeeper's external data.
        notifications: of registries; None if the configuration does not have them.
        scanner: of Harbor; None if the configuration does not have it.
    """

    settings: Settings
    admissions: Admissions
    provider: Provider
    notifications: Notifications | None = field(default=None)
    scanner: Scanner | None = field(default=None)

    @classmethod
    def of(cls, settings: Settings, inspector: Inspector, metrics: Metrics) -> Self:
        """Bind the protocols to settings."""
        configuration = settings.configuration
        gate = Gate(configuration, inspector, metrics)
        return cls(
            settings,
            Admissions(configuration, ImageFields(configuration.kinds), gate),
            Provider(gate, configuration.admission.seconds),
            Notifications(configuration, inspector, metrics) if configuration.notifications else None,
            Scanner(configuration, inspector) if configuration.harbor else None,
        )
