"""Processes that inspect: whatever one is at when its time is up, it is ended, replaced, and holds up nobody else."""

import os
import signal
import sys
import time
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from cosinspect.inspection import processes
from cosinspect.inspection.processes import Processes, perform_apart
from cosinspect.inspection.rulebook import Rulebook
from cosinspect.inspection.worker import Outcome, Task
from cosinspect.report.report import Verdict
from cosinspect.sources.config.access import Access
from cosinspect.testing.derivative import derivative


def task(name, seconds=60.0):
    return Task(name, Rulebook("auto"), Access(), seconds, None, "")


def act(task):
    """What a process does here in place of an inspection: as the task's name says."""
    word, _, rest = task.name.partition(" ")
    if word == "hang":
        while True:  # as a loop does that heeds no deadline
            pass
    if word == "sleep":
        time.sleep(float(rest))
    if word == "deaf":
        signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
        time.sleep(1000)
    if word == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "die-once" and not Path(rest).exists():
        Path(rest).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "print":
        sys.stdout.write("what a plugin prints")
        sys.stdout.flush()
    return Outcome(None, f"{word} {os.getpid()}")


@pytest.fixture
def two():
    pool = Processes(2, work=act, grace=0.2)
    yield pool
    pool.close()


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("how", ["hang", "deaf"])
def test_one_that_forgets_its_deadline_is_ended_and_replaced(two, how):
    before = two.submit(task("tell")).result(60).message.split()[1]
    stuck = [two.submit(task(how, 0.3)) for _ in range(3)]
    after = two.submit(task("tell"))

    for future in stuck:
        outcome = future.result(60)
        assert outcome.verdict is None
        assert outcome.message.startswith("undecided: timeout: expected to be done within 0.3 s")
        assert "--timeout" in outcome.message
    assert after.result(60).message.startswith("tell ")
    assert before != after.result().message.split()[1]
    assert not is_alive(int(before))


def test_the_time_that_others_take_is_not_ones_own():
    pool = Processes(1, work=act, grace=0.1)
    try:
        waiting = [pool.submit(task("sleep 1.2", 4.0)) for _ in range(4)]  # 4.8 s in all
        assert {"sleep"} == {future.result(60).message.split()[0] for future in waiting}
    finally:
        pool.close()


def test_one_that_dies_is_begun_again_and_one_that_always_dies_is_given_up(two, tmp_path):
    assert two.submit(task(f"die-once {tmp_path / 'died'}")).result(60).message.startswith("die-once")
    assert "died, 2 times" in two.submit(task("die")).result(60).message
    assert two.submit(task("tell")).result(60).message.startswith("tell")


def test_at_its_end_what_runs_ends_and_what_waits_is_cancelled():
    pool = Processes(1, work=act)
    running, waiting = pool.submit(task("hang")), pool.submit(task("tell"))
    while not running.running():
        time.sleep(0.01)
    pool.close()

    assert "ending" in running.result(5).message
    with pytest.raises(CancelledError):
        waiting.result(5)
    with pytest.raises(CancelledError):
        pool.submit(task("tell")).result(5)
    assert 0 == pool.alive


def test_what_a_process_prints_is_nobodys(two, capfd):
    two.submit(task("print")).result(60)
    assert "" == capfd.readouterr().out


def test_an_image_is_inspected_there(tmp_path):
    name = derivative().write_layout(tmp_path)
    assert Verdict.PASS is perform_apart(task(name)).verdict
    processes._own.processes.close()
    del processes._own.processes
