"""What an open page of the console notices, and how it refreshes."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from durable.console import overview
from durable.console.changes import work_version
from durable.mail.models import EmailEvent
from durable.testing.plans import plan_of

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


CHANGES = {
    "a task is queued": lambda _operator, task, _mail: task(),
    "a task is done": lambda _operator, task, _mail: task("done", queued_at=Now() - MINUTE),
    "a task has failed": lambda _operator, task, _mail: task("failed", queued_at=Now() - MINUTE),
    "a task starts": lambda _operator, task, _mail: task("running", queued_at=Now() - MINUTE),
    "an email is queued": lambda _operator, _task, mail: mail(),
    "an email is sent": lambda _operator, _task, mail: EmailEvent.objects.create(
        email=mail(queued_at=Now() - MINUTE), kind="sent"
    ),
    "a queue is paused": lambda operator, _task, _mail: operator.post(
        "/console/queues/default/pause/"
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_noticed_once(operator, task, mail, change):
    task("done", queued_at=Now() - MINUTE / 2, finished_at=Now() - MINUTE / 2)
    mail(queued_at=Now() - MINUTE / 2)
    before = work_version()
    assert work_version() == before

    change(operator, task, mail)

    after = work_version()
    assert after != before
    assert work_version() == after


@pytest.mark.parametrize("path", ["tasks/", "emails/", "workers/"])
def test_a_refresh_gets_the_content_alone(viewer, task, path):
    page = viewer.get(f"/console/{path}", headers={"HX-Request": "true"}).text
    whole = viewer.get(f"/console/{path}").text

    assert 'id="work"' in page
    assert "<html" not in page
    assert "<html" in whole
    assert 'hx-trigger="console from:body, every ' in whole


def test_a_refresh_leaves_the_messages_to_the_next_page(operator, task):
    operator.post(f"/console/tasks/{task('failed').pk}/discard/")

    assert "discarded" not in operator.get("/console/tasks/", headers={"HX-Request": "true"}).text
    assert "1 of 1 discarded." in operator.get("/console/tasks/").text


@pytest.mark.parametrize("path", ["content/", "workers/"])
def test_a_refresh_does_not_interrupt_screen_readers(viewer, monkeypatch, path):
    """They read an alert aloud whenever it is put into the page."""
    monkeypatch.setattr(overview, "read_broker", lambda: (None, None))

    page = viewer.get(f"/console/{path}", headers={"HX-Request": "true"}).text

    assert "Redis does not answer" in page
    assert 'role="alert"' not in page


def test_links_of_the_overview_keep_the_focus(viewer, mail):
    """HTMX finds the focused element again by its id."""
    mail("sent", provider="smtp")

    links = re.findall(r"<a [^>]*>", viewer.get("/console/content/").text)

    assert len(links) > 2
    assert [link for link in links if " id=" not in link] == []


def test_later_pages_of_a_list_stay_as_they_are(viewer, task, monkeypatch):
    monkeypatch.setattr("durable.console.work.PER_PAGE", 1)
    for _ in range(2):
        task("done")

    assert "data-refresh" not in viewer.get("/console/tasks/?page=2").text


if connection.vendor == "sqlite":  # PostgreSQL reads a small table whole

    def test_it_reads_the_ends_of_indexes():
        with CaptureQueriesContext(connection) as queries:
            work_version()

        # SQLite cannot use the partial indexes of the few rows that run.
        plans = [plan_of(query) for query in queries if "lease_until" not in query["sql"]]
        assert len(plans) == 6
        assert [plan for plan in plans if "TEMP B-TREE" in plan] == []
