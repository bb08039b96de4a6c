"""Tar headers beyond what an honest writer writes: bytes put anywhere, the checksum made right again, PAX bodies by hand."""

from cosinspect.testing import tar_header

END = bytes(1024)
GNU = b"ustar  \0"
V7 = bytes(8)


def padded(body):
    return body + bytes(-len(body) % 512)


def entry(name="file", body=b"", **fields):
    """A header and its content."""
    return tar_header(name, **{"size": len(body), **fields}) + padded(body)


def patched(block, changes, *, signed=False):
    """A header with bytes changed at some offsets; `signed` sums them as Sun's tar did."""
    out = bytearray(block)
    for at, data in changes.items():
        out[at : at + len(data)] = data
    out[148:156] = b" " * 8
    total = sum(out) - 256 * sum(byte > 127 for byte in out) * signed
    out[148:156] = b"%06o\0 " % total
    return bytes(out)


def record(key, value):
    """One PAX record."""
    rest = b" %s=%s\n" % (key, value)
    length = len(rest) + 1
    while length != len(rest) + len(str(length)):
        length += 1
    return b"%d%s" % (length, rest)


def records(*pairs):
    return b"".join(record(key, value) for key, value in pairs)


def extended(body, typeflag=b"x"):
    """An extended header with this body, right or wrong."""
    return entry("PaxHeaders/entry", body, typeflag=typeflag)


def gnu_long(text, typeflag=b"L"):
    return entry("././@LongLink", text + b"\0", typeflag=typeflag, magic=GNU)


def octal(value):
    return b"%011o\0" % value


def old_gnu_sparse(name, stretches, size, stored, *, extra=0):
    """A file in GNU tar's first sparse format; `extra` empty extension blocks follow the map."""
    pairs = [octal(start) + octal(length) for start, length in stretches]
    blocks = [pairs[at : at + 21] for at in range(4, len(pairs), 21)] + [[]] * extra
    changes = {386: b"".join(pairs[:4]), 482: bytes([bool(blocks)]), 483: octal(size)}
    out = patched(tar_header(name, typeflag=b"S", size=len(stored), magic=GNU), changes)
    for number, block in enumerate(blocks, 1):
        out += b"".join(block).ljust(504, b"\0") + bytes([number < len(blocks)]) + bytes(7)
    return out + padded(stored)


def pax_sparse(version, name, stretches, size, stored):
    """A file in one of GNU tar's sparse formats for PAX: `0.0`, `0.1`, `1.0`."""
    numbers = [b"%d" % number for stretch in stretches for number in stretch]
    sizes = [(b"GNU.sparse.size", b"%d" % size), (b"GNU.sparse.numblocks", b"%d" % len(stretches))]
    named = (b"GNU.sparse.name", name)
    if version == "0.0":
        keys = [b"GNU.sparse.offset", b"GNU.sparse.numbytes"] * len(stretches)
        return extended(records(*sizes, *zip(keys, numbers, strict=True))) + entry(name, stored)
    if version == "0.1":
        held = (b"GNU.sparse.map", b",".join(numbers))
        return extended(records(*sizes, named, held)) + entry("GNUSparseFile.0/x", stored)
    head = [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), named]
    lines = b"".join(number + b"\n" for number in [b"%d" % len(stretches), *numbers])
    body = padded(lines) + stored
    return extended(records(*head, (b"GNU.sparse.realsize", b"%d" % size))) + entry("GNUSparseFile.0/x", body)
