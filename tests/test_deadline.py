"""Deadlines: whatever computes in a thread ends soon behind the one that runs there, and nobody takes that for an answer."""

import contextlib
import itertools
import signal
import threading

import pytest
from attrs import evolve

from cosinspect.cli import main
from cosinspect.deadline import STRIDE, Deadline, OutOfTime, in_time, look, running, spend, take
from cosinspect.errors import LimitExceeded
from cosinspect.formats.text.yaml import load_yaml
from cosinspect.inspection.inspection import inspect
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.rootfs import overlay
from cosinspect.rootfs.semantics import Semantics
from cosinspect.testing.derivative import derivative
from cosinspect.testing.tar_writer import tar_bytes
from stacks import layer_of


class Clock:
    """Tells the time, and lets it pass whenever it is looked at."""

    def __init__(self, step=0.0):
        self.now = 0.0
        self.step = step

    def __call__(self):
        self.now += self.step
        return self.now


def over():
    clock = Clock()
    deadline = Deadline(1.0, clock=clock)
    clock.now = 2.0
    return deadline


def test_work_ends_a_thousand_steps_behind_its_deadline_at_most():
    for work in (lambda: [spend() for _ in range(10**9)], lambda: sum(in_time(itertools.count()))):
        with pytest.raises(LimitExceeded) as fault, over().running("image"):
            work()
        assert ("seconds", 1.0, "image") == (fault.value.limit, fault.value.bound, fault.value.where)
        assert "--timeout" in str(fault.value)


def test_in_time_gives_all_there_is():
    for count in (0, 1, STRIDE - 1, STRIDE, STRIDE + 1, 5000):
        assert list(range(count)) == list(in_time(range(count)))


def test_who_contains_faults_does_not_contain_the_end_of_time():
    assert not issubclass(OutOfTime, Exception)
    with pytest.raises(LimitExceeded), over().running("image"):
        raise_contained()


def raise_contained():
    with contextlib.suppress(Exception):  # as a check is run
        look()
    pytest.fail("taken for an answer")


def test_without_a_deadline_nothing_ends_and_nothing_is_counted():
    assert running() is None
    spend(10**9)
    take("yaml_events", 10**9, 1, "events", "here")


def test_a_deadline_within_another_ends_with_it_at_the_latest():
    with Deadline(5.0).running("outer") as _:
        assert Deadline(3600.0).left() <= 5.0
        assert Deadline(1.0).left() <= 1.0
        inner = Deadline(1.0)
        with inner.running("inner"):
            assert running() is inner
        assert running() is not inner
    assert Deadline(3600.0).left() > 5.0


def test_each_thread_has_its_own():
    found = []
    with over().running("image"):
        thread = threading.Thread(target=lambda: found.append(running()))
        thread.start()
        thread.join()
    assert [None] == found


def test_what_is_taken_counts_over_threads():
    deadline = Deadline(60.0)

    def work():
        with deadline.running("image"):
            for _ in range(100):
                take("yaml_events", 1, 400, "events", "file")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(LimitExceeded, match="at most 400 events in one image"):
        deadline.take("yaml_events", 1, 400, "events", "file")


def test_an_alarm_ends_a_command_that_looks_at_no_clock(tmp_path, monkeypatch, capsys):
    """A regular expression, or a loop that forgets its deadline, in whatever the command is at."""
    name = derivative().write_layout(tmp_path)
    stuck = []

    def forget(*_arguments, **_options):
        stuck.append(1)
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)  # the time is up
        while True:
            pass

    monkeypatch.setattr(overlay, "apply_in_place", forget)
    assert 3 == main(["check", name, "--timeout", "600", "--no-cache"])
    out, err = capsys.readouterr()
    assert ("", [1]) == (out, stuck)
    assert "expected to be done within 600 s" in err


def test_a_deadline_in_the_middle_of_a_check_is_no_answer_of_it(tmp_path, monkeypatch):
    """The whole inspection is undecided, whatever the check would have made of it."""
    name = derivative().write_layout(tmp_path)

    def late(*_arguments, **_options):
        raise OutOfTime

    monkeypatch.setattr("cosinspect.checks.settings.parse_yaml", late)
    monkeypatch.setattr("cosinspect.formats.luet.config.parse_yaml", late)
    with pytest.raises(LimitExceeded) as fault:
        inspect(name, limits=evolve(DEFAULT_LIMITS, seconds=60.0))
    assert "seconds" == fault.value.limit


@pytest.mark.parametrize("semantics", list(Semantics))
def test_merging_ends_with_the_deadline(semantics):
    index = layer_of(tar_bytes({f"d/{at}": "" for at in range(3 * STRIDE)})).index()
    with pytest.raises(LimitExceeded), over().running("image"):
        overlay.merge([index], semantics)


def test_a_parser_ends_with_the_deadline():
    with pytest.raises(LimitExceeded), over().running("image"):
        load_yaml("- a\n" * 2000)
