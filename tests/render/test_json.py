"""The report for programs, whose schema is frozen."""

import io
import json

import msgspec
from handmade import report

from cosinspect.render import RENDERERS
from cosinspect.report.report import Report


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


def test_bytes_that_are_not_utf8_are_escaped_and_the_document_says_where():
    document = json.loads(rendered())
    (at,) = [number for number, result in enumerate(document["results"]) if result["check"] == "COS063"]

    assert [f"/results/{at}/findings/1/path"] == document["escaped"]
    path = document["results"][at]["findings"][1]["path"]
    assert "/etc/\x1b[2J\u202eevil\\xff" == path
    msgspec.json.decode(rendered())  # a reader that refuses lone surrogates


def test_a_report_that_is_read_again_has_its_bytes_again():
    assert Report.from_dict(json.loads(rendered())).results == report().results


def test_colour_and_width_change_nothing():
    assert rendered() == rendered(color=True, width=20)
