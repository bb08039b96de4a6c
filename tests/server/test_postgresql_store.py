"""Verdicts in PostgreSQL: Debian's server is the judge; it goes away and comes back, and two servers share it."""

import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from cosinspect.errors import InvalidConfiguration
from cosinspect.report.report import Verdict
from cosinspect.server import postgresql_store
from cosinspect.server.examination import examine
from cosinspect.server.verdict_store import StoreFailure
from cosinspect.server.verdicts import Decided, Verdicts
from cosinspect.testing import Registry
from cosinspect.testing.derivative import derivative
from postgresql import needs_postgresql, postgresql
from serving import PATIENCE, review, serving

pytestmark = needs_postgresql


def decided(number, rules="rules", verdict=Verdict.PASS, message="why"):
    return Decided(f"sha256:{number:064x}", rules, verdict, message, b'{"a": 1}', float(number))


@pytest.fixture(scope="module")
def database():
    with postgresql() as running:
        yield running


def test_what_one_writes_another_finds(database):
    with ThreadPoolExecutor(3) as threads:  # they make the table at the same moment
        stores = list(threads.map(lambda _: Verdicts.open(database.address, keep=1000), range(3)))
        assert list(threads.map(lambda store: store.probe(), stores)) == [None, None, None]
    first, second, _ = stores
    hostile = decided(2, "other", Verdict.FAIL, "a\0b\udcff'; DROP TABLE x; --\u202e")

    first.keep(decided(1))
    first.keep(hostile)

    assert second.find(decided(1).digest, "rules") == decided(1)
    assert second.find(decided(1).digest, "none") is None
    found = second.find(hostile.digest, "other")
    assert found.message == "a\\0b\\udcff'; DROP TABLE x; --\u202e"
    later = Decided(decided(1).digest, "new", Verdict.OPEN, "", b"{}", 99.0)
    first.keep(later)
    first.keep(later)
    assert second.latest(later.digest) == later
    assert len(second) == 3
    with psycopg.connect(database.address) as connection:
        connection.execute(
            f"UPDATE {postgresql_store._TABLE} SET report = '\\x00' WHERE digest = %s", (hostile.digest,)
        )
        connection.execute(f"UPDATE {postgresql_store._TABLE} SET verdict = 'maybe' WHERE rules = 'new'")
    third = stores[2]
    assert third.find(hostile.digest, "other") is third.find(later.digest, "new") is None
    for store in stores:
        store.close()


def test_the_oldest_go(database, monkeypatch):
    monkeypatch.setattr(postgresql_store, "PRUNE_EVERY", 8)
    verdicts = Verdicts.open(database.address, keep=5)
    for number in range(100, 108):
        verdicts.keep(decided(number))

    assert len(verdicts) == 5
    fresh = Verdicts.open(database.address, keep=5)
    assert fresh.find(decided(100).digest, "rules") is None
    assert fresh.find(decided(107).digest, "rules") is not None
    for each in (verdicts, fresh):
        each.close()


def test_two_servers_share_verdicts_and_outlive_the_database(tmp_path):
    """The second one inspects nothing that the first one decided; without the database both answer, and say that they are not ready."""
    first_place, second_place = tmp_path / "first", tmp_path / "second"
    first_place.mkdir()
    second_place.mkdir()
    with postgresql() as database, Registry() as registry:
        settings = {"database": database.address}
        with serving(first_place, **settings) as first, serving(second_place, **settings) as second:
            bad = registry.push(derivative("kernel-dangling"), "org/os:v1")
            assert first.review(review("Pod", bad))["allowed"] is False
            seen = len(registry.requests)

            response = second.review(review("Pod", bad))

            assert response["allowed"] is False
            assert "COS011" in response["status"]["message"]
            assert second.counted("cosinspect_inspections_total", verdict="fail") == 0
            assert len(registry.requests) - seen <= 1, "at most the tag was asked for"
            assert second.get("/readyz").status_code == 200

            database.stop()
            second.until(lambda: second.get("/readyz").status_code == 503)
            assert "verdicts cannot be written" in second.get("/readyz").json()["reasons"][0]
            started = time.monotonic()
            assert second.review(review("Pod", bad))["allowed"] is False, "it is in memory"
            other = registry.push(derivative("kernel-removed"), "org/os:v2")
            assert second.review(review("Pod", other))["allowed"] is False, "it is inspected"
            assert time.monotonic() - started < PATIENCE / 2

            database.start()
            second.until(lambda: second.get("/readyz").status_code == 200)
            good = registry.push(derivative(), "org/os:v3")
            assert second.review(review("Pod", good))["allowed"] is True
            assert first.review(review("Pod", good))["allowed"] is True
            assert first.counted("cosinspect_inspections_total", verdict="pass") == 0


def test_a_database_that_is_away_is_not_asked_by_everybody():
    store = postgresql_store.PostgresqlStore.open("postgresql://nobody@127.0.0.1:1/none", keep=1)
    started = time.monotonic()
    for _ in range(50):
        with pytest.raises(StoreFailure):
            store.find("a", "b")
    assert time.monotonic() - started < 25 * postgresql_store.CONNECT_SECONDS, "not each waited for it"
    store.close()


def test_an_address_that_is_none_is_told_without_its_password():
    with pytest.raises(InvalidConfiguration) as caught:
        Verdicts.open("postgresql://user:s3cret@host:port:port/?nonsense=1", keep=1)
    assert "s3cret" not in str(caught.value)


def test_the_check_of_a_configuration_reads_the_address(tmp_path):
    path = tmp_path / "server.toml"
    base = "[listen]\nplain_http = true\n[inspections]\ndatabase = '{}'\n[[rules]]\n"
    path.write_text(base.format("postgresql://user@/verdicts"))
    assert examine(str(path)) == ()
    path.write_text(base.format("postgresql://user:s3cret@host:port:port/?nonsense=1"))

    (told,) = examine(str(path))

    assert "inspections.database" in told
    assert "expected an address such as postgresql://USER@HOST/DATABASE" in told
    assert "s3cret" not in told
