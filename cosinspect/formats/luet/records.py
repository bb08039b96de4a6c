"""Records that storm 2.2 keeps in a bolt database, and their fields by the types that luet declares them with.

Storm (`store.go`, `metadata.go`, `codec/json`) puts each record under a key of eight bytes, big endian whatever the file's
own order, as a JSON object. Go sets fields by key in any case and stops at a value of another type; here that field
stays empty and is named in `Fields.malformed`. Refused: more than `Limits.database_records` records, or more than `Limits.database_values` values in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import define, field

from cosinspect.deadline import spend
from cosinspect.errors import FormatError
from cosinspect.formats.luet.bolt import BoltDatabase, Bucket
from cosinspect.formats.text.go_json import decode_json, fold_fields
from cosinspect.limits import Limits

__all__ = ["Fields", "StormRecords"]

# As many as any value needs: what is between values, opens them, or is an escape in a text.
_MARKS = b",:[{\\"
_METADATA = b"__storm_metadata"
_ID_BYTES = 8
_PROBLEMS = 1000


@define
class StormRecords:
    """Reads records, and notes what cannot be read."""

    database: BoltDatabase
    limits: Limits
    problems: dict[str, None] = field(factory=dict)  # in order, each once
    plain_metadata: set[str] = field(factory=set)  # buckets that have a pair where storm has a bucket
    count: int = 0
    parts: int = 0

    def read(self, *names: str) -> Iterator[tuple[int, Fields]]:
        """Yield id and fields of the records in the bucket `names[-1]`, in the order of the file.

        Raises:
            FormatError: a page of the bucket is damaged, or more is in it than is read (`limit`). Elements that
                overlap are noted, and given as bbolt gives them.
        """
        bucket = self.database.bucket(*(name.encode() for name in names), problem=self._note)
        if bucket is None:
            return
        name = names[-1]
        is_codec_known = False

        def damage(fault: FormatError) -> None:
            if fault.kind != "overlap":
                raise fault
            self._note(f"{name}: {fault.message}")

        for element in self.database.elements(
            bucket, problem=lambda text: self._note(f"{name}: {text}"), damage=damage
        ):
            if element.key == _METADATA:
                if element.bucket is None:
                    self.plain_metadata.add(name)
                elif (
                    not is_codec_known
                ):  # once: a hostile bucket could have a million of them, all with one large root
                    self._check_codec(name, element.bucket)
                    is_codec_known = True
            elif element.bucket is None and len(element.key) == _ID_BYTES:
                record = self._record(name, element.key, element.value)
                if record is not None:
                    record_id = int.from_bytes(element.key, "big", signed=True)
                    yield record_id, Fields(fold_fields(record))

    def _record(self, name: str, key: bytes, value: memoryview) -> dict[str, Any] | None:
        self.count += 1
        if self.count > self.limits.database_records:
            raise FormatError(f"at most {self.limits.database_records} records are read", kind="limit")
        if len(value) > self.limits.parsed_file_bytes:
            raise FormatError(
                f"a record of at most {self.limits.parsed_file_bytes} bytes is read, this one has {len(value)}",
                kind="limit",
                where=f"{name} {key.hex()}",
            )
        content = bytes(value)
        # Counted before they are decoded: an empty list takes three bytes here, and sixty once it is one.
        self.parts += 1 + len(content) - len(content.translate(None, _MARKS))
        if self.parts > self.limits.database_values:
            raise FormatError(
                f"records with at most {self.limits.database_values} values are read", kind="limit"
            )
        try:
            record = decode_json(content)
        except FormatError as fault:
            self._note(f"{name} {key.hex()}: {'not JSON' if fault.kind == 'json' else fault.message}")
            return None
        if not isinstance(record, dict):
            self._note(f"{name} {key.hex()}: not an object")
            return None
        return record

    def _check_codec(self, name: str, metadata: Bucket) -> None:
        try:
            for element in self.database.elements(metadata):
                spend()
                codec = bytes(element.value[:40])
                if element.key == b"codec" and codec != b"json":
                    self._note(f"{name}: codec {codec!r} instead of json")
        except FormatError as fault:
            self._note(f"{name}: {_METADATA.decode()}: {fault.message}")

    def _note(self, problem: str) -> None:
        if len(self.problems) < _PROBLEMS:
            self.problems[problem] = None


@define
class Fields:
    """A structure's fields, by their names in lower case, as luet would be given them."""

    values: dict[str, Any]
    malformed: list[str] = field(factory=list)

    def text(self, name: str) -> str:
        """Return a text, empty if there is none."""
        value = self.values.get(name, "")
        if isinstance(value, str):
            return value
        self.malformed.append(name)
        return ""

    def flag(self, name: str) -> bool:
        """Return a truth value, false where there is none."""
        value = self.values.get(name, False)
        if isinstance(value, bool):
            return value
        self.malformed.append(name)
        return False

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the texts of a list."""
        return tuple(self._items(name, str))

    def objects(self, name: str) -> Iterator[Fields]:
        """Yield the structures of a list; what is malformed in them is not noted."""
        for item in self._items(name, dict):
            yield Fields(fold_fields(item))

    def pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        """Return the entries of a map from text to text, in the order stored."""
        value = self.values.get(name, {})
        if not isinstance(value, dict):
            self.malformed.append(name)
            return ()
        kept = tuple((key, text) for key, text in value.items() if isinstance(text, str))
        if len(kept) < len(value):
            self.malformed.append(name)
        return kept

    def _items(self, name: str, kind: type) -> list[Any]:
        value = self.values.get(name, [])
        if not isinstance(value, list):
            self.malformed.append(name)
            return []
        kept = [item for item in value if isinstance(item, kind)]
        if len(kept) < len(value):
            self.malformed.append(name)
        return kept
