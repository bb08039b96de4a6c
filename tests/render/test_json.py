"""The report for programs, whose schema is frozen."""

import io
import json

from handmade import report

from cosinspect.render import RENDERERS


def rendered(*results, **options):
    stream = io.StringIO()
    RENDERERS["json"].render(report(*results), stream, **options)
    return stream.getvalue()


def test_the_whole_document_is_frozen(golden):
    golden("report.json", rendered())


def test_the_document_is_ascii_and_ends_in_one_line_break():
    text = rendered()

    assert text.isascii()
    assert text.endswith("}\n")


def test_bytes_that_are_not_utf8_come_back_as_surrogate_escapes():
    (path,) = [
        finding["path"]
        for result in json.loads(rendered())["results"]
        for finding in result["findings"]
        if finding["layer"] == 2
    ]

    assert b"/etc/\x1b[2J\xe2\x80\xaeevil\xff" == path.encode("utf-8", "surrogateescape")


def test_colour_and_width_change_nothing():
    assert rendered() == rendered(color=True, width=20)
