"""Good derivatives of G2, G4 and G5 and their mutations, really booted: `python -m tests.boots`."""
