"""What the tests of every source start from."""

from __future__ import annotations

import pytest

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def clean_environment(tmp_path, monkeypatch):
    """No proxy, no bundle of certificates, no .netrc and no Docker configuration of whoever runs the tests."""
    for name in (*PROXIES, *map(str.lower, PROXIES), "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
