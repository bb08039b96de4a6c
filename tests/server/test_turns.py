"""Whose turn it is: a host that holds its turns for ever holds up no other."""

import asyncio
import random

from cosinspect.server.turns import Turns


def test_one_host_may_have_all_turns_and_others_have_theirs_at_once():
    async def scene():
        turns = Turns(2, 2)
        slow = [turns.ask("slow") for _ in range(5)]
        assert [each.granted.done() for each in slow] == [True, True, False, False, False]
        fast = [turns.ask("fast") for _ in range(2)]
        assert [each.granted.done() for each in fast] == [True, False]
        other = turns.ask("other")
        assert other.granted.done()
        third = turns.ask("third")
        assert not third.granted.done(), "there are four turns in all"
        turns.give_back(slow[0])
        assert (third.granted.done(), fast[1].granted.done()) == (True, False), "who has none goes first"

    asyncio.run(scene())


def test_what_is_more_urgent_goes_first_and_what_is_given_up_never():
    async def scene():
        turns = Turns(1, 0)
        running = turns.ask("a")
        later, given_up, hurried = (turns.ask("a", 1) for _ in range(3))
        turns.give_back(given_up)
        turns.hurry(hurried, 0)
        turns.give_back(running)
        assert (hurried.granted.done(), later.granted.done()) == (True, False)
        turns.give_back(hurried)
        assert later.granted.done()

    asyncio.run(scene())


def test_turns_are_never_more_than_there_are_and_all_work_is_done():
    async def scene(seed):
        draw = random.Random(seed)
        most, reserve = draw.randint(1, 3), draw.randint(0, 3)
        turns = Turns(most, reserve)
        running, done = {}, []

        async def work(host):
            turn = turns.ask(host, draw.randint(0, 1))
            try:
                await turn.granted
                running[host] = running.get(host, 0) + 1
                try:
                    assert sum(running.values()) <= most + reserve
                    await asyncio.sleep(draw.random() / 1000)
                finally:
                    running[host] -= 1
                done.append(host)
            finally:
                turns.give_back(turn)

        tasks = [asyncio.create_task(work(draw.choice("abc"))) for _ in range(40)]
        await asyncio.sleep(0)
        cancelled = draw.sample(tasks, 5)
        for each in cancelled:
            each.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [each for each in found if isinstance(each, Exception)]
        assert len(done) == sum(each is None for each in found) >= 30

    for seed in range(20):
        asyncio.run(scene(seed))
