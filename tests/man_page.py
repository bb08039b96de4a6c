"""`python -m tests.man_page` writes the man page, docs/cosinspect.1, from the parsers of all commands."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from argparse_manpage.manpage import Manpage

from cosinspect.commands.command import STATUS_MEANINGS
from cosinspect.commands.completion import whole_parser

PLACE = Path(__file__).parents[1] / "docs" / "cosinspect.1"


def man_page() -> str:
    """Return the page; its date is left out, so that it changes only with the options."""
    parser = whole_parser()
    parser.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=100)
    page = Manpage(parser, format="single-commands-section")
    page.date = ""
    page.manual = "User Commands"
    text = str(page).replace(
        ".SH NAME\ncosinspect\n",
        ".SH NAME\ncosinspect \\- what an OS image can do, straight from a registry\n",
    )
    statuses = "".join(f".TP\n.B {status}\n{meaning}\n" for status, meaning in STATUS_MEANINGS.items())
    further = (
        f'.SH "EXIT STATUS"\n{statuses}'
        ".SH FILES\n.TP\n.I cosinspect.toml\noptions for this directory\n"
        ".TP\n.I ~/.config/cosinspect/config.toml\noptions of the user\n"
        ".SH ENVIRONMENT\n.TP\n.B COSINSPECT_SOME_OPTION\nthe value of \\-\\-some\\-option, of any command\n"
        ".TP\n.B COSINSPECT_CONFIG_FILE\nanother configuration file, or off\n"
    )
    return re.sub(r"\n+$", "\n", text) + further


if __name__ == "__main__":
    PLACE.write_text(man_page())
