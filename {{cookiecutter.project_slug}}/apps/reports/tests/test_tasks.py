from datetime import date, timedelta

import pytest
from celery import signals
from celery.app.task import Context
from celery.exceptions import SoftTimeLimitExceeded
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.db.models.functions import Now

from apps.notifications.models import Notification
from apps.reports import building, importing, services, tasks
from apps.reports.models import Report, ReportPart, Sale, Upload, UploadChunk
from apps.reports.tasks import build, import_csv, purge_old
from durable.tasks import enqueue
from durable.tasks.failures import replay
from durable.tasks.models import FailedTask, TaskRun
from durable.tasks.progress import get_progress
from durable.tasks.tasks import requeue_stuck_runs
from durable.testing.plans import plan_of
from durable.testing.workers import wait_until

HEADER = "external_id,sold_on,product,quantity,amount\n"
DAY = timedelta(days=1)
NEW_YEAR = date(2024, 1, 1)


@pytest.fixture
def user(django_user_model):
    return django_user_model.objects.create_user("ann@example.com")


@pytest.fixture
def bring(user):
    def bring(count):
        lines = (f"s{number},2024-01-{number % 28 + 1:02},Pen,1,2.50\n" for number in range(count))
        content = (HEADER + "".join(lines)).encode()
        return services.import_file(user, SimpleUploadedFile("sales.csv", content))

    return bring


def percents(job):
    """Return how far a job was, seen again and again until it was done."""
    seen = []

    def is_done():
        job.refresh_from_db()
        seen.append(job.percent)
        return job.state == "done"

    wait_until(is_done)
    assert seen == sorted(seen)
    return seen


def states(job):
    """Return a function that tells a job's state."""

    def state():
        job.refresh_from_db()
        return job.state

    return state


def has_begun(upload):
    def condition():
        upload.refresh_from_db()
        return upload.position

    return condition


@pytest.mark.django_db
def test_an_import_whose_time_is_up_goes_on_in_another_run(bring, monkeypatch):
    monkeypatch.setattr(importing, "LINES_AT_ONCE", 3)
    upload = bring(10)
    insert, steps = importing.insert, []

    def run_out_of_time(sales, upload):
        steps.append(sales)
        if len(steps) == 2:
            raise SoftTimeLimitExceeded
        return insert(sales, upload)

    monkeypatch.setattr(importing, "insert", run_out_of_time)

    import_csv(str(upload.pk))

    assert Sale.objects.count() == 3
    again = TaskRun.objects.exclude(pk=upload.pk).get()
    assert (again.name, again.args) == (import_csv.name, [str(upload.pk)])
    assert again.options["time_limit"] == 360

    import_csv(*again.args)

    upload.refresh_from_db()
    assert (upload.state, upload.imported, upload.skipped) == ("done", 10, 0)


@pytest.mark.django_db
def test_an_import_is_published_once_however_often_that_is_said(bring):
    upload = bring(1)

    tasks.start_import(upload)

    assert TaskRun.objects.get().pk == upload.pk


@pytest.mark.django_db
@pytest.mark.parametrize("task", [import_csv, build], ids=lambda task: task.name)
def test_a_job_whose_task_fails_for_good_says_so_and_goes_on_when_it_is_run_again(
    bring, user, task
):
    job = (
        bring(1) if task is import_csv else services.order_report(user, "2024-01-01", "2024-01-01")
    )
    type(job).objects.begin(job.pk)
    failed = TaskRun.objects.get()
    failed.status = "failed"
    failed.save()

    for _ in range(2):
        tasks.note_failure(sender=task, task_id=str(job.pk))

    assert states(job)() == "failed"
    told = Notification.objects.get()
    assert (told.user, told.url) == (user, job.get_absolute_url())
    assert told.title == f"Your {'upload' if task is import_csv else 'report'} {job} has failed"
    assert type(job).objects.begin(replay(failed).args[0]) == job


@pytest.mark.django_db
def test_a_report_for_the_staff_fails_without_telling_a_user():
    report = building.weekly_report(NEW_YEAR)
    tasks.start_report(report)
    TaskRun.objects.update(status="failed")

    tasks.note_failure(sender=build, task_id=str(report.pk))

    assert states(report)() == "failed"
    assert not Notification.objects.exists()


@pytest.mark.django_db
def test_a_job_whose_task_was_revoked_says_so(bring):
    upload = bring(1)
    assert enqueue.cancel(str(upload.pk))

    signals.task_revoked.send(
        sender=import_csv, request=Context(id=str(upload.pk)), terminated=False, expired=False
    )

    assert states(upload)() == "failed"


@pytest.mark.django_db
def test_a_run_that_came_too_late_lets_nothing_fail(bring):
    upload = bring(1)
    TaskRun.objects.update(status="done")

    tasks.note_failure(sender=import_csv, task_id=str(upload.pk))

    assert states(upload)() == "waiting"


@pytest.mark.django_db
def test_what_has_expired_and_what_is_old_leaves_and_all_else_stays(bring, user):
    past, future = Now() - DAY, Now() + DAY
    old = Now() - tasks.RETENTION - DAY

    def report(**times):
        report = Report.objects.create(
            user=user, since="2024-01-01", until="2024-01-01", state="done", **times
        )
        ReportPart.objects.create(
            report=report, number=0, since=report.since, until=report.until, content="kept"
        )
        return report

    expired, kept = report(expires_at=past), report(expires_at=future)
    report(expires_at=None, finished_at=old)
    young, ancient = bring(1), bring(1)
    Upload.objects.filter(pk=ancient.pk).update(finished_at=old, state="failed")
    Sale.objects.create(
        external_id="a", sold_on="2024-01-01", quantity=1, amount=1, source=ancient.pk
    )

    assert [purge_old(), purge_old()] == [3, 0]

    assert set(Report.objects.all()) == {expired, kept}
    assert ReportPart.objects.get().report == kept
    assert Upload.objects.get() == young
    assert UploadChunk.objects.get().upload == young
    assert Sale.objects.exists()


@pytest.mark.django_db
def test_many_leave_in_batches(bring, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(tasks, "DELETED_AT_ONCE", 2)
    for _ in range(5):
        bring(0)
    Upload.objects.update(finished_at=Now() - tasks.RETENTION - DAY)

    with django_assert_num_queries(4 + 3 * 3):  # looks; uploads read, chunks and uploads deleted
        assert tasks.forget_old(Upload) == 5


@pytest.mark.django_db
def test_the_purge_does_not_read_whole_tables(user, django_assert_num_queries):
    days = {"since": NEW_YEAR, "until": NEW_YEAR}
    Report.objects.bulk_create(Report(user=user, **days) for _ in range(500))
    Upload.objects.bulk_create(Upload(user=user, size=1) for _ in range(500))
    with connection.cursor() as cursor:
        for model in (Report, Upload):
            cursor.execute(f"ANALYZE {model._meta.db_table}")

    with django_assert_num_queries(3) as queries:
        purge_old()

    expired, uploads, reports = map(plan_of, queries)
    assert "reports_reports_to_expire" in expired
    assert "reports_uploads_by_end" in uploads
    assert "reports_reports_by_end" in reports


@pytest.mark.django_db(transaction=True)
def test_a_worker_builds_a_report_from_its_parts(worker, bring, user):
    upload = bring(2_000)
    assert percents(upload)[-1] == 100
    # The cache hears of it once the rows are saved.
    wait_until(lambda: get_progress(str(upload.pk)).percent == 100)
    assert upload.imported == 2_000

    report = services.order_report(user, NEW_YEAR, NEW_YEAR + 27 * DAY)

    assert percents(report)[-1] == 100
    wait_until(lambda: get_progress(str(report.pk)).percent == 100)
    assert (report.parts.count(), report.rows) == (4, 28)


@pytest.mark.django_db(transaction=True)
def test_a_running_import_is_canceled(worker, bring):
    upload = bring(20_000)
    wait_until(has_begun(upload))

    assert services.cancel(upload)

    upload.refresh_from_db()
    kept = Sale.objects.count()
    wait_until(lambda: TaskRun.objects.get(pk=upload.pk).status == "done")
    upload.refresh_from_db()
    assert Sale.objects.count() == upload.imported == kept < 20_000
    assert upload.state == "canceled"


@pytest.mark.django_db(transaction=True)
def test_an_import_that_fails_for_good_goes_on_when_its_task_is_run_again(worker, bring):
    with transaction.atomic():
        upload = bring(3)
        Upload.objects.update(bad_lines=0)  # what no step can add to
    wait_until(lambda: states(upload)() == "failed")

    Upload.objects.update(bad_lines=[])
    replay(FailedTask.objects.get())

    wait_until(lambda: states(upload)() == "done")
    assert upload.imported == Sale.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_an_import_whose_worker_was_killed_is_finished_with_every_line_once(worker, bring):
    upload = bring(10_000)
    wait_until(has_begun(upload))
    worker.kill()
    upload.refresh_from_db()
    assert 0 < upload.imported < 10_000
    worker.wait()

    # Its row belongs to the dead worker for six minutes.
    TaskRun.objects.update(lease_until=Now() - DAY)
    assert requeue_stuck_runs() == 1

    wait_until(lambda: states(upload)() == "done")
    assert (upload.imported, upload.skipped, upload.bad) == (10_000, 0, 0)
    assert Sale.objects.count() == 10_000
