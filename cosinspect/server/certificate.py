"""The server's certificate: loaded into a TLS context, and loaded again when its files change."""

from __future__ import annotations

import asyncio
import logging
import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from cosinspect.errors import InvalidConfiguration
from cosinspect.server.configuration import Listen
from cosinspect.server.metrics import Metrics
from cosinspect.server.settings import stamp_of

__all__ = ["renew", "require_certificate", "require_pair", "tls_context"]

_logger = logging.getLogger("cosinspect.server")

WATCH_SECONDS = 1.0
"""Seconds between looks at the certificate's files."""


def tls_context(settings: Listen, metrics: Metrics) -> ssl.SSLContext | None:
    """Return the TLS context of the listener, None for plain HTTP.

    Raises:
        InvalidConfiguration: certificate and key cannot be used.
    """
    if settings.plain_http:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        _load(context, settings)
        if settings.client_ca is not None:
            context.load_verify_locations(settings.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        metrics.certificate.set(_expiry(settings))
    except (OSError, ValueError) as fault:  # ssl.SSLError is an OSError
        raise InvalidConfiguration(
            f"certificate and key cannot be used: {fault}",
            where="listen",
            remedy="they must be PEM, belong together, and have no password",
        ) from fault
    return context


async def renew(context: ssl.SSLContext, settings: Listen, metrics: Metrics) -> None:
    """Reload the certificate when its files change; while key and certificate do not match, the old one stays."""
    files = [Path(name) for name in (settings.certificate, settings.key) if name is not None]
    seen = stamp_of(files)
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        now = stamp_of(files)
        if now == seen:
            continue
        try:
            # Load into a separate context first: a certificate without its key must not replace the one in use.
            _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), settings)
            expiry = _expiry(settings)
            _load(context, settings)
        except (OSError, ValueError) as fault:
            _logger.warning("the new certificate cannot be used, the old one stays: %s", fault)
            continue
        seen = now
        metrics.certificate.set(expiry)
        _logger.info("the certificate was renewed")


def require_certificate(path: str) -> None:
    """Require a file of certificates that have not expired.

    Raises:
        ValueError: the file has no certificate.
        OSError: it cannot be read.
    """
    try:
        found = x509.load_pem_x509_certificates(Path(path).read_bytes())
    except ValueError as fault:
        raise ValueError(f"{path}: expected certificates in PEM, found none that can be read") from fault
    end = min(each.not_valid_after_utc for each in found)
    if end < datetime.now(UTC):
        raise ValueError(f"{path}: the certificate expired on {end.date().isoformat()}; renew it")


def require_pair(certificate: str, key: str) -> None:
    """Require the private key of a certificate, without a password.

    Raises:
        ValueError: it is not the certificate's key, or not a key.
        OSError: a file cannot be read.
    """

    def ask() -> str:
        raise ValueError(f"{key}: expected a key without a password; decrypt it")

    if b"PRIVATE KEY" not in Path(key).read_bytes():
        raise ValueError(f"{key}: expected a private key in PEM")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=ask)
    except ssl.SSLError as fault:
        raise ValueError(
            f"{key}: expected the key of {certificate}: {fault.reason or fault}; use the key and the certificate of one pair"
        ) from fault


def _load(context: ssl.SSLContext, settings: Listen) -> None:
    assert settings.certificate is not None  # noqa: S101 - the configuration demands it
    # With a password on the key, OpenSSL would ask for it on a terminal.
    context.load_cert_chain(settings.certificate, settings.key, password=lambda: "")


def _expiry(settings: Listen) -> float:
    """Return the earliest expiry of the chain's certificates, in seconds since 1970."""
    assert settings.certificate is not None  # noqa: S101 - the configuration demands it
    chain = x509.load_pem_x509_certificates(Path(settings.certificate).read_bytes())
    return min(each.not_valid_after_utc.timestamp() for each in chain)
