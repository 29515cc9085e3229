"""How a part of the console refreshes: its script and HTMX in Chromium, without a server."""

from collections.abc import Callable, Iterator
from pathlib import Path

import django_htmx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.rendering import PROJECT, ROOT

HTMX = Path(django_htmx.__file__).parent / "static/django_htmx/htmx-2.min.js"
SCRIPT = ROOT / PROJECT / "durable/console/static/console/console.js"
PAGE = """
<!DOCTYPE html>
<html lang="en">
  <head>
    <title>Console</title>
    <script src="/htmx.js"></script>
    <script src="/console.js" defer></script>
  </head>
  <body>
    <p id="outside">Outside</p>
    <div id="work" data-refresh="{kind}" hx-get="/part" hx-trigger="console from:body">{part}</div>
  </body>
</html>
"""
PART = """
<section aria-labelledby="rows" style="overflow-x: auto; width: 100px">
  <h2 id="rows">Rows</h2>
  <div style="width: 900px"><button id="stop">Stop</button> <span>an error</span> read {count}</div>
</section>
"""
CHANGE = "document.body.dispatchEvent(new CustomEvent('console'))"
SELECT = "getSelection().selectAllChildren(document.querySelector('#work span'))"
HIDE = (
    "hidden => Object.defineProperty(document, 'hidden', {get: () => hidden, configurable: true})"
)
Open = Callable[..., Page]


@pytest.fixture
def open_part(browser: Browser) -> Iterator[Open]:
    """Return a function that opens a page whose part counts how often it was read."""
    page = browser.new_page(viewport={"width": 360, "height": 640})

    def open_part(kind: str = "") -> Page:
        reads = 0

        def answer(route: Route) -> None:
            nonlocal reads
            path = route.request.url.removeprefix("http://console.test")
            if path in {"/htmx.js", "/console.js"}:
                route.fulfill(path=HTMX if path == "/htmx.js" else SCRIPT)
            elif path == "/part":
                reads += 1
                route.fulfill(body=PART.format(count=reads), content_type="text/html")
            else:
                body = PAGE.format(kind=kind, part=PART.format(count=0))
                route.fulfill(body=body, content_type="text/html")

        page.route("**/*", answer)
        page.goto("http://console.test/")
        return page

    yield open_part
    page.close()


def test_a_polled_table_stays_scrolled_to_the_side(open_part: Open) -> None:
    page = open_part()
    page.evaluate("document.querySelector('section').scrollLeft = 70")

    page.evaluate(CHANGE)

    expect(page.locator("section")).to_contain_text("read 1")
    assert page.evaluate("document.querySelector('section').scrollLeft") == 70


@pytest.mark.parametrize("kind", ["", "careful"])
def test_a_polled_part_waits_while_text_in_it_is_selected(open_part: Open, kind: str) -> None:
    page = open_part(kind)
    page.evaluate(SELECT)
    page.evaluate(CHANGE)
    page.wait_for_timeout(300)

    expect(page.locator("section")).to_contain_text("read 0")
    page.evaluate("getSelection().removeAllRanges()")
    page.evaluate(CHANGE)
    expect(page.locator("section")).to_contain_text("read 1")


def test_a_polled_part_of_a_hidden_page_waits_until_it_is_seen(open_part: Open) -> None:
    page = open_part()
    page.evaluate(HIDE, True)
    page.evaluate(CHANGE)
    page.wait_for_timeout(300)
    expect(page.locator("section")).to_contain_text("read 0")

    page.evaluate(HIDE, False)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    expect(page.locator("section")).to_contain_text("read 1")


def test_a_polled_answer_is_dropped_if_you_have_pointed_at_a_button_since(open_part: Open) -> None:
    page = open_part("careful")

    def point(route: Route) -> None:
        page.hover("#stop")
        route.fallback()

    page.route("**/part", point)
    page.evaluate(CHANGE)
    page.wait_for_timeout(500)

    expect(page.locator("section")).to_contain_text("read 0")
    page.hover("#outside")
    page.unroute("**/part", point)
    page.evaluate(CHANGE)
    expect(page.locator("section")).to_contain_text("read 2")
