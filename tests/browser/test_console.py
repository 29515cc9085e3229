"""What staff do in the console of the running project."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import POLLED_WITHIN, STAFF, Photograph, Service, Visit

QUEUE_MAIL = """
from durable.api import send_email

send_email("test_email", {address!r}, {{"queued_by": "Bob"}})
"""
FAIL = """
from apps.invitations.tasks import send_invitation_email

send_invitation_email.delay("no number")
"""
RENEWED = POLLED_WITHIN * 1000  # milliseconds


def queue_row(page: Page, name: str):
    """Return the line of a queue."""
    return page.locator("#queues-table tr").filter(has=page.get_by_role("rowheader", name=name))


def test_a_paused_queue_keeps_a_mail_until_it_is_resumed(service: Service, visit: Visit) -> None:
    page = visit(STAFF, "/console/").page
    page.get_by_role("button", name="Pause emails").click()
    expect(queue_row(page, "emails").get_by_text("paused")).to_be_visible()
    expect(page.locator("#workers-table").get_by_text("emails paused")).to_be_visible(
        timeout=RENEWED
    )

    service.shell(QUEUE_MAIL.format(address="paused@example.com"))

    expect(page.get_by_text("emails is paused by")).to_be_visible(timeout=RENEWED)
    page.goto("/console/mails/?recipient=paused@example.com")
    expect(page.locator("tbody .tag")).to_have_text("queued")
    page.goto("/console/")
    page.get_by_role("button", name="Resume emails").click()

    assert service.mail_to("paused@example.com")
    page.goto("/console/mails/?recipient=paused@example.com")
    expect(page.locator("tbody .tag")).to_have_text("sent")
    page.goto("/console/audit/")
    expect(page.locator("tbody tr").nth(0)).to_contain_text("resume")
    expect(page.locator("tbody tr").nth(1)).to_contain_text("pause")


def test_a_failed_task_is_found_and_replayed(
    service: Service, visit: Visit, photograph: Photograph
) -> None:
    service.shell(FAIL)
    page = visit(STAFF, "/console/").page
    found = page.get_by_role("link", name="invitations.send_invitation_email")
    for _attempt in range(20):
        page.goto("/console/tasks/?state=failed&name=invitations.send_invitation_email")
        if found.count():
            break
        page.wait_for_timeout(500)
    page.get_by_role("checkbox", name="Select invitations.send_invitation_email").first.check()
    page.get_by_role("button", name="Replay…").click()
    expect(page.get_by_role("heading", name="Replay 1 task?")).to_be_visible()
    page.get_by_role("button", name="Replay 1").click()
    expect(page.get_by_text("1 of 1 replayed.")).to_be_visible()
    found.last.click()
    expect(page.get_by_text("Replayed as")).to_be_visible()
    page.goto("/console/")
    photograph(page, "console", {"width": 1280, "height": 900})
