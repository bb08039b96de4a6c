"""Every exception cosinspect raises, in one tree.

An exception means *cannot decide*. A defect of the image is never one of these: it is a finding in the report.

    CosinspectError
    +-- InvalidReference (ValueError)      an image name that no transport understands
    +-- SourceError                        the place an image comes from does not deliver
    |   +-- RegistryError                  a registry answered with an error
    |   |   +-- NotFound                   404: no such repository, tag or blob
    |   |   +-- AccessDenied               401, 403
    |   |   +-- TooManyRequests            429, after the retries
    |   +-- TransportError                 no usable answer: connection, TLS, time-out
    |   +-- InvalidLayout                  a layout directory or archive that is not one
    +-- ContentError                       bytes are not what their descriptor says
    |   +-- DigestMismatch
    |   +-- SizeMismatch
    |   +-- DiffIDMismatch
    |   +-- TableMismatch                  a layer is not what its table of contents says
    +-- InvalidImage                       bytes are right, the document or archive breaks its specification
    |   +-- InvalidManifest
    |   +-- InvalidLayer
    |   +-- UnsupportedMediaType
    |   +-- NoMatchingPlatform
    +-- LimitExceeded                      a bound of `cosinspect.limits.Limits` was reached
    +-- RootfsError                        a path of the merged tree cannot be used as asked
    |   +-- PathNotFound (FileNotFoundError)
    |   +-- SymlinkLoop
    |   +-- NotADirectory
    |   +-- NotARegularFile
    +-- FormatError (ValueError)           a file's bytes are not of the format they are read as
    +-- InvalidAccess                      credentials, certificates or settings of registries that cannot be used
    +-- InvalidCache                       a place for the cache that cannot be used
    +-- InvalidProfile (ValueError)        a profile that cannot decide anything
    |   +-- InvalidBuildManifest           a manifest that no ISO is made by
    |   +-- InvalidPolicy                  a policy with mistakes
    +-- InvalidSignaturePolicy (ValueError)   keys or identities that no signature can be verified with
    +-- InvalidConfiguration (ValueError)  a configuration of the server or the command with mistakes
    +-- InvalidObject (ValueError)         a Kubernetes object whose images cannot be told
    +-- InvalidReport (ValueError)         a document that is not a report
    +-- InvalidScan (ValueError)           what names many images, or was written of them, cannot be used
    +-- MissingPackage                     an optional package that the request needs is not installed
    +-- InvalidPlugin                      an installed distribution whose checks cannot be used
    +-- CannotBoot                         a boot cannot be tried: no emulator, no space, a tree that no disk holds
"""

from __future__ import annotations

from copy import copy
from typing import Self

__all__ = [
    "AccessDenied",
    "CannotBoot",
    "ContentError",
    "CosinspectError",
    "DiffIDMismatch",
    "DigestMismatch",
    "FormatError",
    "InvalidAccess",
    "InvalidBuildManifest",
    "InvalidCache",
    "InvalidConfiguration",
    "InvalidImage",
    "InvalidLayer",
    "InvalidLayout",
    "InvalidManifest",
    "InvalidObject",
    "InvalidPlugin",
    "InvalidPolicy",
    "InvalidProfile",
    "InvalidReference",
    "InvalidReport",
    "InvalidScan",
    "InvalidSignaturePolicy",
    "LimitExceeded",
    "MissingPackage",
    "NoMatchingPlatform",
    "NotADirectory",
    "NotARegularFile",
    "NotFound",
    "PathNotFound",
    "RegistryError",
    "RootfsError",
    "SizeMismatch",
    "SourceError",
    "SymlinkLoop",
    "TableMismatch",
    "TooManyRequests",
    "TransportError",
    "UnsupportedMediaType",
]


class CosinspectError(Exception):
    """The base of all errors of cosinspect: a message, the place, and a remedy.

    Attributes:
        message: what was expected and what was found, in one sentence without a full stop.
        where: the layer, path, offset or key concerned, or None.
        remedy: what the reader can do, or None if there is no general advice.
    """

    def __init__(self, message: str, *, where: str | None = None, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.remedy = remedy

    def but(self, *, message: str | None = None, where: str | None = None, remedy: str | None = None) -> Self:
        """Return a copy with another message, place or remedy; the error itself does not change."""
        other = copy(self)
        other.message = self.message if message is None else message
        other.where = self.where if where is None else where
        other.remedy = self.remedy if remedy is None else remedy
        return other

    def __reduce__(self) -> tuple[object, ...]:
        # By default, pickle rebuilds an exception from its positional arguments and loses the keywords.
        return _remake, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        text = self.message
        if self.where:
            text = f"{self.where}: {text}"
        if self.remedy:
            text = f"{text}; {self.remedy}"
        return text


def _remake(
    kind: type[CosinspectError], arguments: tuple[object, ...], state: dict[str, object]
) -> CosinspectError:
    fault = kind.__new__(kind, *arguments)
    fault.args = arguments
    fault.__dict__.update(state)
    return fault


class InvalidReference(CosinspectError, ValueError):
    """An image name cannot be understood."""


class SourceError(CosinspectError):
    """The source of an image does not deliver it."""


class RegistryError(SourceError):
    """A registry answered with an error.

    Attributes:
        status: the HTTP status code.
        codes: the error codes of the distribution specification, verbatim, in the order given.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        codes: tuple[str, ...] = (),
        where: str | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message, where=where, remedy=remedy)
        self.status = status
        self.codes = codes

    def with_codes(self, codes: tuple[str, ...]) -> Self:
        """Return a copy with other error codes."""
        other = copy(self)
        other.codes = codes
        return other


class NotFound(RegistryError):
    """The registry has no such repository, manifest or blob."""


class AccessDenied(RegistryError):
    """The registry refuses the credentials, or requires some."""


class TooManyRequests(RegistryError):
    """The registry still limits the rate after every retry."""


class TransportError(SourceError):
    """There was no usable answer: connection refused or lost, TLS failure, time-out."""


class InvalidLayout(SourceError):
    """A layout directory or archive is incomplete or invalid."""


class ContentError(CosinspectError):
    """Bytes do not match their descriptor."""


class DigestMismatch(ContentError):
    """The digest of the bytes differs from the requested one."""


class SizeMismatch(ContentError):
    """There are more or fewer bytes than the descriptor says."""


class DiffIDMismatch(ContentError):
    """A layer's uncompressed bytes do not match the image configuration."""


class TableMismatch(ContentError):
    """A part of a layer does not match the layer's table of contents; the layer itself decides."""


class InvalidImage(CosinspectError):
    """The bytes match their digest, but the document or archive violates its specification."""


class InvalidManifest(InvalidImage):
    """A manifest, index or configuration is invalid."""


class InvalidLayer(InvalidImage):
    """Go's reader cannot read a layer's archive to its end.

    Attributes:
        kind: one word for the class of the fault, such as `header-checksum`, if no runtime can unpack the layer; "" if
        another tool may.
        offset: of the fault, in bytes of the uncompressed layer, or None if unknown.
        layer: position of the layer in its image, or None if unknown.
        after: path of the last readable entry, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str = "",
        offset: int | None = None,
        where: str | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message, where=where, remedy=remedy)
        self.kind = kind
        self.offset = offset
        self.layer: int | None = None
        self.after: str | None = None

    def in_layer(self, layer: int, after: str | None) -> Self:
        """Return a copy that names the layer and the last readable entry."""
        other = copy(self)
        other.layer, other.after = layer, after
        return other


class UnsupportedMediaType(InvalidImage):
    """A media type that this version does not read, or must not read."""


class NoMatchingPlatform(InvalidImage):
    """An image index has no manifest for the requested platform."""


class LimitExceeded(CosinspectError):
    """A bound was reached before the end of the input.

    Attributes:
        limit: the field of `cosinspect.limits.Limits` that was exceeded.
        bound: its value.
    """

    def __init__(
        self, message: str, *, limit: str, bound: float, where: str | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(message, where=where, remedy=remedy)
        self.limit = limit
        self.bound = bound


class RootfsError(CosinspectError):
    """A path of the merged tree cannot be used in the requested way."""


class PathNotFound(RootfsError, FileNotFoundError):
    """There is nothing at the path, or at the end of its links."""

    # OSError's own __str__ would take precedence by the order of the bases.
    __str__ = CosinspectError.__str__


class SymlinkLoop(RootfsError):
    """A path needs more symbolic links than the limit."""


class NotADirectory(RootfsError):
    """A path is used as a directory and is not one."""


class NotARegularFile(RootfsError):
    """A path is read as a file and is not one."""


class FormatError(CosinspectError, ValueError):
    """A file's bytes do not have the expected format.

    Attributes:
        kind: one word for the class of the fault, such as `truncated` or `checksum`; stable, for tests and tools.
        offset: in the input, in bytes, or None if there is no single place.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str = "format",
        offset: int | None = None,
        where: str | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message, where=where, remedy=remedy)
        self.kind = kind
        self.offset = offset


class InvalidAccess(CosinspectError):
    """The configuration for registries cannot be used: a file of credentials, a certificate, registries.conf."""


class InvalidCache(CosinspectError):
    """The place that was named for the cache cannot be used."""


class _Mistaken(CosinspectError):
    """A document with mistakes; all are reported together."""

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        remedy: str | None = None,
        mistakes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, where=where, remedy=remedy)
        self.mistakes = mistakes


class InvalidProfile(_Mistaken, ValueError):
    """A profile cannot be read, is wrong, or requires nothing.

    Attributes:
        mistakes: every mistake with its place, in the document's order.
    """


class InvalidSignaturePolicy(CosinspectError, ValueError):
    """The given signers cannot verify anything: an invalid key, an identity without its issuer, or no signer."""


class InvalidPolicy(InvalidProfile):
    """A policy cannot be read, or is wrong.

    Attributes:
        mistakes: every mistake with its place, in the document's order.
    """


class InvalidBuildManifest(InvalidProfile):
    """A build manifest cannot be read, or is not one."""


class InvalidConfiguration(_Mistaken, ValueError):
    """A configuration of the server or of the command cannot be read, or is wrong.

    Attributes:
        mistakes: every mistake with its place, in the document's order.
    """


class InvalidObject(CosinspectError, ValueError):
    """A Kubernetes object has another value where it should name an image."""


class InvalidReport(CosinspectError, ValueError):
    """A document is not a report of a schema that this version reads."""


class InvalidScan(CosinspectError, ValueError):
    """The list of images, or the file of an earlier scan, cannot be used."""


class MissingPackage(CosinspectError):
    """The request needs an optional package, which is not installed."""


class InvalidPlugin(CosinspectError):
    """An installed distribution provides checks that cannot be used."""


class CannotBoot(CosinspectError):
    """A boot cannot be tried here: the emulator or space is missing, or no file system can hold the tree."""
