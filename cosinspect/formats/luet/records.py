"""Records of storm 2.2 in a bolt database, and their fields with luet's types.

Storm (`store.go`, `metadata.go`, `codec/json`) puts each record under a key of eight bytes, always big endian, as a JSON object. Go
ignores the case of keys and stops at a value of another type; here that field stays empty and `Fields.malformed` names it. Refused: more than
`Limits.database_records` records, or more than `Limits.database_values` values in them.
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

# At least one for each value: separators, openings, and escapes in text.
_MARKS = b",:[{\\"
_METADATA = b"__storm_metadata"
_ID_BYTES = 8
_PROBLEMS = 1000


@define
class StormRecords:
    """Reads records, and notes records that cannot be read."""

    database: BoltDatabase
    limits: Limits
    problems: dict[str, None] = field(factory=dict)  # in order, each once
    plain_metadata: set[str] = field(factory=set)  # buckets with a pair in place of storm's nested bucket
    count: int = 0
    parts: int = 0

    def read(self, *names: str) -> Iterator[tuple[int, Fields]]:
        """Yield the id and the fields of each record in the bucket `names[-1]`, in the order of the file.

        Raises:
            FormatError: a page of the bucket is damaged, or it exceeds a limit (`limit`). Overlapping elements are
                noted, and yielded as bbolt does.
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
                ):  # noted once: a hostile bucket can have a million of them, all with one large root
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
            raise FormatError(
                f"expected at most {self.limits.database_records} records, found more", kind="limit"
            )
        if len(value) > self.limits.parsed_file_bytes:
            raise FormatError(
                f"expected a record of at most {self.limits.parsed_file_bytes} bytes, found {len(value)}",
                kind="limit",
                where=f"{name} {key.hex()}",
            )
        content = bytes(value)
        # Counted before decoding: an empty list has three bytes here, and sixty as an object.
        self.parts += 1 + len(content) - len(content.translate(None, _MARKS))
        if self.parts > self.limits.database_values:
            raise FormatError(
                f"expected records with at most {self.limits.database_values} values, found more",
                kind="limit",
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
    """A structure's fields, by their names in lower case, as Go passes them to luet."""

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
        """Yield the structures of a list; malformed values in them are not noted."""
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
