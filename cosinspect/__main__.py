"""`python -m cosinspect`, which is the command `cosinspect`."""

from __future__ import annotations

from cosinspect.start import run

if __name__ == "__main__":
    run()
