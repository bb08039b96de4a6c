"""The log: a line for each decision and each failure of a registry, in a form that programs read or people do."""

import io
import json
import logging
import threading
from datetime import datetime

import pytest

from cosinspect.server.journal import LogFormat, bound, journal
from cosinspect.testing import Registry
from cosinspect.testing.derivative import derivative
from cosinspect.testing.registry.faults import Fault
from serving import review, serving

LOGGER = logging.getLogger("cosinspect.server")


def written(form, say, **options):
    stream = io.StringIO()
    with journal(stream, form, **options):
        say()
    return stream.getvalue()


def test_each_decision_and_each_failure_is_a_line_of_json(tmp_path):
    rules = '[[rules]]\nname = "fleet"\nregistries = ["127.0.0.1:*"]\nprofile = "cos"\n'
    options = ["--log-format", "json"]
    with (
        Registry(faults=[Fault.status(404, "/v2/org/gone/blobs/*", times=None)]) as registry,
        serving(tmp_path, rules, options=options) as server,
    ):
        bad, gone = (
            registry.push(derivative(k), f"org/{n}:v1")
            for k, n in (("kernel-dangling", "bad"), (None, "gone"))
        )
        asked = review("Plan", bad)
        asked["request"] |= {"userInfo": {"username": "system:serviceaccount:fleet:operator"}}
        answer = server.post("/admission?timeout=600s", asked, headers={"X-Request-Id": "req-7"})
        server.review(review("Pod", gone))
        server.review(review("Pod", "127.0.0.1:1/org/os:v1"))
        server.review(review("Pod", "quay.io/org/os:v1"))
        server.post("/admission", b"{")
        server.get("/metrics")
        assert answer.headers["X-Request-Id"] == "req-7"
        assert (
            server.counted(
                "cosinspect_decisions_total", rule="fleet", mode="enforce", verdict="fail", admitted="no"
            )
            == 1
        )
        assert (
            server.counted("cosinspect_decisions_total", rule="unmatched", verdict="unmatched", admitted="no")
            == 1
        )
        assert (
            server.counted("cosinspect_registry_errors_total", host=registry.address, error="NotFound") == 1
        )
        assert (
            server.counted("cosinspect_registry_errors_total", host="127.0.0.1:1", error="TransportError")
            == 1
        )
        server.end()

    told = [json.loads(line) for line in server.log.read_text().splitlines()]
    for line in told:
        assert list(line)[:3] == ["time", "level", "event"]
        assert datetime.fromisoformat(line["time"]).tzinfo is not None
    decisions = {line["image"]: line for line in told if line["event"] == "decision"}
    first = decisions[bad]
    digest = first.pop("digest")
    assert digest.startswith("sha256:")
    assert first.pop("milliseconds") > 0
    assert "COS011" in first.pop("reason")
    del first["time"]
    assert first == {
        "level": "info",
        "event": "decision",
        "request_id": "req-7",
        "uid": asked["request"]["uid"],
        "operation": "CREATE",
        "object": "Plan/machines",
        "namespace": "fleet",
        "user": "system:serviceaccount:fleet:operator",
        "protocol": "admission",
        "image": bad,
        "verdict": "fail",
        "admitted": False,
        "rule": "fleet",
        "mode": "enforce",
    }
    assert decisions["quay.io/org/os:v1"]["rule"] == "unmatched"
    ids = [line["request_id"] for line in decisions.values()]
    assert len(set(ids)) == 4
    failures = {line["host"]: line for line in told if line["event"] == "registry failure"}
    assert failures[registry.address]["error"] == "NotFound"
    assert failures["127.0.0.1:1"]["request_id"] == decisions["127.0.0.1:1/org/os:v1"]["request_id"]
    assert [line["status"] for line in told if line["event"] == "request refused"] == [400]


def test_tracebacks_are_whole():
    def fail():
        try:
            raise RuntimeError("first\nsecond")  # noqa: TRY301 - this very line is looked for
        except RuntimeError:
            LOGGER.exception("a request cannot be answered")

    line = json.loads(written(LogFormat.JSON, fail))
    human = written(LogFormat.HUMAN, fail)

    for text in (line["exception"], human):
        assert "Traceback (most recent call last)" in text
        assert 'raise RuntimeError("first\\nsecond")' in text
        assert "RuntimeError: first\nsecond" in text
        assert __file__ in text


@pytest.mark.parametrize("form", LogFormat)
def test_what_comes_from_strangers_is_one_line(form):
    hostile = 'a\n2026-01-01 [info] decision admitted=True\r\x1b[2J\u202e\x00"}'

    def say():
        with bound(object=hostile):
            LOGGER.info("decision", extra={"image": hostile, "reason": "x" * 100_000})

    text = written(form, say)

    assert text.count("\n") == 1
    assert text.rstrip("\n").isprintable()
    assert len(text) < 6000
    if form is LogFormat.JSON:
        assert json.loads(text)["image"] == hostile


def test_levels_are_those_of_the_options():
    def say():
        for logger in ("cosinspect.server", "cosinspect.sources", "uvicorn.error"):
            for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
                logging.getLogger(logger).log(level, "%s %s", logger, logging.getLevelName(level))

    told = {
        name: {json.loads(line)["event"] for line in written(LogFormat.JSON, say, **options).splitlines()}
        for name, options in {"usual": {}, "quiet": {"quiet": True}, "verbose": {"verbose": True}}.items()
    }

    names = ("cosinspect.server", "cosinspect.sources", "uvicorn.error")
    assert told["quiet"] == {f"{name} ERROR" for name in names}
    assert told["usual"] == told["quiet"] | {
        "cosinspect.server INFO",
        "cosinspect.server WARNING",
        "cosinspect.sources WARNING",
    }
    assert told["verbose"] == told["usual"] | {"cosinspect.server DEBUG", "cosinspect.sources INFO"}
    assert logging.getLogger("cosinspect.server").level == logging.NOTSET, "the block leaves nothing behind"


def test_a_reader_that_is_gone_stops_nothing():
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    with journal(Gone(), LogFormat.HUMAN):
        LOGGER.error("nobody reads this")


class _Stuck(io.StringIO):
    """A pipe whose reader has stopped: a write returns when the reader goes on."""

    def __init__(self):
        super().__init__()
        self.entered, self.goes_on = threading.Event(), threading.Event()

    def write(self, text):
        self.entered.set()
        self.goes_on.wait()
        return super().write(text)


def test_a_reader_that_stops_delays_nobody_and_lost_lines_are_counted(monkeypatch):
    monkeypatch.setattr("cosinspect.server.journal.MAX_WAITING", 1000)
    stream = _Stuck()
    with journal(stream, LogFormat.JSON):
        LOGGER.info("the first line")
        stream.entered.wait()
        for number in range(100):
            LOGGER.info("decision", extra={"number": number})
        stream.goes_on.set()

    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    numbers = [line["number"] for line in told if "number" in line]
    assert numbers == list(range(len(numbers)))
    assert told[0]["event"] == "the first line"
    assert 0 < len(numbers) < 100
    assert [line["lines"] for line in told if "lines" in line] == [100 - len(numbers)]
