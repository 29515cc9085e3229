"""`import_csv`, `build` and `send_weekly_report` are durable, since users wait for their results.

`build_part` and `finish` are plain: `build` checks on them. So is `purge_old`: the next run deletes what a lost one has left.
"""

from datetime import timedelta
from typing import Any

import structlog
from celery import chord, shared_task, signals
from celery.exceptions import SoftTimeLimitExceeded
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from apps.notifications.services import notify
from apps.reports import builder, importer
from apps.reports.models import Job, JobQuerySet, Report, ReportPart, Upload
from durable.api import DurableTask, FailedTask, Task, close_connections, purge, row_id

logger = structlog.get_logger(__name__)

# Seconds. A long import takes several runs: the lease of a run lasts as long as its time limit, so
# after the loss of a machine another worker continues within minutes.
RUN_LIMITS: dict[str, Any] = {"soft_time_limit": 5 * 60, "time_limit": 6 * 60}
INITIAL_CHECK_DELAY = 60  # seconds until `build` checks on the parts; doubled after each check
MAX_CHECK_DELAY = 15 * 60  # seconds
BUILD_TIMEOUT = timedelta(hours=3)
RETENTION = timedelta(days=30)  # of jobs that have ended


class PartsMissingError(Exception):
    """A report is not complete yet."""


@shared_task(base=DurableTask, name="reports.import_csv")
def import_csv(upload_id: str) -> None:
    """Import the rest of an upload; at the soft time limit, publish another run."""
    try:
        importer.run(upload_id)
    except SoftTimeLimitExceeded:
        logger.info("import_continued", upload=upload_id)
        close_connections()  # the limit may have interrupted a statement
        import_csv.apply_async((upload_id,), **RUN_LIMITS)


def start_import(upload: Upload) -> None:
    """Publish the import of an upload after the current transaction; a second call does nothing."""
    import_csv.apply_async((str(upload.pk),), task_id=str(upload.pk), **RUN_LIMITS)


@shared_task(base=DurableTask, name="reports.build", bind=True)
def build(self: Task, report_id: str) -> None:
    """Start the missing parts of a report, and check later whether it is complete.

    A chord is not durable: if its messages are lost, the next check starts the missing parts again.
    """
    report = builder.start(report_id)
    if report is None or builder.finish(report_id):
        return
    missing = list(report.parts.filter(finished_at=None).values_list("pk", flat=True))
    error = PartsMissingError(f"{len(missing)} parts are missing")
    if report.started_at and timezone.now() - report.started_at > BUILD_TIMEOUT:
        raise error
    start_parts(report_id, missing)
    delay = min(INITIAL_CHECK_DELAY * 2**self.request.retries, MAX_CHECK_DELAY)
    raise self.retry(countdown=delay, exc=error, max_retries=None)


def start_parts(report_id: str, parts: list[int]) -> None:
    """Publish parts to be built in parallel, with `finish` after the last one."""
    chord(build_part.si(part) for part in parts)(finish.si(report_id))


def start_report(report: Report) -> None:
    """Publish `build` after the current transaction; a second call does nothing."""
    build.apply_async((str(report.pk),), task_id=str(report.pk))


# A chord needs the results of its tasks.
@shared_task(base=Task, name="reports.build_part", ignore_result=False)
def build_part(part_id: int) -> None:
    """Build some days of a report."""
    builder.build_part(part_id)


@shared_task(base=Task, name="reports.finish")
def finish(report_id: str) -> None:
    """Deliver a report if it is complete."""
    builder.finish(report_id)


@shared_task(base=DurableTask, name="reports.send_weekly_report")
def send_weekly_report() -> None:
    """Build last week's report, which is then emailed to the staff."""
    with transaction.atomic():
        start_report(builder.weekly_report(timezone.localdate()))


@shared_task(base=Task, name="reports.purge_old")
def purge_old() -> int:
    """Delete the files of expired reports, and jobs that ended RETENTION ago; return how many rows."""
    return delete_expired_files() + sum(
        purge(model.objects.filter(finished_at__lt=Now() - RETENTION).order_by("finished_at"))
        for model in (Upload, Report)
    )


def delete_expired_files() -> int:
    """Delete the parts of expired reports; return how many."""
    expired = Report.objects.filter(expires_at__lt=timezone.now())
    deleted = purge(ReportPart.objects.filter(report__in=expired))
    expired.filter(parts=None).update(expires_at=None)
    return deleted


@signals.task_revoked.connect
def fail_revoked_job(*, sender: Task, request: Any, **_: object) -> None:
    """Fail the job of a revoked task."""
    fail_job(sender=sender, task_id=request.id)


@signals.task_failure.connect
def fail_job(*, sender: Task, task_id: str, **_: object) -> None:
    """Fail the job of a task that has failed finally. Replaying the task continues the job."""
    model = {import_csv.name: Upload, build.name: Report}.get(sender.name)
    if model is None:
        return
    try:
        # A message of a task that was replayed may still arrive, but must not fail the job.
        failed = FailedTask.objects.filter(pk=row_id(task_id), replayed_as=None).first()
        if failed:
            fail(model.objects.filter(pk=failed.args[0]))
    finally:
        close_connections()


@transaction.atomic
def fail(jobs: JobQuerySet[Any]) -> None:
    """Fail a job by an internal error, and notify its user once. Staff see the failed task."""
    if jobs.finish(Job.State.FAILED):
        job = jobs.select_related("user").get()
        if job.user:
            title = f"Your {job._meta.verbose_name} {job} has failed"
            notify(job.user, "reports", title, "See its page.", job.get_absolute_url())
