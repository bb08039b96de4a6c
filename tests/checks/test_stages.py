"""Which stage of the boot each module's checks look at: a module that is added, split or renamed is not forgotten."""

import pkgutil

from cosinspect import checks
from cosinspect.checks import CATALOGUE
from cosinspect.checks.base import _STAGE_OF
from cosinspect.report.boot_chain import STAGES
from cosinspect.report.report import Capability

# Modules whose checks decide the boot and belong to no one stage; those of one stage have its tag.
WITHOUT = {
    "image": "what kind of image it is",
    "layers": "whether there is a tree at all",
    "kairos": "parts of several stages, which only Kairos has",
    "trusted_boot": "the source of a unified kernel image, which is not booted itself",
    "uki_artefact": "an EFI partition's files, started by systemd-boot and not by GRUB",
    "bootc": "the lints of bootc, and kernel and initrd in one",
    "elemental3_boot": "kernel and initrd in one",
}


def test_the_table_names_modules_and_stages_that_there_are():
    modules = {each.name for each in pkgutil.iter_modules(checks.__path__)}

    assert set() == _STAGE_OF.keys() - modules
    assert {stage for stages in _STAGE_OF.values() for stage in stages} == set(STAGES)


def test_each_module_that_decides_the_boot_has_a_stage_or_a_reason():
    deciding = {
        item.run.__module__.rpartition(".")[2] for item in CATALOGUE if Capability.BOOT in item.capabilities
    }

    assert deciding - _STAGE_OF.keys() == WITHOUT.keys()
