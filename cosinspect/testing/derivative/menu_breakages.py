"""How the scripts of GRUB break or get worse: what a menu or a bootargs.cfg does is what counts, not what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cosinspect.testing.derivative import toolkit_files as toolkit
from cosinspect.testing.derivative.breakage import Breakage
from cosinspect.testing.derivative.parts import KERNEL_VERSION, Parts

__all__ = ["MENU_BREAKAGES", "MENU_DEGRADATIONS"]


def _rewritten(name: str, change: Callable[[str], str]) -> Callable[[Parts], None]:
    """Change one of GRUB's files."""

    def apply(parts: Parts) -> None:
        path = f"{toolkit.config_directory(parts.generation)}/{name}"
        write = toolkit.grub_config if name == "grub.cfg" else toolkit.bootargs
        parts.write(path, change(write(parts.generation)))

    return apply


def _before(mark: str, line: str, position: int = 1) -> Callable[[str], str]:
    """Put a line before the place where a mark stands for the nth time."""

    def change(text: str) -> str:
        parts = text.split(mark)
        return mark.join(parts[:position]) + line + mark + mark.join(parts[position:])

    return change


MENU_BREAKAGES: Mapping[str, Breakage] = {
    "root-misspelt": Breakage(
        "bootargs.cfg names the root by a variable that no menu sets",
        "COS112",
        _rewritten("bootargs.cfg", lambda text: text.replace("root=LABEL=$", "root=LABEL=$no_")),
    ),
    "menu-loads-nothing": Breakage(
        "the default entry of grub.cfg prints the kernel in place of loading it",
        "COS113",
        _rewritten("grub.cfg", lambda text: text.replace("    linux (", "    echo (", 1)),
    ),
}

MENU_DEGRADATIONS: Mapping[str, Breakage] = {
    "menu-overrides": Breakage(
        "the default entry of grub.cfg sets the kernel behind the line that sources bootargs.cfg",
        "COS114",
        _rewritten("grub.cfg", _before("    linux (", f"    set kernel=/boot/vmlinuz-{KERNEL_VERSION}\n")),
    ),
    "script-refused": Breakage(
        "grub.cfg ends a command twice",
        "COS115",
        _rewritten("grub.cfg", lambda text: text + "set timeout=5;;\n"),
    ),
    "recovery-renamed": Breakage(
        "grub.cfg calls the recovery entry otherwise",
        "COS116",
        _rewritten("grub.cfg", lambda text: text.replace("--id recovery", "--id rescue")),
    ),
    "fallback-broken": Breakage(
        "the entry of the older image in grub.cfg loads no kernel",
        "COS117",
        _rewritten("grub.cfg", _before("    linux (", "    kernel_is=", 2)),
    ),
}
