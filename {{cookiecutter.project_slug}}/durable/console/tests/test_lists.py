"""Filters of the lists, and what a page costs."""

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from durable.console import states, work
from durable.console.changes import work_version
from durable.testing.plans import plan_of, without_end

UNKNOWN = "5f322169-4680-4242-b603-d8a592e58a19"  # the key of no row

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    "state", ["queued", "scheduled", "retrying", "running", "done", "failed", "canceled"]
)
def test_each_state_lists_its_tasks_only(viewer, task, state):
    wanted = task(state)
    others = [task(other) for other in states.TASK_STATES if other not in {"", state}]

    page = viewer.get(f"/console/tasks/?state={state}").text

    assert str(wanted.pk) in page
    assert not [other for other in others if str(other.pk) in page]
    assert f'<span class="tag {state}">{state}</span>' in page


def test_all_tasks_are_listed_newest_first(viewer, task):
    old, new = task("done", queued_at=Now() - HOUR), task("queued")

    page = viewer.get("/console/tasks/").text

    assert 0 < page.index(str(new.pk)) < page.index(str(old.pk))


@pytest.mark.parametrize("status", [*states.EMAIL_STATES][1:])
def test_each_state_lists_its_mails_only(viewer, mail, status):
    rows = {
        name: mail("queued" if name == "retrying" else name, attempts=int(name == "retrying"))
        for name in [*states.EMAIL_STATES][1:]
    }

    page = viewer.get(f"/console/emails/?state={status}").text

    assert [name for name, row in rows.items() if str(row.pk) in page] == [status]


@pytest.mark.parametrize(
    "query",
    [
        "name=tests.durable_link",
        "queue=emails",
        "correlation_id=abc",
        "error=KeyError&state=failed",
        "error=KeyError",
        "since=2020-01-01T10:00&until=2020-01-02T10:00",
        "since=2020-01-01T10:00&until=2020-01-02T10:00&state=failed",
        "correlation_id=abc&state=failed",
    ],
)
def test_a_filter_finds_what_matches(viewer, task, query):
    other = task("failed")
    wanted = task(
        "failed",
        name="tests.durable_link",
        queue="emails",
        correlation_id="abc",
        error_type="KeyError",
        queued_at="2020-01-01T12:00Z",
        finished_at="2020-01-01T12:00Z",
    )

    page = viewer.get(f"/console/tasks/?{query}").text

    assert str(wanted.pk) in page
    assert str(other.pk) not in page


@pytest.mark.parametrize("at", ["2026-03-29T02:30", "2026-10-25T02:30"])
def test_a_time_may_lie_in_the_hour_in_which_clocks_change(viewer, task, settings, at):
    settings.TIME_ZONE = "Europe/Berlin"
    before, after = (task(queued_at=f"{at[:10]}T{hour}:00Z") for hour in ("00", "02"))

    page = viewer.get(f"/console/tasks/?since={at}").text

    assert str(after.pk) in page
    assert str(before.pk) not in page


@pytest.mark.parametrize("query", ["recipient=BOB@", "name=other", "error=refused"])
def test_a_filter_finds_mails(viewer, mail, query):
    other = mail()
    wanted = mail(to="Bob <bob@example.com>", template="other", last_error="SMTP: refused")

    page = viewer.get(f"/console/emails/?{query}").text

    assert str(wanted.pk) in page
    assert str(other.pk) not in page


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("state=lost", 400),
        ("since=yesterday", 400),
        ("since=2999-99-99T10:00", 400),
        ("since=9999-12-31T23:59-01:00", 400),
        ("until=0001-01-01T00:00%2B01:00", 400),
        ("since=2026-02-01T10:00&until=2026-01-01T10:00", 400),
        (f"name={'x' * 300}", 400),
        ("page=two", 400),
        ("page=-1", 400),
        ("page=٢", 400),
        ("page=0", 404),
        ("page=2", 404),
        ("page=99999999999999999999", 404),
    ],
)
@pytest.mark.parametrize("kind", ["tasks", "emails"])
def test_a_query_that_makes_no_sense_gets_a_page(viewer, kind, query, status):
    response = viewer.get(f"/console/{kind}/?{query}")

    assert response.status_code == status
    assert "Open the overview" in response.text


@pytest.mark.parametrize(
    "path",
    [
        f"tasks/{UNKNOWN}/",
        f"emails/{UNKNOWN}/",
        "tasks/not-a-uuid/",
        "emails/1/",
        "nowhere/",
        "audit/?page=2",
        "audit/?page=x",
    ],
)
def test_an_unknown_address_gets_a_page(viewer, path):
    response = viewer.get(f"/console/{path}")

    assert response.status_code == 404
    assert "Open the overview" in response.text


def test_a_list_has_pages(viewer, task, monkeypatch):
    monkeypatch.setattr(work, "PER_PAGE", 2)
    runs = [task("done", finished_at=Now() - age * HOUR) for age in range(3)]

    first = viewer.get("/console/tasks/?state=done").text
    second = viewer.get("/console/tasks/?state=done&page=2").text

    assert [str(run.pk) in first for run in runs] == [True, True, False]
    assert [str(run.pk) in second for run in runs] == [False, False, True]
    assert 'href="?state=done&amp;page=2"' in first
    assert 'rel="next"' not in second


def test_a_filter_without_an_index_looks_through_the_newest_rows_only(viewer, task, monkeypatch):
    monkeypatch.setattr(states, "WINDOW", 2)
    old = task("done", name="tests.rare", finished_at=Now() - HOUR, correlation_id="abc")
    for age in range(3):
        task("done", finished_at=Now() - age * timedelta(seconds=1))

    page = viewer.get("/console/tasks/?state=done&name=tests.rare").text
    by_id = viewer.get("/console/tasks/?state=done&name=tests.rare&correlation_id=abc").text

    assert str(old.pk) not in page
    assert "filters search only these" in page
    assert str(old.pk) in by_id
    assert "filters search only these" not in by_id


def test_no_page_counts_or_compares_all_rows(viewer, task, mail):
    for state in [*states.TASK_STATES][1:]:
        task(state)
    mail("sent", sent_at=Now())

    with CaptureQueriesContext(
        connection,
    ) as queries:
        viewer.get("/console/")
        for state in states.TASK_STATES:
            viewer.get(f"/console/tasks/?state={state}&name=tests.durable&queue=default")
        for state in states.EMAIL_STATES:
            viewer.get(f"/console/emails/?state={state}&recipient=ann")

    assert without_end(queries.captured_queries) == []
    tables = ('FROM "tasks_taskrun"', 'FROM "mail_email"')
    endless = [
        query["sql"]
        for query in queries.captured_queries
        if any(table in query["sql"] for table in tables) and "LIMIT" not in query["sql"]
    ]
    assert endless == []


def queries_of_lists(viewer):
    """Return the queries for tasks and emails of the overview, of each list, and of the check for changes."""
    with CaptureQueriesContext(connection) as queries:
        viewer.get("/console/")
        for state in states.TASK_STATES:
            viewer.get(f"/console/tasks/?state={state}&name=tests.durable")
        for state in states.EMAIL_STATES:
            viewer.get(f"/console/emails/?state={state}&error=refused")
        for kind in ("tasks", "emails"):
            viewer.get(f"/console/{kind}/?correlation_id=abc&state=failed")
            viewer.get(f"/console/{kind}/?since=2026-01-01T00:00&state=failed")
        work_version()
    tables = ('FROM "tasks_taskrun"', 'FROM "mail_email"')
    return [query for query in queries if any(table in query["sql"] for table in tables)]


if connection.vendor == "sqlite":

    def test_an_index_finds_the_rows_of_each_list(viewer):
        found = queries_of_lists(viewer)

        unindexed = [query["sql"] for query in found if "USING" not in plan_of(query)]
        assert len(found) > 20
        assert unindexed == []

else:

    def test_an_index_finds_and_sorts_the_rows_of_each_list(viewer):
        found = queries_of_lists(viewer)

        with (
            connection.cursor() as cursor
        ):  # small tables are read whole, unless it is a last resort
            for way in ("seqscan", "sort", "bitmapscan"):
                cursor.execute(f"SET LOCAL enable_{way} = off")
        plans = [plan_of(query) for query in found]
        assert len(found) > 20
        assert [plan for plan in plans if "Seq Scan" in plan or "Sort" in plan] == []
        by_id = [plan for plan in plans if "abc" in plan]
        assert len(by_id) == 4
        assert [plan for plan in by_id if "_by_correlation_id" not in plan] == []
