"""What visitors, users and staff do on the pages of the running project."""

import re
import time

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import (
    ANN,
    BOB,
    LIVE_WITHIN,
    PASSWORD,
    POLLED_WITHIN,
    STAFF,
    Photograph,
    Service,
    Visit,
)

NOTIFY = """
from apps.notifications.services import notify
from apps.users.models import User

notify(User.objects.get(email={email!r}), "news", {title!r}, url="/notifications/")
"""
ANNOUNCE = """
from apps.notifications.services import announce_to_staff

for number in range(7):
    announce_to_staff(f"Line {number}", url="/notifications/")
"""
PAGES = ["/", "/accounts/login/", "/bookings/", "/contact/", "/contact/thanks/"]
PAGES_OF_USERS = [
    *("/", "/notifications/", "/bookings/", "/bookings/mine/", "/bookings/calendars/"),
    *("/orders/", "/orders/mine/"),
    *("/reports/", "/reports/new/", "/reports/imports/new/"),
]
PAGES_OF_STAFF = [
    *("/", "/invitations/"),
    *("/console/", "/console/tasks/", "/console/emails/", "/console/audit/"),
    *("/console/workers/", "/console/periodic/", "/console/queues/default/"),
]
FAILING = """
from apps.invitations.tasks import send_invitation_email

send_invitation_email.delay("of the admin")
"""
BOOK = """
from datetime import timedelta

from django.utils import timezone

from apps.bookings.models import Calendar
from apps.bookings.services import book
from apps.users.models import User

ann = User.objects.get(email={email!r})
start = timezone.now() + timedelta(days=1)
calendar = Calendar.objects.create(name="Studio", owner=ann)
slot = calendar.slots.create(starts_at=start, ends_at=start + timedelta(hours=1))
print(book(slot, ann, "x" * 200).get_absolute_url())
"""
LINE = "sale-{number},2026-01-{day:02},Product {number},1,9.50\n"
UNREAD = re.compile("/notifications/unread/")
NOTIFICATION_EVENT = "document.body.dispatchEvent(new CustomEvent('notification'))"
SMALL = {"width": 360, "height": 740}
MAX_HEADER = 64  # pixels: one row of buttons
SERIOUS = {"serious", "critical"}


def unread(page: Page, count: int | str):
    """Return the link with a count of unread notifications."""
    return page.get_by_role("link", name=f"{count} unread")


def catch_up(page: Page, path: str = "/") -> Page:
    """Mark the notifications of other tests as read, then open a page."""
    page.goto("/notifications/")
    if page.locator("#unread-notifications .badge").count():
        page.get_by_role("button", name="Mark all as read").click()
        expect(page.locator("#unread-notifications .badge")).to_have_count(0)
    page.goto(path)
    return page


def write(page: Page) -> None:
    """Send the contact form."""
    page.goto("/contact/")
    send(page)


def send(page: Page) -> None:
    """Send the contact form on the current page."""
    page.get_by_label("Name").fill("Cleo")
    page.get_by_label("Email address").fill("cleo@example.com")
    page.get_by_label("Subject").fill("Opening hours")
    page.get_by_label("Message").fill("When are you open?")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()


def test_a_message_updates_the_unread_count_of_staff_without_a_reload(
    service: Service, visit: Visit, photograph: Photograph
) -> None:
    staff = catch_up(visit(STAFF).page)
    staff.evaluate("document.body.dataset.loaded = 'once'")

    write(visit().page)
    sent = time.monotonic()

    expect(unread(staff, 1)).to_be_visible(timeout=service.updated_within * 1000)
    print(f"the count was updated {time.monotonic() - sent:.2f} s after the answer")
    assert staff.evaluate("document.body.dataset.loaded") == "once"
    assert service.mail_to("cleo@example.com")["Subject"]
    assert "Opening hours" in str(service.mail_to(STAFF))
    staff.goto("/notifications/")
    photograph(staff, "notifications")


@pytest.mark.parametrize("service", [True], ids=["live"], indirect=True)
def test_announcements_move_nothing_and_the_last_five_stay_visible(
    service: Service, visit: Visit
) -> None:
    staff = visit(STAFF, "/contact/", viewport=SMALL).page
    heading = staff.get_by_role("heading", name="Contact")
    staff.wait_for_load_state("networkidle")  # the socket is open
    before = heading.bounding_box()

    service.shell(ANNOUNCE)

    lines = staff.locator("#announcements > p")
    expect(lines).to_have_count(5)
    expect(lines.first).to_have_text("Line 6")
    expect(lines.first).to_be_in_viewport()
    assert heading.bounding_box() == before
    send(staff)
    expect(lines.last).to_be_visible()


def test_a_form_that_cannot_be_sent_shows_a_visible_error(visit: Visit) -> None:
    visitor = visit(path="/contact/", viewport=SMALL)
    page = visitor.page
    for label in ("Name", "Subject", "Message"):
        page.get_by_label(label).fill("Opening hours")
    page.get_by_label("Email address").fill("cleo@example.com")
    page.evaluate("document.body.style.minHeight = '200vh'")
    visitor.go_offline()

    page.get_by_role("button", name="Send").click()

    expect(page.get_by_role("alert")).to_be_in_viewport(ratio=1)
    visitor.go_offline(offline=False)


def test_users_do_not_see_notifications_of_others(service: Service, visit: Visit) -> None:
    ann, bob = (catch_up(visit(email).page, "/notifications/") for email in (ANN, BOB))

    service.shell(NOTIFY.format(email=ANN, title="For Ann alone"))

    expect(unread(ann, 1)).to_be_visible(timeout=service.updated_within * 1000)
    ann.reload()
    expect(ann.get_by_text("For Ann alone")).to_be_visible()
    bob.reload()
    expect(bob.get_by_text("For Ann alone")).to_have_count(0)
    expect(bob.get_by_role("link", name="unread")).to_have_count(0)


def test_notifications_missed_offline_appear_once_the_network_is_back(
    service: Service, visit: Visit
) -> None:
    bob = visit(BOB)
    catch_up(bob.page)
    bob.go_offline()
    bob.page.wait_for_timeout(500)
    service.shell(NOTIFY.format(email=BOB, title="While you were away"))
    expect(unread(bob.page, 1)).to_have_count(0)

    bob.go_offline(offline=False)

    expect(unread(bob.page, 1)).to_be_visible(timeout=POLLED_WITHIN * 1000)
    bob.page.get_by_role("link", name="unread").click()
    expect(bob.page.get_by_text("While you were away")).to_be_visible()


def test_a_notification_during_a_request_for_the_count_is_counted(
    service: Service, visit: Visit
) -> None:
    ann = catch_up(visit(ANN).page)
    ann.wait_for_load_state("networkidle")  # a page with a socket requests the count at "hello"

    def overtake(route: Route) -> None:
        answer = route.fetch()
        service.shell(NOTIFY.format(email=ANN, title="The second"))
        ann.evaluate(NOTIFICATION_EVENT)
        route.fulfill(response=answer)

    ann.route(UNREAD, overtake, times=1)
    service.shell(NOTIFY.format(email=ANN, title="The first"))
    ann.evaluate(NOTIFICATION_EVENT)

    expect(unread(ann, 2)).to_be_visible(timeout=LIVE_WITHIN * 1000)


def sales(lines: int) -> dict[str, str | bytes]:
    """Return a CSV file for a form, with sales that no other file has."""
    first = time.time_ns()
    text = "external_id,sold_on,product,quantity,amount\n" + "".join(
        LINE.format(number=first + number, day=number % 28 + 1) for number in range(lines)
    )
    return {"name": "sales.csv", "mimeType": "text/csv", "buffer": text.encode()}


def upload(page: Page, lines: int) -> None:
    """Import a file and wait for its page."""
    page.goto("/reports/imports/new/")
    page.get_by_label("CSV file").set_input_files(sales(lines))
    page.get_by_role("button", name="Import sales").click()
    expect(page.get_by_role("heading", name="Import of sales.csv")).to_be_visible()


def watch(page: Page) -> list[int]:
    """Return the percentages that a page shows until its job has ended."""
    seen: list[int] = []
    deadline = time.monotonic() + 60
    while page.locator("#cancel").count():
        assert time.monotonic() < deadline, seen
        seen.append(int(page.locator("#job progress").get_attribute("value") or 0))
        page.wait_for_timeout(100)
    seen.append(int(page.locator("#job progress").get_attribute("value") or 0))
    return list(dict.fromkeys(seen))


def test_progress_reaches_100_percent_and_the_report_is_downloaded(
    visit: Visit, service: Service
) -> None:
    page = visit(ANN).page

    upload(page, 20_000 if service.live else 40_000)  # long enough for a page that polls every 2 s
    seen = watch(page)
    page.get_by_role("link", name="Build a report").click()
    page.get_by_label("From").fill("2026-01-01")
    page.get_by_label("To and including").fill("2026-01-28")
    page.get_by_role("button", name="Build a report").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()

    print(f"percentages seen: {seen}")
    assert seen == sorted(seen)
    assert len(seen) > 2
    assert seen[-1] == 100
    assert "Product" in download.value.path().read_text(encoding="utf-8")


def test_a_running_import_is_canceled(visit: Visit, photograph: Photograph) -> None:
    page = visit(BOB).page
    upload(page, 80_000)
    for part in ("#job", "#cancel"):
        page.locator(part).evaluate("element => element.dataset.shown = 'before'")
    expect(page.locator("#job progress")).not_to_have_attribute("value", "0")
    expect(page.locator("#job[data-shown]")).to_have_count(0)
    # A button that is replaced under the pointer gets no click.
    expect(page.locator("#cancel[data-shown]")).to_have_count(1)
    photograph(page, "progress")

    page.get_by_role("button", name="Cancel").click()

    expect(page.get_by_role("heading", name="Canceled")).to_be_visible()
    expect(page.get_by_text("Imported sales stay.")).to_be_visible()


def test_an_invitation_is_accepted_from_its_mail(service: Service, visit: Visit) -> None:
    staff = catch_up(visit(STAFF).page, "/invitations/")
    staff.get_by_label("Email addresses").fill("dora@example.com")
    staff.get_by_role("button", name="Invite").click()
    expect(staff.get_by_text("1 invited.")).to_be_visible()
    text = service.mail_to("dora@example.com").get_body(("plain",)).get_content()
    (link,) = re.findall(r"http\S+/invitations/accept/\S+", text)

    dora = visit(path=link).page
    dora.get_by_label("New password:", exact=True).fill(PASSWORD)
    dora.get_by_label("New password confirmation:").fill(PASSWORD)
    dora.get_by_role("button", name="Accept").click()

    expect(dora.get_by_text("Welcome!")).to_be_visible()
    expect(dora.get_by_role("button", name="Log out")).to_be_visible()
    expect(unread(staff, 1)).to_be_visible(timeout=service.updated_within * 1000)
    again = visit()
    answer = again.page.goto(link)
    assert answer is not None
    assert answer.status == 410
    again.problems.clear()  # Chromium logs such a response as an error
    staff.goto("/notifications/")
    staff.get_by_role("button", name="Mark all as read").click()
    expect(staff.get_by_role("link", name="unread")).to_have_count(0)


def test_the_admin_shows_and_resends_a_mail(service: Service, visit: Visit) -> None:
    write(visit().page)
    service.mail_to("cleo@example.com")
    page = visit(STAFF, "/admin/mail/email/?q=cleo").page
    page.locator("#result_list tbody a").first.click()

    preview = page.frame_locator("iframe.mail-preview")
    expect(preview.get_by_text("Thank you for your message")).to_be_visible()
    before = len(service.mailbox.messages)
    page.get_by_role("button", name="Resend").click()

    service.run.wait_until(lambda: len(service.mailbox.messages) > before)
    assert service.mailbox.messages[-1]["To"] == "cleo@example.com"


def test_the_admin_replays_a_failed_task(service: Service, visit: Visit) -> None:
    page = visit(STAFF).page

    def failed() -> int:
        page.goto("/admin/tasks/failedtask/?q='of+the+admin'")  # other tests leave hundreds
        return page.locator("#result_list tbody tr").count()

    before = failed()
    service.shell(FAILING)
    service.run.wait_until(lambda: failed() == before + 1)
    page.locator("#result_list tbody input.action-select").first.check()
    page.locator("select[name=action]").select_option(label="Replay")
    page.locator("button[name=index]").click()

    expect(page.get_by_text("1 of 1 replayed.")).to_be_visible()
    service.run.wait_until(lambda: failed() == before + 2)


@pytest.mark.parametrize("width", [SMALL["width"], 1280])
def test_the_header_is_one_row(visit: Visit, width: int) -> None:
    page = visit(STAFF, "/console/", viewport={"width": width, "height": 740}).page

    assert page.evaluate("document.querySelector('body > header').offsetHeight") <= MAX_HEADER


def test_a_phone_shows_the_navigation_in_a_menu(visit: Visit) -> None:
    page = visit(ANN, viewport=SMALL).page
    navigation = page.get_by_role("navigation", name="Main")
    expect(navigation).to_be_hidden()

    page.get_by_role("button", name="Menu").press("Enter")
    expect(navigation).to_be_visible()
    page.keyboard.press("Escape")
    expect(navigation).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    assert serious(page) == []
    navigation.get_by_role("link", name="Contact").click()

    expect(page.get_by_role("heading", name="Contact")).to_be_visible()
    expect(navigation).to_be_hidden()


def test_a_long_word_does_not_widen_the_page(service: Service, visit: Visit) -> None:
    page = visit(ANN, service.shell(BOOK.format(email=ANN)), viewport=SMALL).page

    expect(page.get_by_text("x" * 200)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= SMALL["width"]


def serious(page: Page) -> list[str]:
    """Return the serious problems that axe-core finds."""
    found = Axe().run(page).response["violations"]
    return [
        f"{problem['id']}: {problem['nodes'][0]['html']}"
        for problem in found
        if problem["impact"] in SERIOUS
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_accessible(visit: Visit, photograph: Photograph, scheme: str) -> None:
    anonymous = visit(viewport=SMALL, color_scheme=scheme).page
    ann = visit(ANN, viewport=SMALL, color_scheme=scheme).page
    found = {}
    staff = visit(STAFF, viewport=SMALL, color_scheme=scheme).page
    for page, paths in ((anonymous, PAGES), (ann, PAGES_OF_USERS), (staff, PAGES_OF_STAFF)):
        for path in paths:
            page.goto(path)
            found[f"{page.url} {len(found)}"] = serious(page)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= SMALL["width"], f"{path} is {wide} px wide"
    anonymous.goto("/contact/")
    photograph(anonymous, f"contact-{scheme}", SMALL)
    assert not any(found.values()), found
