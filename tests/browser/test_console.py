"""What staff do in the console of the running project."""

import time

from playwright.sync_api import Page, expect

from tests.browser.conftest import ANN, POLLED_WITHIN, STAFF, Photograph, Service, Visit

QUEUE_MAIL = """
from durable.api import send_email

send_email("test_email", {address!r}, {{"queued_by": "Bob"}})
"""
FAIL = """
from apps.invitations.tasks import send_invitation_email

send_invitation_email.delay("no number")
"""
FAIL_MANY = """
from django.utils import timezone
from durable.api import TaskRun

TaskRun.objects.bulk_create(
    TaskRun(
        name="invitations.send_invitation_email",
        args=["no number"],
        queue="default",
        status="failed",
        error_type={error!r},
        finished_at=timezone.now(),
    )
    for _ in range({count})
)
"""
# What a picture shows: an hour in which some work failed.
AN_HOUR = """
from datetime import timedelta
from random import Random

from django.utils import timezone
from durable.api import Email, TaskRun

draw, now = Random(1), timezone.now()
KINDS = (("orders.charge_order", "default", 300), ("reports.build_report", "reports", 20))


def times(seconds):
    started = now - timedelta(seconds=draw.uniform(0, 3500))
    queued = started - timedelta(seconds=draw.expovariate(10))
    row = {"queued_at": queued, "next_attempt_at": queued, "started_at": started, "attempts": 1}
    return row, started + timedelta(
        seconds=seconds * draw.lognormvariate(0, 0.5)
    )


for name, queue, count in KINDS:
    rows = []
    for number in range(count):
        started, finished = times(6 if queue == "reports" else 0.2)
        status = "failed" if number % 40 == 7 else "done"
        rows.append(
            TaskRun(name=name, queue=queue, status=status, finished_at=finished, **started)
        )
    TaskRun.objects.bulk_create(rows)
mails = []
for number in range(500):
    started, sent = times(0.1)
    status = ("delivered", "sent", "sent", "sent", "bounced")[number % 50 if number % 50 < 5 else 1]
    mails.append(
        Email(
            template="test_email",
            to=f"customer{number}@example.com",
            status=status,
            sent_at=sent,
            provider="smtp",
            **started,
        )
    )
Email.objects.bulk_create(mails)
"""
GRANT_VIEW = """
from django.contrib.auth.models import Permission
from apps.users.models import User

ann = User.objects.get(email={email!r})
User.objects.filter(pk=ann.pk).update(is_staff=True)
ann.user_permissions.set(Permission.objects.filter(codename="view_console"))
"""
REVOKE_VIEW = """
from apps.users.models import User

ann = User.objects.get(email={email!r})
User.objects.filter(pk=ann.pk).update(is_staff=False)
ann.user_permissions.clear()
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
    page.goto("/console/emails/?recipient=paused@example.com")
    expect(page.locator("tbody .tag")).to_have_text("queued")
    page.goto("/console/")
    page.get_by_role("button", name="Resume emails").click()

    assert service.mail_to("paused@example.com")
    page.goto("/console/emails/?recipient=paused@example.com")
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
    photograph(page, "console", {"width": 1280, "height": 900}, rows=AN_HOUR, url="/console/")


def test_open_pages_show_a_new_failed_task(service: Service, visit: Visit) -> None:
    pages = [
        visit(STAFF, path).page for path in ("/console/tasks/?state=failed&error=New", "/console/")
    ]
    for page in pages:
        page.wait_for_load_state("networkidle")  # the socket is open
        page.evaluate("document.body.dataset.loaded = 'once'")
    expect(pages[0].get_by_text("No tasks match.")).to_be_visible()
    failed = pages[1].locator("#throughput ~ .axis")
    before = failed.inner_text()

    service.shell(FAIL_MANY.format(count=1, error="New"))
    begun = time.monotonic()

    within = service.updated_within * 1000
    expect(pages[0].get_by_role("link", name="invitations.send_invitation_email")).to_be_visible(
        timeout=within
    )
    print(f"the list was refreshed {time.monotonic() - begun:.2f} s after the task had failed")
    expect(failed).not_to_have_text(before, timeout=within)
    assert all(page.evaluate("document.body.dataset.loaded") == "once" for page in pages)


def test_a_list_does_not_change_while_a_row_is_selected(service: Service, visit: Visit) -> None:
    service.shell(FAIL_MANY.format(count=1, error="Selected"))
    page = visit(STAFF, "/console/tasks/?state=failed&error=Selected").page
    page.wait_for_load_state("networkidle")
    checkbox = page.get_by_role("checkbox", name="Select invitations.send_invitation_email")
    checkbox.check()

    service.shell(FAIL_MANY.format(count=1, error="Selected"))
    page.wait_for_timeout((4 if service.live else 12) * 1000)

    expect(checkbox).to_have_count(1)
    expect(checkbox).to_be_checked()
    checkbox.uncheck()
    page.mouse.move(0, 0)
    page.get_by_role("heading", level=1).click()
    service.shell(FAIL_MANY.format(count=1, error="Selected"))
    expect(checkbox).to_have_count(3, timeout=RENEWED)


def replay_all(page: Page, count: int) -> None:
    """Replay all failed tasks of FAIL_MANY, once the page has said how many they are."""
    page.goto("/console/tasks/?state=failed&error=Probe")
    page.get_by_role("checkbox", name="all rows that match").check()
    page.get_by_role("button", name="Replay…").click()
    expect(page.get_by_role("heading", name=f"Replay {count} tasks?")).to_be_visible()
    page.get_by_role("button", name=f"Replay {count}").click()


def test_many_failed_tasks_are_replayed_once(service: Service, visit: Visit) -> None:
    service.shell(FAIL_MANY.format(count=500, error="Probe"))
    page = visit(STAFF, "/console/").page

    replay_all(page, 500)
    expect(page.get_by_text("500 of 500 replayed.")).to_be_visible()
    service.shell(FAIL_MANY.format(count=600, error="Probe"))
    replay_all(page, 1100)

    expect(page.get_by_text("1100 of 1100, 600 changed.")).to_be_visible()
    page.goto("/console/audit/")
    expect(page.locator("tbody tr").nth(0)).to_contain_text("1100 tasks")
    expect(page.locator("tbody tr").nth(1)).to_contain_text("500 tasks")


def test_a_view_only_user_sees_every_page_and_no_button(service: Service, visit: Visit) -> None:
    service.shell(FAIL_MANY.format(count=1, error="Probe"))
    service.shell(GRANT_VIEW.format(email=ANN))
    try:
        page = visit(ANN, "/console/").page
        for path in ("", "tasks/", "emails/", "workers/", "periodic/", "audit/"):
            page.goto(f"/console/{path}")
            expect(page.locator("main h1")).to_be_visible()
            expect(page.locator('main form[method="post"] button')).to_have_count(0)
        page.goto("/console/tasks/?state=failed&error=Probe")
        page.locator("tbody a").first.click()
        expect(page.get_by_text("Timeline")).to_be_visible()
        expect(page.locator('main form[method="post"]')).to_have_count(0)
    finally:
        service.shell(REVOKE_VIEW.format(email=ANN))
