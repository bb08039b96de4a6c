"""Coverage-guided fuzzing of every parser: one target a parser, honest files to begin with, and what was once found.

`python -m tests.fuzz TARGET --seconds 600`, from the top of the checkout, with the extra `fuzz` installed.
"""
