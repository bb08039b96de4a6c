"""One tenant's registry, slow or lying, beside another's: nobody waits for it, and nobody's image is judged by what it delivers."""

import threading

from cosinspect.testing import Registry
from cosinspect.testing.derivative import derivative
from cosinspect.testing.registry.faults import Fault
from serving import review, serving

ENDLESS = 600.0


def _all_at_once(server, names, timeout="1s"):
    """Have images asked for side by side, and give the answers."""
    answers = {}

    def ask(name):
        answers[name] = server.review(review("Pod", name), f"/admission?timeout={timeout}")

    threads = [threading.Thread(target=ask, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_a_slow_registry_holds_up_nobody_else_s_image(tmp_path):
    stalls = [
        Fault.stall("/v2/late/*/manifests/*", ENDLESS, method="*", times=None),
        Fault.stall("/v2/*/blobs/*", ENDLESS, times=None),
    ]
    with Registry(faults=stalls) as slow, Registry() as fast, serving(tmp_path) as server:
        good = fast.push(derivative(), "org/os:v1")
        # Tags that are never answered for, more than threads wait for them; and images whose layers never come.
        silent = [slow.push(derivative(), f"late/os{number}:v1") for number in range(60)]
        hanging = [slow.push(derivative(), f"org/os{number}:v1") for number in range(4)]
        answers = _all_at_once(server, hanging)
        # A busy machine may not know the digest of a tag within the second: clients ask again.
        server.until(
            lambda: server.counted("cosinspect_waiting") == len(hanging) or not _all_at_once(server, hanging)
        )
        answers |= _all_at_once(server, silent)
        assert {each["status"]["code"] for each in answers.values()} == {503}

        assert server.review(review("Pod", good))["allowed"] is True
        assert server.counted("cosinspect_waiting") == len(hanging), "the others wait still"


def test_a_registry_that_claims_another_s_digest_does_not_decide_its_image(tmp_path):
    """Two repositories name one digest: one never delivers it, one delivers other bytes, one delivers it."""
    with (
        Registry(faults=[Fault.stall("/v2/*/blobs/*", ENDLESS, times=None)]) as slow,
        Registry(faults=[Fault.corrupt("/v2/*/blobs/*", 40, times=None)]) as lying,
        Registry() as honest,
        serving(tmp_path) as server,
    ):
        image = derivative()
        names = [each.push(image, "org/os:v1") for each in (slow, lying, honest)]

        waiting = server.review(review("Pod", names[0]), "/admission?timeout=1s")
        lied = server.review(review("Pod", names[1]))
        passed = server.review(review("Pod", names[2]))

        assert waiting["status"]["code"] == 503
        assert lied["allowed"] is False
        assert passed["allowed"] is True
        assert server.review(review("Pod", names[1]))["allowed"] is True, (
            "what is known of a digest holds wherever it comes from"
        )


def test_a_slow_registry_does_not_fill_the_queue(tmp_path):
    stall = Fault.stall("/v2/*/blobs/*", ENDLESS, times=None)
    settings = "workers = 1\nqueue = 2"
    with (
        Registry(faults=[stall]) as slow,
        Registry() as fast,
        serving(tmp_path, inspections=settings) as server,
    ):
        full = [slow.push(derivative(), f"org/os{number}:v1") for number in range(6)]
        answers = _all_at_once(server, full, timeout="2s")
        assert {each["status"]["code"] for each in answers.values()} == {503}

        assert server.review(review("Pod", fast.push(derivative(), "org/os:v1")))["allowed"] is True
