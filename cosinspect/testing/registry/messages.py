"""What a registry is asked and what it answers: requests, responses, endpoints, error documents, ranges.

Endpoints and error codes are those of distribution-spec 1.1; ranges are those of RFC 9110, 14, one at a time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.message import Message
from http.client import responses

from attrs import evolve, field, frozen

__all__ = [
    "ROUTES",
    "Request",
    "Response",
    "error_response",
    "json_response",
    "partial_response",
]

ROUTES = {
    "manifest": re.compile(r"/v2/(.+)/manifests/([^/]+)"),
    "upload": re.compile(r"/v2/(.+)/blobs/uploads/([^/]*)"),
    "blob": re.compile(r"/v2/(.+)/blobs/([^/]+)"),
    "tags": re.compile(r"/v2/(.+)/tags/(list)"),
    "referrers": re.compile(r"/v2/(.+)/referrers/([^/]+)"),
}
"""The endpoints by name, tried in this order; groups are the repository, and a reference, digest, upload or `list`."""

_CODES = {401: "UNAUTHORIZED", 403: "DENIED", 404: "NAME_UNKNOWN", 405: "UNSUPPORTED", 429: "TOOMANYREQUESTS"}
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@frozen(kw_only=True)
class Request:
    """A request as it came in.

    Attributes:
        method: `GET`, `HEAD` and so on.
        path: the path, without its query.
        query: the query, each name with its values.
        headers: the headers, whose names are looked up in any case.
        body: the body, chunks joined.
    """

    method: str
    path: str
    query: Mapping[str, list[str]] = field(factory=dict)
    headers: Message = field(factory=Message, eq=False)
    body: bytes = field(default=b"", repr=False)


@frozen(kw_only=True)
class Response:
    """An answer before it is sent.

    Attributes:
        status: the status code.
        body: the body, also where a HEAD will get none of it.
        headers: the headers; None stands for one that must not be sent.
        ranged: whether a part of it may be asked for.
    """

    status: int = 200
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str | None] = field(factory=dict)
    ranged: bool = False


def error_response(status: int, code: str = "", message: str = "") -> Response:
    """Answer with an error document; without a code, the one that belongs to the status."""
    name = code or _CODES.get(status, "UNKNOWN")
    return json_response(
        {"errors": [{"code": name, "message": message or responses.get(status, "error")}]}, status=status
    )


def json_response(
    document: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with a document, serialised."""
    body = json.dumps(document, separators=(",", ":")).encode()
    return Response(status=status, body=body, headers={"Content-Type": "application/json", **(headers or {})})


def partial_response(response: Response, request: Request) -> Response:
    """Answer a request for a range of a blob (RFC 9110, 14), with all of it where the range cannot be understood.

    `response` is the answer with the whole blob.
    """
    wanted = _RANGE.fullmatch(request.headers.get("Range", ""))
    if not wanted or not any(wanted.groups()):
        return response
    if request.headers.get("If-Range", response.headers["ETag"]) != response.headers["ETag"]:
        return response
    first, last = wanted.groups()
    size = len(response.body)
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if start > end:
        return evolve(error_response(416), headers={"Content-Range": f"bytes */{size}"})
    return evolve(
        response,
        status=206,
        body=response.body[start : end + 1],
        headers={**response.headers, "Content-Range": f"bytes {start}-{end}/{size}"},
    )
