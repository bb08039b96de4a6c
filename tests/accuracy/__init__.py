"""How often cosinspect is right: single mutations of good images, and variations that do no harm.

`python -m tests.accuracy` prints the table of docs/accuracy.md and every case that is not judged as it should be.
"""
