"""Evidence is values; their text is what reports had from the beginning."""

import msgspec
import pytest
from attrs import evolve

from cosinspect.report import CheckResult, Finding, Kind, Level
from cosinspect.report.evidence import Hop, LastLink, LayerStep, Line, Mention, Removal, names_layer

STEP = LayerStep(3, "RUN /bin/sh -c rm  -rf /boot # buildkit")


@pytest.mark.parametrize(
    ("evidence", "text", "layer"),
    [
        (Hop("/boot/vmlinuz", "vmlinuz-6.1", 1), "/boot/vmlinuz -> vmlinuz-6.1 (layer 1)", 1),
        (STEP, "layer 3 (RUN rm -rf /boot)", 3),
        (LayerStep(0), "layer 0", 0),
        (Removal(LayerStep(2), "/boot/.wh.x"), "layer 2 removed it: /boot/.wh.x", 2),
        (LastLink(STEP), "layer 3 (RUN rm -rf /boot) made the last link", 3),
        (Line("/etc/cos/bootargs.cfg", 7), "/etc/cos/bootargs.cfg:7", None),
        (Line("/etc/x", None), "/etc/x", None),
        (Mention("12 MiB in layer 4", 4), "12 MiB in layer 4", 4),
        ("layer 5 as somebody says", "layer 5 as somebody says", 5),
    ],
)
def test_each_value_is_one_line(evidence, text, layer):
    finding = Finding("wrong", evidence=(evidence,))
    assert finding.evidence == (text,)
    assert [number for number in range(9) if names_layer(evidence, number)] == (
        [] if layer is None else [layer]
    )
    result = CheckResult("COS001", "x", Kind.FAIL, Level.ERROR, (), (finding,))
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(result), type=CheckResult)
    assert again == result
    assert hash(again) == hash(result)


def test_equal_text_is_equal_evidence():
    one, other = Finding("wrong", evidence=(STEP,)), Finding("wrong", evidence=(str(STEP),))
    assert one == other
    assert hash(one) == hash(other)
    assert one != Finding("wrong", evidence=("else",))


def test_evidence_is_added_to():
    first = Finding("wrong", evidence=(STEP,))
    assert evolve(first, evidence=(*first.grounds, "more")).grounds == (STEP, "more")


def test_text_about_a_layer_is_not_about_another_whose_number_begins_alike():
    assert not names_layer("layer 12 removed it", 1)
    assert names_layer("layer 1 removed it", 1)
