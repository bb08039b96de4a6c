"""The page of the checks is what the catalogue says."""

from catalogue import PAGE, applied, page
from cosinspect.checks import CATALOGUE
from operations_page import PAGE as OPERATIONS_PAGE
from operations_page import page as page_of_operations


def test_the_page_is_the_catalogues():
    assert page() == PAGE.read_text(), "run python -m tests.catalogue"


def test_every_check_says_where_it_looks_and_is_for_some_image():
    assert all((item.run.__doc__ or "").strip() for item in CATALOGUE)
    upgrades = {"COS280", "COS281", "COS282", "COS284"}  # of two images
    assert {"COS092", "COS093", "COS111", "COS203", *upgrades} == {
        check for check, names in applied().items() if not names
    }


def test_the_page_of_operations_is_the_tables():
    assert page_of_operations() == OPERATIONS_PAGE.read_text()
