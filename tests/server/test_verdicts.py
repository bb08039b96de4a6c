"""The file of verdicts: what is written is there again, the oldest goes, and damage costs no more than the verdict."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cosinspect.errors import InvalidConfiguration
from cosinspect.report.report import Verdict
from cosinspect.server import verdicts as module
from cosinspect.server.verdicts import SPARE, Decided, Verdicts


def decided(number, rules="rules", verdict=Verdict.PASS):
    return Decided(f"sha256:{number:064x}", rules, verdict, "why", b'{"a": 1}', float(number))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "verdicts.sqlite"


def test_a_verdict_is_there_again(path):
    first = Verdicts.open(path, keep=10)
    first.keep(decided(1))
    first.close()

    second = Verdicts.open(path, keep=10)

    assert second.find(decided(1).digest, "rules") == decided(1)
    assert second.find(decided(1).digest, "other rules") is None
    assert second.find(decided(2).digest, "rules") is None
    second.close()


def test_the_latest_is_given_by_whatever_rules(path):
    verdicts = Verdicts.open(path, keep=10)
    verdicts.keep(decided(1, "old"))
    later = Decided(decided(1).digest, "new", Verdict.FAIL, "", b"{}", 99.0)
    verdicts.keep(later)

    assert verdicts.latest(decided(1).digest) == later
    verdicts.close()


def test_the_oldest_go(path):
    verdicts = Verdicts.open(path, keep=10)
    for number in range(10 + SPARE + 1):
        verdicts.keep(decided(number))

    assert len(verdicts) == 10
    verdicts.close()
    again = Verdicts.open(path, keep=10)
    assert again.find(decided(0).digest, "rules") is None
    assert again.find(decided(10 + SPARE).digest, "rules") is not None
    again.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE verdicts SET report = x'00'",
        "UPDATE verdicts SET verdict = 'maybe'",
        "UPDATE verdicts SET report = 5",
    ],
)
def test_a_row_that_makes_no_sense_is_none(path, change):
    first = Verdicts.open(path, keep=10)
    first.keep(decided(1))
    first.close()
    connection = sqlite3.connect(path)
    connection.execute(change)
    connection.commit()
    connection.close()

    verdicts = Verdicts.open(path, keep=10)
    assert verdicts.find(decided(1).digest, "rules") is None
    verdicts.keep(decided(1))
    assert verdicts.find(decided(1).digest, "rules") == decided(1)
    verdicts.close()


def test_pages_that_are_overwritten_are_put_aside_or_do_no_harm(path):
    first = Verdicts.open(path, keep=1000)
    for number in range(100):
        first.keep(decided(number))
    first.close()
    data = path.read_bytes()
    for at in range(0, len(data), 4096):
        path.write_bytes(data[:at] + b"\xff" * 2048 + data[at + 2048 :])
        for tail in ("-wal", "-shm"):
            path.with_name(path.name + tail).unlink(missing_ok=True)
        verdicts = Verdicts.open(path, keep=1000)
        for number in range(100):
            assert verdicts.find(decided(number).digest, "rules") in (None, decided(number))
        verdicts.keep(decided(7))
        verdicts.close()


def test_a_file_of_another_layout_is_put_aside(path):
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    Verdicts.open(path, keep=1).close()

    assert path.with_name("verdicts.sqlite.damaged").is_file()


def test_a_place_where_there_can_be_no_file_is_told(tmp_path):
    with pytest.raises(InvalidConfiguration, match="cannot be opened"):
        Verdicts.open(tmp_path / "nowhere" / "verdicts.sqlite", keep=1)


class Watched(dict):
    """Takes its time, and remembers whether another thread came meanwhile."""

    used, met = 0, False

    def _use(self, work):
        type(self).met |= bool(self.used)
        self.used += 1
        time.sleep(0.0005)
        try:
            return work()
        finally:
            self.used -= 1

    def get(self, key, default=None):
        return self._use(lambda: dict.get(self, key, default))

    def pop(self, *given):
        return self._use(lambda: dict.pop(self, *given))

    def __delitem__(self, key):
        self._use(lambda: dict.__delitem__(self, key))

    def __setitem__(self, key, value):
        self._use(lambda: dict.__setitem__(self, key, value))


def test_what_threads_share_in_memory_is_used_by_one_at_a_time(path, monkeypatch):
    monkeypatch.setattr(module, "REMEMBERED", 2)
    verdicts = Verdicts.open(path, keep=1000)
    verdicts._known = Watched()
    for number in range(8):
        verdicts.keep(decided(number))

    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda n: verdicts.find(decided(n % 8).digest, "rules"), range(200)))

    assert [decided(number % 8) for number in range(200)] == found
    assert not Watched.met
    verdicts.close()
