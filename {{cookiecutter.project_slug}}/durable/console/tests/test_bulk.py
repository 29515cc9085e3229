"""Actions on many rows work in the background, page by page."""

import pytest

from durable.console import bulk, work
from durable.console.models import AuditEntry, BulkJob
from durable.tasks.models import TaskRun
from durable.testing.workers import wait_until
from durable.tests import probes

pytestmark = pytest.mark.django_db
assert probes  # the tasks of the rows
QUERY = "state=failed&name=tests.durable"


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch, redis_server):
    monkeypatch.setattr(work, "MAX_BULK", 2)
    monkeypatch.setattr(bulk, "PAGE", 2)


def post(client, **fields):
    return client.post("/console/tasks/bulk/", fields, follow=True)


def start(client, action="replay", total="5"):
    """Confirm an action; return its page and its job."""
    page = post(client, action=action, query=QUERY, total=total)
    return page, BulkJob.objects.get()


def finish(job):
    """Work through all pages, as the worker does; return the job."""
    while bulk.work_through_page(str(job.pk)):
        pass
    job.refresh_from_db()
    return job


def replays():
    return TaskRun.objects.exclude(replay_of=None).count()


def test_many_rows_are_counted_first_and_change_in_the_background(operator, task):
    rows = [task("failed") for _ in range(5)]
    task("failed", name="tests.idle")

    asked = post(operator, action="replay", all="1", query=QUERY)
    assert "Replay 5 tasks?" in asked.text
    assert 'name="total" value="5"' in asked.text
    assert (replays(), BulkJob.objects.count()) == (0, 0)
    page, job = start(operator)

    assert page.redirect_chain[-1][0] == f"/console/jobs/{job.pk}/"
    assert "0 of 5, 0 changed." in page.text
    assert f'hx-get="/console/jobs/{job.pk}/"' in page.text
    assert bulk.work_through_page(str(job.pk))
    assert replays() == 2

    assert finish(job).done == 5
    assert replays() == len(rows)
    part = operator.get(f"/console/jobs/{job.pk}/", headers={"HX-Request": "true"}).text
    assert "5 of 5, 5 changed." in part
    assert "hx-get" not in part
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.target, entry.count, entry.user) == (
        "replay",
        "5 tasks",
        5,
        operator.user,
    )
    assert f'href="/console/jobs/{job.pk}/"' in operator.get("/console/audit/").text


def test_a_job_changes_no_more_rows_than_were_confirmed(operator, task):
    for _ in range(5):
        task("failed")
    _page, job = start(operator, action="discard", total="3")
    task("failed")

    assert finish(job).done == 3
    assert TaskRun.objects.filter(status="failed").count() == 3


def test_two_jobs_change_each_row_once(operator, task):
    for _ in range(5):
        task("failed")
    _page, first = start(operator)
    finish(first)

    post(operator, action="replay", query=QUERY, total="5")
    second = finish(BulkJob.objects.exclude(pk=first.pk).get())

    assert replays() == 5
    assert (second.done, second.entry.count) == (5, 0)
    assert "0 changed. The others" in " ".join(
        operator.get(f"/console/jobs/{second.pk}/").text.split()
    ).replace(" The others", " The others")


def test_a_page_that_fails_changes_nothing_and_is_repeated(operator, task, monkeypatch):
    for _ in range(3):
        task("failed")
    _page, job = start(operator, total="3")
    with monkeypatch.context() as patch:
        patch.setattr(BulkJob, "save", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            bulk.work_through_page(str(job.pk))
    assert (replays(), AuditEntry.objects.get().count) == (0, 0)

    finish(job)

    assert (replays(), AuditEntry.objects.get().count) == (3, 3)


def test_a_long_job_gives_other_tasks_a_turn(operator, task, monkeypatch):
    for _ in range(5):
        task("failed")
    _page, job = start(operator)
    monkeypatch.setattr(bulk, "MAX_DURATION", -1.0)
    before = TaskRun.objects.filter(name=bulk.work_through.name).count()

    bulk.work_through(str(job.pk))

    job.refresh_from_db()
    assert job.done == 2
    assert TaskRun.objects.filter(name=bulk.work_through.name).count() == before + 1


def test_reasons_are_shown(operator, task):
    for _ in range(3):
        task("failed", name="gone.task")
    post(operator, action="replay", query="state=failed&name=gone.task", total="3")

    job = finish(BulkJob.objects.get())

    assert "there is no task of this name" in operator.get(f"/console/jobs/{job.pk}/").text


def test_a_job_needs_the_permission_of_its_action(login, viewer, task):
    task("failed")
    client = login("view_console", "cancel_work")

    assert post(client, action="replay", query=QUERY, total="1").status_code == 403
    assert not BulkJob.objects.exists()
    unknown = "/console/jobs/5f322169-4680-4242-b603-d8a592e58a19/"
    assert viewer.get(unknown).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_a_worker_works_through_a_job(worker, operator, task):
    for number in range(5):
        task("failed", args=[str(number)])

    _page, job = start(operator)

    wait_until(lambda: BulkJob.objects.exclude(ended_at=None).exists())
    wait_until(lambda: TaskRun.objects.filter(status="done").count() == 6)  # one is the job's own
    assert replays() == 5
    assert BulkJob.objects.get(pk=job.pk).entry.count == 5
