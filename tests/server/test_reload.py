"""Reloading: by SIGHUP and by a changed file, without losing a request, and never into a configuration with mistakes."""

import gc
import json
import signal
import threading

import pytest

from cosinspect.errors import InvalidConfiguration
from cosinspect.server.settings import Settings
from cosinspect.testing import Registry
from cosinspect.testing.derivative import derivative
from cosinspect.testing.registry.faults import Fault
from serving import RULES, review, serving

BASE = '[listen]\naddress = "127.0.0.1:0"\nplain_http = true\n[inspections]\nworkers = 1\n'


def ready(server):
    answer = server.get("/readyz")
    return answer.status_code, answer.json()


def lines(server, event):
    """Give the lines of a log in JSON that have an event."""
    found = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in found if line["event"] == event]


def test_a_reload_replaces_rules_and_loses_no_request(tmp_path):
    """Requests go on for the whole time; each answer is right under the old rules or the new ones."""
    stall = Fault.stall("/v2/org/slow/blobs/*", 2.0)
    with Registry(faults=[stall]) as registry, serving(tmp_path, options=["--log-format", "json"]) as server:
        config = tmp_path / "server.toml"
        good = config.read_text()
        bad_image = registry.push(derivative("kernel-dangling"), "org/bad:v1")
        slow = registry.push(derivative("kernel-removed"), "org/slow:v1")
        assert server.review(review("Pod", bad_image))["allowed"] is False
        answers, over, held = [], threading.Event(), []

        def ask():
            while not over.is_set():
                answers.append(server.review(review("Pod", bad_image))["allowed"])

        threads = [threading.Thread(target=ask) for _ in range(2)]
        threads.append(threading.Thread(target=lambda: held.append(server.review(review("Pod", slow)))))
        for thread in threads:
            thread.start()
        server.until(lambda: server.counted("cosinspect_waiting"))  # an inspection under the old rules

        # A mistake: refused with all of them, and the old one stays.
        config.write_text(good + '[[rules]]\nprofile = "none"\nmode = "never"\n')
        server.process.send_signal(signal.SIGHUP)
        server.until(lambda: server.counted("cosinspect_configuration_reload_failed"))
        status, told = ready(server)
        assert (status, told["status"]) == (200, "ok")
        mistakes = " ".join(told["configuration"]["mistakes"])
        assert "rules[1].mode" in mistakes
        assert "rules[1]: " in mistakes or "rules[1].profile" in mistakes, "all of them, not the first"
        told_once = "the configuration has mistakes, the earlier one stays in use"
        (line,) = server.until(lambda: lines(server, told_once))
        assert (line["level"], line["mistakes"]) == ("error", told["configuration"]["mistakes"])
        assert server.review(review("Pod", bad_image))["allowed"] is False

        # A change on disk alone: taken up without a signal.
        config.write_text(good.replace('profile = "cos"', 'profile = "cos"\nmode = "warn"'))
        server.until(lambda: server.review(review("Pod", bad_image))["allowed"] is True)
        assert ready(server)[1]["configuration"]["mistakes"] == []
        assert server.counted("cosinspect_configuration_reload_failed") == 0
        assert server.counted("cosinspect_configuration_reloads_total", outcome="success") == 1
        over.set()
        for thread in threads:
            thread.join()
        assert set(answers) == {True, False}
        assert held[0]["allowed"] is False, "what was asked for under the old rules ends under them"
        assert "COS010" in held[0]["status"]["message"]


def test_files_that_rules_name_are_watched_and_what_needs_a_restart_is_said(tmp_path):
    policy = tmp_path / "fleet.toml"
    policy.write_text(
        'name = "fleet"\n[[waivers]]\ncheck = "COS011"\nreason = "known"\nexpires = 2999-01-01\n'
    )
    (tmp_path / "token").write_text("first\n")
    rules = RULES + 'policies = ["fleet.toml"]\n'
    further = '[harbor]\ntoken_file = "token"'
    with Registry() as registry, serving(tmp_path, rules, further=further) as server:
        name = registry.push(derivative("kernel-dangling"), "org/os:v1")
        metadata = "/scanner/api/v1/metadata"
        assert server.review(review("Pod", name))["allowed"] is True

        policy.write_text('name = "fleet"\n')
        (tmp_path / "token").write_text("second\n")

        server.until(lambda: server.review(review("Pod", name))["allowed"] is False)
        authorized = {"headers": {"Authorization": "Bearer second"}}
        server.until(lambda: server.get(metadata, **authorized).ok)
        assert server.get(metadata, headers={"Authorization": "Bearer first"}).status_code == 401
        # A file that is missing is a mistake until it is there, whichever file that is.
        config = tmp_path / "server.toml"
        text = config.read_text().replace("workers = 1", "workers = 2")
        config.write_text(text.replace("[harbor]\n", "[notifications]\n"))
        server.process.send_signal(signal.SIGHUP)
        server.until(lambda: ready(server)[1]["configuration"]["restart"] == ["inspections.workers"])
        assert server.get(metadata).status_code == 404, "the protocol is gone with its table"
        assert server.post("/notifications", {"events": []}).status_code == 401


def test_a_rule_holds_as_long_as_somebody_holds_it(tmp_path):
    (tmp_path / "server.toml").write_text(f"{BASE}[[rules]]\nprofile = 'cos'\n")
    first, second = (Settings.load(tmp_path / "server.toml") for _ in range(2))
    (old,), (new,) = first.configuration.rules, second.configuration.rules

    first.books.adopt(second.books)

    assert old != new, "equal text may stand for other files"
    assert first.books.book(old) == first.books.book(new)
    assert set(first.books.rules()) == {old, new}
    assert first.books.key(old) == first.books.key(new)
    books = first.books
    del first, old
    gc.collect()
    assert set(books.rules()) == {new}


def test_what_cannot_change_keeps_its_value(tmp_path):
    path = tmp_path / "server.toml"
    path.write_text(f"{BASE}[[rules]]\n")
    before = Settings.load(path).configuration
    path.write_text(
        BASE.replace("127.0.0.1:0", "127.0.0.1:1")
        + 'database = "b"\nqueue = 7\nseconds = 5\n[[rules]]\nname = "all"\n'
    )

    after = Settings.load(path).after(before)

    assert after.restart == ("listen.address", "inspections.database")
    assert after.configuration.listen == before.listen
    assert after.configuration.inspections.database == before.inspections.database
    assert (after.configuration.inspections.queue, after.configuration.inspections.seconds) == (7, 5)
    assert [rule.name for rule in after.configuration.rules] == ["all"]
    assert [rule.name for rule in before.rules] == ["rules[0]"]


def test_what_is_loaded_knows_all_its_files(tmp_path):
    for name in ("p.toml", "f.toml", "token"):
        (tmp_path / name).write_text("")
    (tmp_path / "server.toml").write_text(
        f"{BASE}[harbor]\ntoken_file = 'token'\n[[rules]]\nprofile = 'p.toml'\npolicies = ['f.toml']\n"
    )
    with pytest.raises(InvalidConfiguration):
        Settings.load(tmp_path / "server.toml")  # an empty profile requires nothing
    (tmp_path / "p.toml").write_text('name = "p"\nsummary = "p"\nrequired = ["boot"]\n')
    (tmp_path / "f.toml").write_text('name = "f"\n')
    (tmp_path / "token").write_text("s3cret")

    found = Settings.load(tmp_path / "server.toml")

    assert {path.name for path in found.files} == {"server.toml", "token", "p.toml", "f.toml"}
    assert "s3cret" not in repr(found)
    assert len(found.stamp) == len(found.files)
