"""What the tests of every source start from."""

from __future__ import annotations

import shutil
import socket
import subprocess

import pytest

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def clean_environment(tmp_path, monkeypatch):
    """No proxy, no bundle of certificates, no .netrc and no Docker configuration of whoever runs the tests."""
    for name in (*PROXIES, *map(str.lower, PROXIES), "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def resolving(monkeypatch):
    """Let every name be this machine, as a network of one's own would."""
    original = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest, **more: original("127.0.0.1", *rest, **more))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    directory = tmp_path_factory.mktemp("tls")
    key, chain = directory / "key.pem", directory / "chain.pem"
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    names = ("-subj", "/CN=registry.test", "-addext", "subjectAltName=DNS:registry.test", "-days", "2")
    files = ("-keyout", str(key), "-out", str(chain))
    subprocess.run(["openssl", "req", "-x509", *curve, *names, *files], check=True, capture_output=True)
    return key, chain
