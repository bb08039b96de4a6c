"""The description of what is the server's own: reports, health, metrics (OpenAPI 3.1). Their owners describe the other protocols."""

from __future__ import annotations

from typing import Any

from cosinspect.report.report import Capability, Effect, Kind, Level, Status, Verdict
from cosinspect.version import __version__

__all__ = ["description"]

_DIGEST = r"^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$"


def description() -> dict[str, Any]:
    """Return the document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "cosinspect",
            "version": __version__,
            "summary": "What OS images can do",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            "/reports/{digest}": {
                "get": {
                    "summary": "The latest report on an image, for programs or for people",
                    "operationId": "report",
                    "parameters": [
                        {
                            "name": "digest",
                            "in": "path",
                            "required": True,
                            "description": "of the requested manifest or index",
                            "schema": {"type": "string", "pattern": _DIGEST},
                        }
                    ],
                    "responses": {
                        "200": {
                            "description": "the report",
                            "content": {
                                "application/json": {"schema": {"$ref": "#/components/schemas/Report"}},
                                "text/html": {"schema": {"type": "string"}},
                            },
                        },
                        "400": _error("the digest is invalid"),
                        "404": _error("no report on the image is stored"),
                    },
                }
            },
            "/healthz": {"get": _state("health", "Whether the process answers")},
            "/readyz": {"get": _readiness()},
            "/metrics": {
                "get": {
                    "summary": "Counters for Prometheus",
                    "operationId": "metrics",
                    "responses": {
                        "200": {
                            "description": "Prometheus's text format",
                            "content": {"text/plain": {"schema": {"type": "string"}}},
                        }
                    },
                }
            },
            "/openapi.json": {
                "get": {
                    "summary": "This document",
                    "operationId": "openapi",
                    "responses": {
                        "200": {
                            "description": "OpenAPI 3.1",
                            "content": {"application/json": {"schema": {"type": "object"}}},
                        }
                    },
                }
            },
        },
        "components": {
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {
                        "error": {
                            "type": "object",
                            "required": ["message"],
                            "properties": {"message": {"type": "string"}},
                        }
                    },
                },
                "Report": _report(),
            }
        },
    }


def _state(name: str, summary: str) -> dict[str, Any]:
    schema = {"type": "object", "required": ["status"], "properties": {"status": {"const": "ok"}}}
    answer = {"description": "yes", "content": {"application/json": {"schema": schema}}}
    return {"summary": summary, "operationId": name, "responses": {"200": answer}}


def _readiness() -> dict[str, Any]:
    texts = {"type": "array", "items": {"type": "string"}}
    configuration = {
        "type": "object",
        "required": ["file", "loaded", "mistakes", "restart"],
        "properties": {
            "file": {"type": "string"},
            "loaded": {"type": "string", "format": "date-time", "description": "when it was read"},
            "mistakes": {**texts, "description": "of the current file; the server uses the earlier one"},
            "restart": {**texts, "description": "keys whose new values take effect after a restart"},
        },
    }

    def answer(status: str, told: str) -> dict[str, Any]:
        properties = {"status": {"const": status}, "reasons": texts, "configuration": configuration}
        schema = {"type": "object", "required": list(properties), "properties": properties}
        return {"description": told, "content": {"application/json": {"schema": schema}}}

    return {
        "summary": "Whether images can be decided",
        "operationId": "readiness",
        "responses": {"200": answer("ok", "yes"), "503": answer("not ready", "no, and why")},
    }


def _error(text: str) -> dict[str, Any]:
    return {
        "description": text,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }


def _report() -> dict[str, Any]:
    """Describe `Report.to_dict`; keys may be added, and are never removed."""
    text, maybe = {"type": "string"}, {"type": ["string", "null"]}
    texts = {"type": "array", "items": text}
    finding = {
        "type": "object",
        "required": ["message", "path", "layer", "evidence", "remedy", "waiver", "semantics"],
        "properties": {
            "message": text,
            "path": maybe,
            "layer": {"type": ["integer", "null"]},
            "evidence": texts,
            "remedy": maybe,
            "remedy_commands": texts,
            "waiver": {"type": ["object", "null"]},
            "semantics": maybe,
        },
    }
    result = {
        "type": "object",
        "required": ["check", "name", "kind", "level", "capabilities", "findings", "reason", "evidence"],
        "properties": {
            "check": text,
            "name": text,
            "kind": {"enum": [each.value for each in Kind]},
            "level": {"enum": [each.value for each in Level]},
            "capabilities": {"type": "array", "items": {"enum": [each.value for each in Capability]}},
            "findings": {"type": "array", "items": finding},
            "reason": text,
            "evidence": texts,
        },
    }
    layer = {
        "type": "object",
        "required": ["digest", "diff_id", "size", "created_by"],
        "properties": {"digest": text, "diff_id": text, "size": {"type": "integer"}, "created_by": maybe},
    }
    image = {
        "type": "object",
        "required": ["name", "digest", "index", "platform", "layers"],
        "properties": {
            "name": text,
            "digest": text,
            "index": maybe,
            "platform": text,
            "layers": {"type": "array", "items": layer},
        },
    }
    capability = {
        "type": "object",
        "required": ["status", "because"],
        "properties": {
            "status": {"enum": [each.value for each in Status]},
            "because": texts,
            "unknown": texts,
            "assuming": {"type": "string"},
            "effect": {"enum": ["", *(each.value for each in Effect)]},
        },
    }
    return {
        "type": "object",
        "required": ["schema", "image", "profile", "required", "verdict", "capabilities", "results", "stats"],
        "properties": {
            "schema": {"const": "cosinspect.report/1"},
            "image": image,
            "profile": text,
            "policies": texts,
            "required": texts,
            "generation": text,
            "verdict": {"enum": [each.value for each in Verdict]},
            "capabilities": {"type": "object", "additionalProperties": capability},
            "results": {"type": "array", "items": result},
            "stats": {"type": "object"},
        },
    }
