from datetime import date, timedelta

import pytest
from celery import signals
from celery.app.task import Context
from celery.exceptions import SoftTimeLimitExceeded
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.db.models.functions import Now

from apps.notifications.models import Notification
from apps.reports import builder, importer, services, tasks
from apps.reports.models import Report, ReportPart, Sale, Upload, UploadChunk
from apps.reports.tasks import build, import_csv, purge_old
from durable.api import FailedTask, TaskRun, cancel, get_progress, replay
from durable.testing.plans import plan_of
from durable.testing.workers import wait_until

HEADER = "external_id,sold_on,product,quantity,amount\n"
DAY = timedelta(days=1)
NEW_YEAR = date(2024, 1, 1)


@pytest.fixture
def user(django_user_model):
    return django_user_model.objects.create_user("ann@example.com")


@pytest.fixture
def upload_sales(user):
    """Upload a file with a number of sales."""

    def upload_sales(count):
        lines = (f"s{number},2024-01-{number % 28 + 1:02},Pen,1,2.50\n" for number in range(count))
        content = (HEADER + "".join(lines)).encode()
        return services.import_file(user, SimpleUploadedFile("sales.csv", content))

    return upload_sales


def percentages(job):
    """Return the percentages of a job until it is done."""
    seen = []

    def is_done():
        job.refresh_from_db()
        seen.append(job.percent)
        return job.state == "done"

    wait_until(is_done)
    assert seen == sorted(seen)
    return seen


def state_of(job):
    job.refresh_from_db()
    return job.state


def position_of(upload):
    upload.refresh_from_db()
    return upload.position


@pytest.mark.django_db
def test_an_import_continues_in_another_run_after_the_soft_time_limit(upload_sales, monkeypatch):
    monkeypatch.setattr(importer, "BATCH_SIZE", 3)
    upload = upload_sales(10)
    insert_new, batches = importer.insert_new, []

    def reach_limit(sales, upload):
        batches.append(sales)
        if len(batches) == 2:
            raise SoftTimeLimitExceeded
        return insert_new(sales, upload)

    monkeypatch.setattr(importer, "insert_new", reach_limit)

    import_csv(str(upload.pk))

    assert Sale.objects.count() == 3
    again = TaskRun.objects.exclude(pk=upload.pk).get()
    assert (again.name, again.args) == (import_csv.name, [str(upload.pk)])
    assert again.options["time_limit"] == 360

    import_csv(*again.args)

    upload.refresh_from_db()
    assert (upload.state, upload.imported, upload.skipped) == ("done", 10, 0)


@pytest.mark.django_db
def test_starting_an_import_twice_publishes_one_task(upload_sales):
    upload = upload_sales(1)

    tasks.start_import(upload)

    assert TaskRun.objects.get().pk == upload.pk


@pytest.mark.django_db
@pytest.mark.parametrize("task", [import_csv, build], ids=lambda task: task.name)
def test_a_job_fails_with_its_task_and_continues_when_it_is_replayed(upload_sales, user, task):
    job = (
        upload_sales(1) if task is import_csv else services.request_report(user, NEW_YEAR, NEW_YEAR)
    )
    type(job).objects.start(job.pk)
    failed = TaskRun.objects.get()
    failed.status = "failed"
    failed.save()

    for _ in range(2):
        tasks.fail_job(sender=task, task_id=str(job.pk))

    assert state_of(job) == "failed"
    notification = Notification.objects.get()
    assert (notification.user, notification.url) == (user, job.get_absolute_url())
    assert (
        notification.title
        == f"Your {'upload' if task is import_csv else 'report'} {job} has failed"
    )
    assert type(job).objects.start(replay(failed).args[0]) == job


@pytest.mark.django_db
def test_a_failed_report_for_staff_notifies_no_user():
    report = builder.weekly_report(NEW_YEAR)
    tasks.start_report(report)
    TaskRun.objects.update(status="failed")

    tasks.fail_job(sender=build, task_id=str(report.pk))

    assert state_of(report) == "failed"
    assert not Notification.objects.exists()


@pytest.mark.django_db
def test_a_job_fails_if_its_task_is_revoked(upload_sales):
    upload = upload_sales(1)
    assert cancel(str(upload.pk))

    signals.task_revoked.send(
        sender=import_csv, request=Context(id=str(upload.pk)), terminated=False, expired=False
    )

    assert state_of(upload) == "failed"


@pytest.mark.django_db
def test_a_job_does_not_fail_if_its_task_is_done(upload_sales):
    upload = upload_sales(1)
    TaskRun.objects.update(status="done")

    tasks.fail_job(sender=import_csv, task_id=str(upload.pk))

    assert state_of(upload) == "waiting"


@pytest.mark.django_db
def test_the_purge_deletes_expired_files_and_old_jobs(upload_sales, user):
    past, future = Now() - DAY, Now() + DAY
    old = Now() - tasks.RETENTION - DAY

    def report(**times):
        report = Report.objects.create(
            user=user, since=NEW_YEAR, until=NEW_YEAR, state="done", **times
        )
        ReportPart.objects.create(
            report=report, number=0, since=report.since, until=report.until, content="x"
        )
        return report

    expired, available = report(expires_at=past), report(expires_at=future)
    report(expires_at=None, finished_at=old)
    young, ancient = upload_sales(1), upload_sales(1)
    Upload.objects.filter(pk=ancient.pk).update(finished_at=old, state="failed")
    Sale.objects.create(
        external_id="a", sold_on="2024-01-01", quantity=1, amount=1, source=ancient.pk
    )

    assert [purge_old(), purge_old()] == [3, 0]

    assert set(Report.objects.all()) == {expired, available}
    assert ReportPart.objects.get().report == available
    assert Upload.objects.get() == young
    assert UploadChunk.objects.get().upload == young
    assert Sale.objects.exists()


@pytest.mark.django_db
def test_the_purge_does_not_read_whole_tables(user, django_assert_num_queries):
    days = {"since": NEW_YEAR, "until": NEW_YEAR}
    Report.objects.bulk_create(Report(user=user, **days) for _ in range(500))
    Upload.objects.bulk_create(Upload(user=user, size=1) for _ in range(500))
    with connection.cursor() as cursor:
        for model in (Report, Upload):
            cursor.execute(f"ANALYZE {model._meta.db_table}")

    with django_assert_num_queries(4) as queries:
        purge_old()

    parts, expired, uploads, reports = map(plan_of, queries)
    assert "reports_reports_to_expire" in parts
    assert "reports_reports_to_expire" in expired
    assert "reports_uploads_by_end" in uploads
    assert "reports_reports_by_end" in reports


@pytest.mark.django_db(transaction=True)
def test_a_worker_imports_sales_and_builds_a_report(worker, upload_sales, user):
    upload = upload_sales(2_000)
    assert percentages(upload)[-1] == 100
    # The cache is written after the rows.
    wait_until(lambda: get_progress(str(upload.pk)).percent == 100)
    assert upload.imported == 2_000

    report = services.request_report(user, NEW_YEAR, NEW_YEAR + 27 * DAY)

    assert percentages(report)[-1] == 100
    wait_until(lambda: get_progress(str(report.pk)).percent == 100)
    assert (report.parts.count(), report.rows) == (4, 28)


@pytest.mark.django_db(transaction=True)
def test_a_running_import_can_be_canceled(worker, upload_sales):
    upload = upload_sales(20_000)
    wait_until(lambda: position_of(upload))

    assert services.cancel(upload)

    upload.refresh_from_db()
    saved = Sale.objects.count()
    wait_until(lambda: TaskRun.objects.get(pk=upload.pk).status == "done")
    upload.refresh_from_db()
    assert Sale.objects.count() == upload.imported == saved < 20_000
    assert upload.state == "canceled"


@pytest.mark.django_db(transaction=True)
def test_a_failed_import_continues_when_its_task_is_replayed(worker, upload_sales):
    with transaction.atomic():
        upload = upload_sales(3)
        Upload.objects.update(bad_lines=0)  # so that saving a batch fails
    wait_until(lambda: state_of(upload) == "failed")

    Upload.objects.update(bad_lines=[])
    replay(FailedTask.objects.get(pk=upload.pk))

    wait_until(lambda: state_of(upload) == "done")
    assert upload.imported == Sale.objects.count() == 3
