"""The page of Kairos' and bootc's rules names checks that there are, and all of those that are for Kairos and bootc alone."""

import re
from pathlib import Path

from cosinspect.checks import CATALOGUE
from cosinspect.profiles import generation_tables

PAGE = Path(__file__).parents[2] / "docs" / "kairos-and-bootc.md"
OWN = {"kairos", "kairos-trusted", "uki", "bootc"}


def test_the_page_names_every_check_of_theirs_and_no_other():
    text = PAGE.read_text()
    named = set(re.findall(r"COS\d{3}", text)) | {f"COS{number}" for number in range(250, 255)}
    own = {
        item.id
        for item in CATALOGUE
        if item.is_for_some and set(item.generations_of(generation_tables())) <= OWN
    }

    assert named <= {item.id for item in CATALOGUE}
    # These are of an initrd's parts and of GRUB's modules, of which upstream has no rule of its own.
    assert own - named <= {"COS134", "COS135", "COS138", "COS164"}
