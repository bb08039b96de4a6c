"""Faults of a test's registry: which requests they affect, and how they change the answers.

Changes to the answer itself are made here; the server cuts, stalls and drops the connection.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve, field, frozen

from cosinspect.globs import name_matches
from cosinspect.testing.registry.messages import Request, Response, error_response

__all__ = ["NO_FAULT", "Fault", "spoiled", "take_fault"]


@frozen(kw_only=True)
class Fault:
    """A fault of the next matching requests; the class methods make it, and the registry consumes it.

    All class methods have `path`, a shell pattern for the request's path (`*` matches slashes too), `method`
    (`*` for any) and `times`, the number of affected requests (None for all). The first matching fault of the
    list is used. A request that is only challenged for credentials does not use one.
    """

    path: str = "*"
    method: str = "GET"
    times: int | None = 1
    code: int | None = None
    content: bytes | None = field(default=None, repr=False)
    flip: int | None = None
    extra: bytes = field(default=b"", repr=False)
    fields: Mapping[str, str | None] = field(factory=dict)
    cut: int | None = None
    wait: float | None = None
    silent: bool = False

    @classmethod
    def status(
        cls,
        code: int,
        path: str = "*",
        *,
        headers: Mapping[str, str | None] | None = None,
        body: bytes | None = None,
        method: str = "GET",
        times: int | None = 1,
    ) -> Fault:
        """Answer with this status, and an error document of the specification unless a body is given."""
        content = error_response(code).body if body is None else body
        fields = {"Content-Type": "application/json", **(headers or {})}
        return cls(path=path, method=method, times=times, code=code, content=content, fields=fields)

    @classmethod
    def truncate(cls, path: str, after: int, *, method: str = "GET", times: int | None = 1) -> Fault:
        """Promise the whole body, send its first `after` bytes, and close the connection."""
        return cls(path=path, method=method, times=times, cut=after)

    @classmethod
    def corrupt(cls, path: str, at: int, *, method: str = "GET", times: int | None = 1) -> Fault:
        """Invert the bits of one byte, at this offset of the whole document or blob."""
        return cls(path=path, method=method, times=times, flip=at)

    @classmethod
    def drop(cls, path: str = "*", *, method: str = "GET", times: int | None = 1) -> Fault:
        """Close the connection without an answer."""
        return cls(path=path, method=method, times=times, silent=True)

    @classmethod
    def stall(
        cls,
        path: str,
        seconds: float,
        *,
        after: int | None = None,
        method: str = "GET",
        times: int | None = 1,
    ) -> Fault:
        """Wait this long, before the answer or after `after` bytes of its body; closing the registry ends it."""
        return cls(path=path, method=method, times=times, wait=seconds, cut=after)

    @classmethod
    def redirect(
        cls, path: str, location: str, *, status: int = 307, method: str = "GET", times: int | None = 1
    ) -> Fault:
        """Redirect the client to `location`; `{path}` in it is the requested path."""
        return cls(
            path=path, method=method, times=times, code=status, content=b"", fields={"Location": location}
        )

    @classmethod
    def header(
        cls, path: str, name: str, value: str | None, *, method: str = "GET", times: int | None = 1
    ) -> Fault:
        """Answer with this header, or without it for None; without `Content-Length`, closing ends the body."""
        return cls(path=path, method=method, times=times, fields={name: value})

    @classmethod
    def content_type(cls, path: str, value: str, *, method: str = "GET", times: int | None = 1) -> Fault:
        """Answer with this `Content-Type`."""
        return cls.header(path, "Content-Type", value, method=method, times=times)

    @classmethod
    def swap(cls, path: str, body: bytes, *, method: str = "GET", times: int | None = 1) -> Fault:
        """Answer with these bytes instead, under the same digest and type."""
        return cls(path=path, method=method, times=times, content=body)

    @classmethod
    def oversend(cls, path: str, extra: bytes, *, method: str = "GET", times: int | None = 1) -> Fault:
        """Answer with these bytes after the right ones, and a `Content-Length` that counts them."""
        return cls(path=path, method=method, times=times, extra=extra)


NO_FAULT = Fault(times=None)
"""The fault that changes nothing."""


def take_fault(faults: list[Fault], request: Request) -> Fault:
    """Return the first fault that matches, and count it off in `faults`; `NO_FAULT` where none does."""
    for number, fault in enumerate(faults):
        if name_matches(request.method, fault.method) and name_matches(request.path, fault.path):
            if fault.times is not None:
                left = [evolve(fault, times=fault.times - 1)] if fault.times > 1 else []
                faults[number : number + 1] = left
            return fault
    return NO_FAULT


def spoiled(response: Response, fault: Fault, path: str) -> Response:
    """Return the answer that comes of a fault; `path` is what was requested, for redirects."""
    body = response.body if fault.content is None else fault.content
    if fault.flip is not None:
        at = range(len(body))[fault.flip]
        body = body[:at] + bytes([body[at] ^ 0xFF]) + body[at + 1 :]
    own = {} if fault.code else response.headers
    given = {name: value and value.replace("{path}", path) for name, value in fault.fields.items()}
    return evolve(
        response,
        status=fault.code or response.status,
        body=body + fault.extra,
        headers={**own, **given},
        ranged=response.ranged and not fault.code,
    )
