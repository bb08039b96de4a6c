"""rpm's database of the backend ndb, written as rpm's `lib/backend/ndb/rpmpkg.c` writes it, for tests; and what rpm prints of a database."""

import lzma
import struct
import subprocess
import zlib
from pathlib import Path

DATA = Path(__file__).parent / "data/rpmdb"
EXPECTED = (DATA / "expected.txt").read_text().splitlines()
FORMAT = "%{NAME}|%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}|%{ARCH}|%{SOURCERPM}|%{LICENSE}\\n"


def stored(name):
    return lzma.decompress((DATA / f"{name}.xz").read_bytes())


def rows(packages):
    """Packages in the form of `FORMAT`, sorted."""
    return sorted(
        "|".join(
            (each.name, each.version, each.architecture or "(none)", each.source or "(none)", each.license)
        )
        for each in packages
    )


def printed_by_rpm(directory, backend):
    """What rpm prints of the database in a directory, sorted."""
    command = ["rpm", "--dbpath", directory, "--define", f"_db_backend {backend}", "-qa", "--qf", FORMAT]
    return sorted(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines())


def ndb_file(blobs, *, pages=1, free=()):
    """Write a database of package headers; the slots whose numbers are in `free` stay empty."""
    slots, content, number = [], b"", 0
    start = pages * 4096 // 16
    for slot in range(2, pages * 256):
        if slot in free or number == len(blobs):
            slots.append(struct.pack("<4sIII", b"Slot", 0, 0, 0))
            continue
        blob = blobs[number]
        number += 1
        body = struct.pack("<4sIII", b"BlbS", number, 1700000000, len(blob)) + blob
        body += bytes(-(len(body) + 12) % 16)
        body += struct.pack("<II4s", zlib.adler32(body), len(blob), b"BlbE")
        slots.append(struct.pack("<4sIII", b"Slot", number, start + len(content) // 16, len(body) // 16))
        content += body
    header = struct.pack("<4sIIIIIII", b"RpmP", 0, 7, pages, number + 1, 0, 0, 0)
    return header + b"".join(slots) + content


def rpm_header(tags):
    """Write a header: texts, and numbers of four bytes, by tag."""
    index, data = b"", b""
    for tag, value in tags.items():
        kind, content = (
            (6, value.encode("utf-8", "surrogateescape") + b"\0")
            if isinstance(value, str)
            else (4, struct.pack(">I", value))
        )
        data += bytes(-len(data) % 4) if kind == 4 else b""
        index += struct.pack(">IIII", tag, kind, len(data), 1)
        data += content
    return struct.pack(">II", len(index) // 16, len(data)) + index + data
