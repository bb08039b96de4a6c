"""The page of a report: harmless whatever an image holds, whole in one file, and laid out in a real browser."""

import json
import re
import shutil
import subprocess
from datetime import date
from html.parser import HTMLParser

import pytest

from cosinspect import inspect
from cosinspect.render.html import report_page, short_name
from cosinspect.testing import ImageBuilder
from cosinspect.testing.derivative import derivative
from cosinspect.version import __version__

HOSTILE = "<script>alert(1)</script>&\"'\u202e\n\udcff"


class Reader(HTMLParser):
    """Takes a page apart."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.links, self.text, self._raw = [], [], [], False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._raw = tag in ("script", "style")
        self.links.extend(value for name, value in attrs if name in ("src", "href", "action", "data"))

    def handle_endtag(self, tag):
        self._raw = False

    def handle_data(self, data):
        if not self._raw:
            self.text.append(data)


def told(image, tmp_path, **options):
    name = image.write_layout(tmp_path / "image")
    return inspect(name, **options).to_dict()


def test_it_tells_the_verdict_the_finding_and_the_layer(tmp_path):
    report = told(derivative("kernel-dangling"), tmp_path)

    text = " ".join(Reader(report_page(report)).text)

    assert re.search(r"COS011\s+kernel-link-dangling\s+error\s", text)
    assert "expected the kernel behind /boot/vmlinuz" in text
    assert "RUN rm -rf /boot/vmlinuz-6.1.0-50-amd64" in text
    assert re.search(r"GRUB loads the kernel\s+fail\b", text)
    assert re.search(r"GRUB finds its menu, which names what to load\s+pass\b", text)
    assert report["image"]["digest"] in text


def test_the_head_names_the_tag_the_verdict_in_words_the_day_and_the_version(tmp_path):
    report = told(derivative("kernel-dangling"), tmp_path)
    report["image"]["name"] = "quay.io/org/os:v1@sha256:" + "a" * 64

    page = report_page(report, day=date(2031, 2, 3))

    assert "<title>os:v1: fail, cannot boot, cannot install</title>" in page
    assert f"2031-02-03 by cosinspect {__version__}" in page
    assert "cOS toolkit v0.8.2 to v0.9.7 (G2)" in page


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("quay.io:5000/org/os:v1", "os:v1"),
        ("quay.io/org/os@sha256:" + "a" * 64, "os@sha256:" + "a" * 12),
        ("oci:/srv/images/os:v1", "os:v1"),
        ("oci:/", "oci:/"),
    ],
)
def test_a_title_is_what_tells_images_apart(name, short):
    assert short == short_name(name)


def test_no_stage_behind_a_failed_one_passes(tmp_path):
    page = report_page(told(derivative("kernel-dangling"), tmp_path))
    stages = re.findall(r'<li class="(\w+)"><p>', page)

    assert ["pass", "fail", "notReached", "notReached", "notReached"] == stages


def test_nothing_is_loaded_from_elsewhere(tmp_path):
    page = Reader(report_page(told(derivative(), tmp_path)))

    assert all(link.startswith("#") for link in page.links)
    assert page.tags.count("script") == 1
    assert not {"img", "iframe", "link", "object"} & set(page.tags)


def test_what_an_image_says_is_text(tmp_path):
    report = told(derivative("kernel-dangling"), tmp_path)
    raw = json.dumps(report).replace("/boot/vmlinuz", json.dumps(HOSTILE)[1:-1])
    hostile = json.loads(raw)
    hostile["image"]["name"] = hostile["image"]["platform"] = HOSTILE
    hostile["image"]["layers"][0]["created_by"] = HOSTILE

    plain, changed = (Reader(report_page(each)) for each in (report, hostile))

    assert plain.tags == changed.tags
    report_page(hostile).encode("utf-8")
    assert "\u202e" not in report_page(hostile)


def test_an_image_with_nothing_has_a_page(tmp_path):
    image = ImageBuilder(platform="linux/amd64").layer({"a": "b"}).build()

    page = report_page(told(image, tmp_path, profile="boot"))

    assert "kernel-missing" in page
    assert "none found" in page


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_lays_it_out_without_overflow_and_its_search_works(tmp_path, width):
    page = report_page(told(derivative("no-toolkit"), tmp_path))
    # What the page measures of itself is written into its title, which the dumped document shows.
    probe = """<script>
      const field = document.querySelector("input[type=search]");
      field.value = "zzz-nowhere"; field.dispatchEvent(new Event("input"));
      const hidden = [...document.querySelectorAll(".item")].filter((each) => each.hidden).length;
      field.value = ""; field.dispatchEvent(new Event("input"));
      const shown = [...document.querySelectorAll(".item")].filter((each) => !each.hidden).length;
      document.title = JSON.stringify({hidden, shown, inner: document.documentElement.clientWidth,
        wide: document.documentElement.scrollWidth});
    </script></body>"""
    file = tmp_path / "page.html"
    file.write_text(page.replace("</body>", probe), "utf-8")

    done = subprocess.run(
        [
            BROWSER,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--allow-file-access-from-files",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={max(width, 500)},1200",
            "--dump-dom",
            _framed(tmp_path, file, width),
        ],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )

    found = json.loads(re.search(r"<title>(\{.*?\})</title>", done.stdout)[1].replace("&quot;", '"'))
    assert found["wide"] <= found["inner"]
    assert width - 20 <= found["inner"] <= width, "but for a scroll bar"
    assert found["hidden"] == found["shown"] > 0


def _framed(directory, file, width):
    """Show a page in a frame of a phone's width: a headless window is never narrower than some 500 points."""
    frame = directory / "frame.html"
    frame.write_text(
        f'<!doctype html><title>-</title><style>body{{margin:0}}</style><iframe src="{file.name}" width="{width}" '
        'height="1000" frameborder="0" onload="document.title = this.contentDocument.title"></iframe>'
    )
    return f"file://{frame}"
