"""Inspects every mutation, and tells those that are judged otherwise than expected."""

import sys
import tempfile

from tests.accuracy.mutations import MUTATIONS

wrong = 0
for name, each in MUTATIONS.items():
    if sys.argv[1:] and not any(word in name for word in sys.argv[1:]):
        continue
    with tempfile.TemporaryDirectory() as place:
        told = each.outcome(place)
    wrong += bool(told)
    if told:
        print(f"{name}: {told}")  # noqa: T201 - it tells what it found
print(f"{wrong} of {len(MUTATIONS)} are wrong")  # noqa: T201 - it tells what it found
sys.exit(bool(wrong))
