"""Certificates for one registry: authorities to trust, and what to show of oneself.

Follows containers-certs.d(5) and Docker's certs.d: a directory named after host and port has `*.crt` for authorities, and
`NAME.cert` with `NAME.key` for the client.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from pathlib import Path

from cosinspect.errors import InvalidAccess

__all__ = ["find_certificates", "tls_context"]


def find_certificates(host: str, directories: Iterable[Path]) -> Path | None:
    """Return the first of `directories` that has one named after a host, with port where the name has one."""
    for directory in directories:
        found = directory / host
        try:
            if found.is_dir():
                return found
        except (OSError, ValueError):
            continue
    return None


def tls_context(directory: Path | None, *, verify: bool = True, client: bool = True) -> ssl.SSLContext | None:
    """Return the TLS context for a registry, None for the default.

    Args:
        directory: of certificates.
        verify: whether the registry's own certificate counts.
        client: whether to show the client's certificate.

    Raises:
        InvalidAccess: a certificate or key cannot be used; the message names the file.
    """
    if directory is None and verify:
        return None
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for path in _files(directory) if directory is not None else ():
        try:
            if path.suffix == ".crt":
                context.load_verify_locations(cafile=path)
            elif path.suffix == ".cert" and client:
                key = path.with_suffix(".key")
                if not key.is_file():
                    raise InvalidAccess(
                        f"expected the key {key.name} beside a client's certificate", where=str(path)
                    )
                # A key with a passphrase would be asked for at the terminal.
                context.load_cert_chain(path, key, password=_no_passphrase)
            elif path.suffix == ".key" and client and not path.with_suffix(".cert").is_file():
                raise InvalidAccess(
                    f"expected the certificate {path.with_suffix('.cert').name} beside a client's key",
                    where=str(path),
                    remedy="a certificate of an authority ends in .crt, one of a client in .cert",
                )
        except (OSError, ValueError) as fault:  # ssl.SSLError is an OSError
            reason = (
                getattr(fault, "reason", None) or getattr(fault, "strerror", None) or type(fault).__name__
            )
            raise InvalidAccess(
                f"expected a certificate in PEM that OpenSSL accepts, found one that it refuses: {reason}",
                where=str(path),
            ) from fault
    return context


def _files(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError as fault:
        raise InvalidAccess(
            f"expected a directory of certificates: {fault.strerror}", where=str(directory)
        ) from fault


def _no_passphrase() -> str:
    raise ValueError("the key is encrypted")
