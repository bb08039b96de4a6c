"""The `Source` port, and bounded reads of blobs that are verified to the last byte.

A source delivers unverified bytes. `read_blob` and `LayerStream` (`cosinspect.layer.stream`) are the only
ways from a source to bytes that may decide something. Neither lets a caller stop before size and digest are
verified (image-spec, descriptor.md, "Verification").
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from cosinspect.errors import (
    DigestMismatch,
    LimitExceeded,
    SizeMismatch,
)
from cosinspect.oci.descriptor import Descriptor

__all__ = ["ByteStream", "Hash", "Source", "VerifiedStream", "read_blob"]

READ_BYTES = 256 * 1024


class Hash(Protocol):
    """The needed part of the interface of `hashlib`'s hashes."""

    def update(self, data: bytes, /) -> None:
        """Add bytes."""
        ...

    def hexdigest(self) -> str:
        """Return the hash of all bytes so far in hexadecimal digits."""
        ...

    def copy(self) -> Self:
        """Return an independent copy in the same state."""
        ...


class ByteStream(Protocol):
    """A stream of bytes that is read once, front to back."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` further bytes, none only at the end."""
        ...

    def close(self) -> None:
        """Release the connection or file."""
        ...


class Source(Protocol):
    """A place that holds one image: a repository, a layout, an archive. It delivers and verifies nothing.

    An implementation is thread-safe.
    """

    def resolve(self) -> Descriptor:
        """Return the descriptor of the image's name now; it pins the image.

        Raises:
            SourceError: the place does not answer.
            InvalidImage: the answer is not an image.
        """
        ...

    def open(self, descriptor: Descriptor) -> ByteStream:
        """Open the content of a descriptor.

        Raises:
            SourceError: the place does not deliver it.
        """
        ...

    def open_range(self, descriptor: Descriptor, start: int, stop: int) -> ByteStream | None:
        """Open the bytes from `start` up to `stop` of a blob; return None if the place does not serve ranges.

        Raises:
            SourceError: the place does not deliver them.
        """
        ...

    def close(self) -> None:
        """Close connections and files."""
        ...


class VerifiedStream:
    """A stream of a blob's bytes that raises an error at the end if they do not match the descriptor.

    Bytes read before the end are unverified: use them only after `finish` has returned.
    """

    def __init__(self, stream: ByteStream, descriptor: Descriptor) -> None:
        self.descriptor = descriptor
        self.position = 0
        self._stream = stream
        self._hash = descriptor.digest.hasher()
        self._ended = False

    def read(self, size: int = READ_BYTES, /) -> bytes:
        """Return at most `size` further bytes, none only after the whole blob was verified.

        Raises:
            SizeMismatch: the number of bytes differs from the descriptor.
            DigestMismatch: the bytes differ.
            SourceError: the source fails.
        """
        if self._ended:
            return b""
        data = self._stream.read(size)
        if data:
            self.position += len(data)
            if self.position > self.descriptor.size:
                raise SizeMismatch(
                    f"expected {self.descriptor.size} bytes, found more",
                    where=f"blob {self.descriptor.digest}",
                )
            self._hash.update(data)
            return data
        self._verify()
        return b""

    @property
    def hashed(self) -> Hash:
        """The hash of the bytes read so far, so that another stream can continue."""
        return self._hash.copy()

    def finish(self) -> None:
        """Read the rest and verify the whole blob.

        Raises:
            as `read` does.
        """
        while self.read():
            pass

    def close(self) -> None:
        """Close the source's stream without verifying anything."""
        self._stream.close()

    def _verify(self) -> None:
        where = f"blob {self.descriptor.digest}"
        if self.position != self.descriptor.size:
            raise SizeMismatch(f"expected {self.descriptor.size} bytes, found {self.position}", where=where)
        found = self._hash.hexdigest()
        if found != self.descriptor.digest.encoded:
            raise DigestMismatch(
                f"expected digest {self.descriptor.digest}, found {self.descriptor.digest.algorithm}:{found}",
                where=where,
                remedy="the blob was damaged or swapped in storage or on its way: push the image again",
            )
        self._ended = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_blob(source: Source, descriptor: Descriptor, *, limit: int, limit_name: str) -> bytes:
    """Return the verified bytes of a small blob: a manifest, an index, a configuration.

    Raises:
        LimitExceeded: the descriptor's size exceeds `limit` bytes; nothing is fetched.
        ContentError: the bytes do not match the descriptor.
        SourceError: the source does not deliver them.
    """
    if descriptor.size > limit:
        raise LimitExceeded(
            f"expected at most {limit} bytes, the descriptor says {descriptor.size}",
            limit=limit_name,
            bound=limit,
            where=f"blob {descriptor.digest}",
        )
    with VerifiedStream(source.open(descriptor), descriptor) as stream:
        return b"".join(iter(stream.read, b""))
