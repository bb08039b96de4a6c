"""Kubernetes' pull secrets, read for the credentials in them as kubectl writes them.

Follows the Kubernetes API (v1 Secret of the types kubernetes.io/dockerconfigjson and kubernetes.io/dockercfg): a document of Docker's
configuration, in base 64, or in the clear under `stringData`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from cosinspect.errors import FormatError

__all__ = ["read_auth_document"]

_KEYS = (".dockerconfigjson", ".dockercfg")


def read_auth_document(raw: bytes) -> Mapping[str, Any]:
    """Return a configuration with `auths` out of a file of Docker or podman, an old `.dockercfg`, or a Secret in JSON or YAML.

    Raises:
        ValueError: it is not one of these.
        RecursionError: it is nested too deeply.
    """
    document = _document(raw)
    if document.get("kind") == "Secret":
        return _of_secret(document)
    known = ("auths", "credHelpers", "credsStore")
    if (
        not any(key in document for key in known)
        and document
        and all(_is_entry(each) for each in document.values())
    ):
        return {"auths": document}
    return document


def _document(raw: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(raw)
    except ValueError:
        try:
            # Imported on demand: most files of credentials are JSON.
            found = import_module("cosinspect.formats.text.yaml").load_yaml(raw.decode())
        except (FormatError, UnicodeDecodeError) as fault:
            raise ValueError("neither JSON nor YAML") from fault
        if found is None or isinstance(found, str):  # as every text is that has no marks of YAML
            raise ValueError("neither JSON nor YAML") from None
    return found if isinstance(found, dict) else {}


def _of_secret(secret: Mapping[str, Any]) -> Mapping[str, Any]:
    for field in ("stringData", "data"):
        values = secret.get(field)
        if not isinstance(values, dict):
            continue
        for key in _KEYS:
            text = values.get(key)
            if isinstance(text, str):
                inner = (
                    text.encode()
                    if field == "stringData"
                    else base64.b64decode("".join(text.split()), validate=True)
                )
                found = json.loads(inner)
                if isinstance(found, dict):
                    return found if key == _KEYS[0] else {"auths": found}
    raise ValueError("a Secret of another type")


def _is_entry(value: object) -> bool:
    return isinstance(value, dict) and bool({"auth", "username", "password", "identitytoken"} & value.keys())
