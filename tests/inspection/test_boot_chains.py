"""`explain IMAGE boot` names what starts the kind of image: GRUB only where GRUB does."""

import pytest

from cosinspect import inspect
from cosinspect.profiles import generation_tables
from cosinspect.render.html import report_page
from cosinspect.report.boot_chain import STAGES, stage_titles
from cosinspect.testing.derivative import derivative


def test_every_kind_of_image_has_a_title_for_each_stage():
    kinds = {table.starts for table in generation_tables().values()}
    assert {"bootargs", "unified", "ostree", "elemental3"} == kinds
    for kind in kinds:
        assert len(STAGES) == len(stage_titles(kind))
    # AuroraBoot makes one EFI program of a trusted image; bootc's disks may have systemd-boot.
    for kind in ("unified", "ostree"):
        assert "GRUB" not in " ".join(stage_titles(kind))
    assert "unified" == generation_tables()["kairos-trusted"].starts


@pytest.mark.parametrize(
    ("options", "words", "without"),
    [
        ({"generation": "bootc"}, "mounts the deployment of ostree or composefs", "GRUB"),
        ({"broken": "uki-without-keys"}, "systemd-boot finds the unified kernel image", "GRUB"),
        ({"generation": "G6"}, "GRUB finds the entry of the snapshot", "bootargs.cfg"),
        ({"generation": "G4"}, "GRUB finds its menu", "systemd-boot"),
    ],
)
def test_the_page_of_a_report_shows_the_chain_of_its_kind(tmp_path, options, words, without):
    report = inspect(derivative(**options).write_layout(tmp_path))
    chain = report_page(report.to_dict()).partition("How it boots")[2].partition("<h2>")[0]
    assert words in chain
    titles = stage_titles(generation_tables()[report.generation].starts)
    assert without not in " ".join(titles)
