"""File formats: bytes or text in, one frozen value out, no I/O; `FormatError` is all that may be raised."""
