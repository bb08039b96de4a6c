"""What counts is what GRUB's scripts do: a variable that is set is set, however, and one that is not is not."""

import pytest

from cosinspect import inspect, open_image
from cosinspect.facts.facts import Facts
from cosinspect.report.report import Capability, Kind, Status
from cosinspect.testing.derivative import toolkit_files as toolkit
from cosinspect.testing.derivative.image import derivative_of
from cosinspect.testing.derivative.parts import parts_of

BOOTARGS = toolkit.bootargs("G2")
MENU = toolkit.grub_config("G2")
WITHOUT_KERNEL = BOOTARGS.replace("set kernel=/boot/vmlinuz\n", "")
SET = "set kernel=/boot/vmlinuz"


def report(tmp_path, files, generation="G2"):
    parts = parts_of(generation, "amd64")
    for path, text in files.items():
        parts.packages[f"etc/cos/{path}"] = text
    return inspect(derivative_of(parts).write_layout(tmp_path))


def failed(found):
    return sorted(result.check for result in found.failed)


def status(found, capability):
    return found.capabilities[capability].status


KERNEL_IS_SET = {
    "by a function that is called": f"function f {{\n{SET}\n}}\nf\n",
    "by for": "for k in /boot/vmlinuz; do set kernel=$k; done\n",
    "by while": f'while [ -z "$kernel" ]; do {SET}; done\n',
    "by a file that is sourced": "source (loop0)/etc/cos/more.cfg\n",
    "by eval": f'eval "{SET}"\n',
    "by regexp": 'regexp --set=1:kernel "x(.*)" "x/boot/vmlinuz"\n',
    "without set": "kernel=/boot/vmlinuz\n",
    "in pieces": "a=/boot\nb=vmlinuz\nset kernel=$a/$b\n",
    "where the image has a file": f"if [ -f (loop0)/etc/os-release ]; then {SET}; fi\n",
    "by an argument": 'function f { set kernel="$2"; }\nf x /boot/vmlinuz\n',
    "with a test that is odd": f"if test == m; then {SET}; fi\n",
    "after a command that is not there": f"nosuchcommand && x\n{SET}\n",
}
KERNEL_IS_NOT_SET = {
    "by a function that nobody calls": f"function f {{\n{SET}\n}}\n",
    "where nothing holds": f"if false; then {SET}; fi\n",
    "by a file that is not there": "source (loop0)/etc/cos/nosuch.cfg\n",
    "by a loop over nothing": f"for k in $nothing; do {SET}; done\n",
    "in a line that GRUB refuses": f"{SET};;\n",
    "in a comment": f"# {SET}\n",
    "in quotes": f"echo '{SET}'\n",
    "and taken back": f"{SET}\nunset kernel\n",
    "behind return": f"function f {{\nreturn\n{SET}\n}}\nf\n",
    "under another name": "set Kernel=/boot/vmlinuz\n",
}


@pytest.mark.parametrize("kind", KERNEL_IS_SET)
def test_a_kernel_that_is_set_is_loaded(tmp_path, kind):
    more = {"more.cfg": f"{SET}\n"}
    found = report(tmp_path, {"bootargs.cfg": WITHOUT_KERNEL + KERNEL_IS_SET[kind], **more})
    assert ["COS115"] * ("&&" in KERNEL_IS_SET[kind]) == failed(found)
    assert Status.YES == status(found, Capability.BOOT)


@pytest.mark.parametrize("kind", KERNEL_IS_NOT_SET)
def test_a_kernel_that_is_not_set_is_missing(tmp_path, kind):
    found = report(tmp_path, {"bootargs.cfg": WITHOUT_KERNEL + KERNEL_IS_NOT_SET[kind]})
    assert ["COS043", *["COS115"] * (";;" in KERNEL_IS_NOT_SET[kind])] == failed(found)
    assert Status.NO == status(found, Capability.BOOT)


@pytest.mark.parametrize(
    "root", ["", "root=LABEL=$lable ", "root=LABEL= ", "root=LABEL=ROOT ", "roots=LABEL=$label "]
)
def test_a_root_that_no_deployment_makes_stops_the_boot(tmp_path, root):
    found = report(tmp_path, {"bootargs.cfg": BOOTARGS.replace("root=LABEL=$label ", root)})
    assert ["COS112"] == failed(found)
    assert Status.NO == status(found, Capability.BOOT)


MENUS = {
    "no linux": ("    linux (", "    #linux ("),
    "no initrd": ("    initrd (", "    #initrd ("),
    "no source": ("    source (", "    #source ("),
    "a file that is not there": ("linux (loop0)$kernel", "linux (loop0)/nope"),
    "the kernel set behind the source": ("    linux (", "    set kernel=/nope\n    linux ("),
    "the command line set behind the source": ("    linux (", "    set kernelcmd=quiet\n    linux ("),
    "another root behind": ("$kernelcmd ", "$kernelcmd root=LABEL=NOPE "),
    "the command line as one word": ("$kernelcmd ", '"$kernelcmd" '),
    "another device": ("linux (loop0)", "linux (loop9)"),
    "another loop": ("set img=/cOS/active.img", "set img=/cOS/nope.img"),
    "another name of bootargs.cfg": ("cos/bootargs.cfg", "cos/bootarg.cfg"),
}


@pytest.mark.parametrize("kind", MENUS)
def test_a_menu_whose_default_entry_starts_nothing_cannot_be_installed(tmp_path, kind):
    old, new = MENUS[kind]
    found = report(tmp_path, {"grub.cfg": MENU.replace(old, new, 1)})
    assert ["COS113"] == failed(found)
    assert (Status.YES, Status.NO) == (status(found, Capability.BOOT), status(found, Capability.INSTALL))


@pytest.mark.parametrize("generation", ["G2", "kairos"])
def test_carriage_returns_are_dropped_as_grub_drops_them(tmp_path, generation):
    files = {"bootargs.cfg": toolkit.bootargs(generation), "grub.cfg": toolkit.grub_config(generation)}
    found = report(tmp_path, {path: text.replace("\n", "\r\n") for path, text in files.items()}, generation)
    assert [] == failed(found)


def test_a_script_that_does_not_end_is_undecided_and_no_defect(tmp_path):
    found = report(tmp_path, {"bootargs.cfg": BOOTARGS + "while true; do set x=1; done\n"})
    assert [] == failed(found)
    assert Status.UNKNOWN == status(found, Capability.BOOT)
    assert "COS043" in [result.check for result in found.results if result.kind is Kind.OPEN]


def test_seven_independent_options_are_no_limit(tmp_path):
    lines = [f'if [ "$grub_cpu" = "m{n}" ]; then set a{n}="x{n}={n}"; fi' for n in range(30)]
    options = " ".join(f"$a{n}" for n in range(30))
    text = BOOTARGS.replace("cos-img/filename=$img", f"cos-img/filename=$img {options}")
    found = report(tmp_path, {"bootargs.cfg": "\n".join(lines) + "\n" + text})
    assert [] == failed(found)
    assert Status.YES == status(found, Capability.BOOT)


def test_the_command_lines_are_a_fact_by_state_and_entry(tmp_path):
    name = derivative_of(parts_of("G2", "amd64")).write_layout(tmp_path)
    with open_image(name) as image:
        lines = Facts(image.read_rootfs(), image.config).command_lines
    (active,) = [each for each in lines if each.state == "active" and not each.menu]
    assert {"LABEL=COS_ACTIVE"} == {each.value for each in active.line.last("root")}
    assert {"", "derivative", "derivative recovery"} <= {each.entry for each in lines}
