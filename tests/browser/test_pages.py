"""What visitors, users and staff do on the running project's pages, as they see it."""

import time

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import ANN, BOB, STAFF, Service, Visit

NOTIFY = """
from apps.notifications.services import notify
from apps.users.models import User

notify(User.objects.get(email={email!r}), "news", {title!r}, url="/notifications/")
"""
PAGES = ["/", "/accounts/login/", "/contact/"]
PAGES_OF_USERS = ["/", "/notifications/"]
SMALL = {"width": 360, "height": 740}
SERIOUS = {"serious", "critical"}


def unread(page: Page, count: int | str):
    """Return the bell that shows a count."""
    return page.get_by_role("link", name=f"{count} unread")


def write(page: Page) -> None:
    """Fill in and send the contact form."""
    page.goto("/contact/")
    page.get_by_label("Name").fill("Cleo")
    page.get_by_label("Email address").fill("cleo@example.com")
    page.get_by_label("Subject").fill("Opening hours")
    page.get_by_label("Message").fill("When are you open?")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()


def test_a_message_moves_the_staffs_bell_without_a_reload(service: Service, visit: Visit) -> None:
    staff = visit(STAFF).page
    staff.evaluate("document.body.dataset.loaded = 'once'")

    write(visit().page)
    sent = time.monotonic()

    expect(unread(staff, 1)).to_be_visible(timeout=service.seen_within * 1000)
    print(f"the bell moved {time.monotonic() - sent:.2f} s after the answer")
    assert staff.evaluate("document.body.dataset.loaded") == "once"
    assert service.mail_to("cleo@example.com")["Subject"]
    assert "Opening hours" in str(service.mail_to(STAFF))


def test_nobody_sees_what_another_is_told(service: Service, visit: Visit) -> None:
    ann, bob = visit(ANN, "/notifications/").page, visit(BOB, "/notifications/").page

    service.shell(NOTIFY.format(email=ANN, title="For Ann alone"))

    expect(unread(ann, 1)).to_be_visible(timeout=service.seen_within * 1000)
    ann.reload()
    expect(ann.get_by_text("For Ann alone")).to_be_visible()
    bob.reload()
    expect(bob.get_by_text("For Ann alone")).to_have_count(0)
    expect(bob.get_by_role("link", name="unread")).to_have_count(0)


def serious(page: Page) -> list[str]:
    """Return what axe-core finds that keeps people from using a page."""
    found = Axe().run(page).response["violations"]
    return [
        f"{problem['id']}: {problem['nodes'][0]['html']}"
        for problem in found
        if problem["impact"] in SERIOUS
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_the_pages(visit: Visit, scheme: str) -> None:
    anonymous = visit(viewport=SMALL, color_scheme=scheme).page
    ann = visit(ANN, viewport=SMALL, color_scheme=scheme).page
    found = {}
    for page, paths in ((anonymous, PAGES), (ann, PAGES_OF_USERS)):
        for path in paths:
            page.goto(path)
            found[path] = serious(page)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= SMALL["width"], f"{path} is {wide} px wide"
    assert not any(found.values()), found
