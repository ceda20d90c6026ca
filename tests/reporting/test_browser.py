"""The page in a real browser: headless Chromium, where there is one."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from msda_train.records.rows import load_rows
from msda_train.reporting.page import html
from msda_train.reporting.report import make_report

pytestmark = pytest.mark.browser
ROWS = Path(__file__).parents[1] / "stored" / "rows"
EVIL = "<script>document.title='caught'</script><img src=x onerror=document.title='caught'>"
BINARY = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip(
        "selenium.webdriver", reason="selenium is not installed: pip install -e .[dev]"
    )
    if not BINARY or not DRIVER:
        pytest.skip("no chromium and chromedriver here: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = BINARY
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page_file(papers, tmp_path_factory):
    """The page of the stored rows, one of them hostile."""
    folder = tmp_path_factory.mktemp("page")
    rows = Path(shutil.copytree(ROWS, folder / "rows"))
    path = sorted((rows / "digits-preactresnet18-smoke").iterdir())[0]
    raw = json.loads(path.read_text())
    raw["names"] |= {"method": EVIL, "dataset": EVIL}
    path.write_text(json.dumps(raw))
    report = make_report(papers, load_rows([rows])[0], made=datetime(2026, 1, 2, tzinfo=UTC))
    (folder / "report.html").write_text(html(report), encoding="utf-8")
    return folder / "report.html"


@pytest.fixture
def opened(browser, page_file):
    """Opens the page in a window so wide."""

    def open_at(width, scheme="light"):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        browser.get(page_file.as_uri())
        return browser

    return open_at


@pytest.mark.parametrize("width", [360, 1024, 1440])
def test_it_opens_without_a_fault_and_fits(opened, width):
    page = opened(width)
    assert page.get_log("browser") == []
    assert page.title == "msda-train: published numbers and ours"
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    pictures = "[...document.images].map(i => [i.complete, i.naturalWidth, i.getBoundingClientRect().right])"
    found = page.execute_script(f"return {pictures}")
    assert len(found) > 10
    for complete, natural, right in found:
        assert complete
        assert natural > 0
        assert right <= width
    assert page.execute_script("return document.querySelectorAll('[onerror]').length") == 0
    assert EVIL in page.execute_script("return document.body.textContent")


def test_tables_sort_by_their_heads(opened):
    page = opened(1440)
    values = (
        "return [...document.querySelector('table.sortable').tBodies[0].rows]"
        ".filter(row => row.children.length > 3).map(row => parseFloat(row.children[2].textContent))"
    )
    before = page.execute_script(values)
    click = "document.querySelectorAll('table.sortable thead button')[2].click()"
    page.execute_script(click)
    assert page.execute_script(values) == sorted(before)
    state = "return document.querySelectorAll('table.sortable thead th')[2].getAttribute('aria-sort')"
    assert page.execute_script(state) == "ascending"
    page.execute_script(click)
    assert page.execute_script(values) == sorted(before, reverse=True)
    assert page.execute_script(state) == "descending"


def test_it_is_dark_where_the_reader_wants_that_and_pictures_stay_on_a_light_card(opened):
    def colour(page, selector):
        return page.execute_script(
            f"return getComputedStyle(document.querySelector('{selector}')).backgroundColor"
        )

    light = colour(opened(360), "body")
    dark = colour(opened(360, "dark"), "body")
    card = colour(opened(360, "dark"), "img.plot")
    assert (light, dark, card) == ("rgb(255, 255, 255)", "rgb(20, 23, 27)", "rgb(244, 245, 247)")


def test_a_link_unfolds_what_it_leads_to(opened):
    page = opened(1024)
    target = "document.querySelector('a[href^=\"#config-\"]')"
    page.execute_script(f"{target}.click()")
    place = f"document.getElementById({target}.getAttribute('href').slice(1)).open"
    wait = "const done = arguments[0]; setTimeout(() => done(" + place + "), 200)"
    assert page.execute_async_script(wait) is True
