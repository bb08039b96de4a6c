"""When a registry is asked again, and when it is given up."""

from __future__ import annotations

import pytest

from cosinspect.errors import SourceError, TransportError
from cosinspect.sources.registry.retries import Attempts, Failure, Retries, Timeouts, retry_after

DATE = "Tue, 14 Nov 2023 22:13:20 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "120"}, 120),
        ({"Retry-After": " 0 "}, 0),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "1e3"}, None),
        ({"Retry-After": "\u0663"}, None),
        ({"Retry-After": "9" * 5000}, None),
        ({"Retry-After": "Tue, 14 Nov 2023 22:14:20 GMT", "Date": DATE}, 60),
        ({"Retry-After": "Tue, 14 Nov 2023 22:13:00 GMT", "Date": DATE}, 0),
        ({"Retry-After": "Tue, 14 Nov 2023 22:14:20 GMT"}, None),
        ({"Retry-After": "Tue, 14 Nov 2023 22:14:20 -0000", "Date": DATE}, None),
        ({"Retry-After": "Tue, 99 Nov 99999 22:14:20 GMT", "Date": DATE}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers, seconds):
    assert retry_after(headers) == seconds


def attempts(**retries):
    slept = []
    return Attempts(Timeouts(total=100), Retries(**retries), slept.append, "the image"), slept


def test_the_wait_is_doubled_up_to_its_cap_and_then_the_failure_is_raised():
    patience, slept = attempts(attempts=5, backoff=1, longest_backoff=3)
    failure = SourceError("lost")
    for _ in range(4):
        patience.pause(failure)
    with pytest.raises(SourceError) as caught:
        patience.pause(failure)

    assert caught.value is failure
    assert slept == [1, 2, 3, 3]


def test_one_attempt_is_no_retry():
    patience, slept = attempts(attempts=1)
    with pytest.raises(SourceError, match="lost"):
        patience.pause(SourceError("lost"))

    assert slept == []


def test_the_servers_wish_is_a_minimum():
    patience, slept = attempts(backoff=2)
    patience.pause(SourceError("busy"), 1)
    patience.pause(SourceError("busy"), 50)

    assert slept == [2, 50]


def test_waits_count_towards_the_deadline_and_none_is_begun_that_passes_it():
    patience, slept = attempts(attempts=10, longest_retry_after=60)
    patience.pause(SourceError("busy"), 60)
    with pytest.raises(TransportError, match="within 100 s"):
        patience.pause(SourceError("busy"), 60)

    assert slept == [60]


def test_a_failure_that_is_final_says_where_and_is_not_waited_for():
    patience, slept = attempts()
    with pytest.raises(SourceError, match="the image: gone"):
        Failure(SourceError("gone"), again=False).settle(patience)

    assert slept == []
