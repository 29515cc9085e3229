"""Durable: an import, a report and the weekly mail, since somebody waits for them.

Plain: the parts of a report, since `reports.build` looks after them, and the purge, which comes again.
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
from apps.reports import building, importing
from apps.reports.models import Job, JobQuerySet, Report, ReportPart, Upload
from durable.api import DurableTask, FailedTask, Task, close_connections, row_id

logger = structlog.get_logger(__name__)

# Seconds. A long import is several runs, so that one whose machine is gone is found after minutes:
# a row belongs to its worker for as long as the task may run.
RUN: dict[str, Any] = {"soft_time_limit": 5 * 60, "time_limit": 6 * 60}
FIRST_LOOK = 60  # seconds until somebody looks whether a report is there; then doubled each time
LONGEST_PAUSE = 15 * 60  # seconds
GIVE_UP_AFTER = timedelta(hours=3)
RETENTION = timedelta(days=30)  # of what has ended
DELETED_AT_ONCE = 100  # jobs; each has about 50 pieces at the most


class PartsMissingError(Exception):
    """A report is not complete yet."""


@shared_task(base=DurableTask, name="reports.import_csv")
def import_csv(upload_id: str) -> None:
    """Import what is left of an upload; when the time is up, another run goes on."""
    try:
        importing.run(upload_id)
    except SoftTimeLimitExceeded:
        logger.info("import_goes_on", upload=upload_id)
        close_connections()  # it may have come in the middle of a statement
        import_csv.apply_async((upload_id,), **RUN)


def start_import(upload: Upload) -> None:
    """Publish the import of an upload in the transaction that is open; a second time does nothing."""
    import_csv.apply_async((str(upload.pk),), task_id=str(upload.pk), **RUN)


@shared_task(base=DurableTask, name="reports.build", bind=True)
def build(self: Task, report_id: str) -> None:
    """Start the parts of a report that are missing, and look again later whether they are there.

    A chord lives in the broker: one that was lost is found here, and what it has done is kept.
    """
    report = building.begin(report_id)
    if report is None or building.finish(report_id):
        return
    missing = list(report.parts.filter(finished_at=None).values_list("pk", flat=True))
    error = PartsMissingError(f"{len(missing)} parts are missing")
    if report.started_at and timezone.now() - report.started_at > GIVE_UP_AFTER:
        raise error
    start_parts(report_id, missing)
    pause = min(FIRST_LOOK * 2**self.request.retries, LONGEST_PAUSE)
    raise self.retry(countdown=pause, exc=error, max_retries=None)


def start_parts(report_id: str, parts: list[int]) -> None:
    """Let workers build parts side by side, and the last one call `finish`."""
    chord(build_part.si(part) for part in parts)(finish.si(report_id))


def start_report(report: Report) -> None:
    """Publish the building of a report, as `start_import` does."""
    build.apply_async((str(report.pk),), task_id=str(report.pk))


# A chord asks for the state of its parts.
@shared_task(base=Task, name="reports.build_part", ignore_result=False)
def build_part(part_id: int) -> None:
    """Build some days of a report."""
    building.build_part(part_id)


@shared_task(base=Task, name="reports.finish")
def finish(report_id: str) -> None:
    """Hand over a report whose parts are all there."""
    building.finish(report_id)


@shared_task(base=DurableTask, name="reports.send_weekly_report")
def send_weekly_report() -> None:
    """Build last week's report, which is mailed to the staff when it is there."""
    with transaction.atomic():
        start_report(building.weekly_report(timezone.localdate()))


@shared_task(base=Task, name="reports.purge_old")
def purge_old() -> int:
    """Drop the files of reports that have expired, and forget jobs that ended RETENTION ago.

    Returns:
        how many jobs were touched.
    """
    try:
        return drop_expired() + forget_old(Upload) + forget_old(Report)
    except SoftTimeLimitExceeded:
        logger.info("reports_purge_goes_on_later")
        return 0


def drop_expired() -> int:
    """Delete the parts of reports whose time is over; return how many reports these were."""
    expired = Report.objects.filter(expires_at__lt=Now()).order_by("expires_at")
    dropped = 0
    while pks := list(expired.values_list("pk", flat=True)[:DELETED_AT_ONCE]):
        with transaction.atomic():
            ReportPart.objects.filter(report__in=pks).delete()
            Report.objects.filter(pk__in=pks).update(expires_at=None)
        dropped += len(pks)
    return dropped


def forget_old(model: type[Upload | Report]) -> int:
    """Delete jobs that have ended, with all that hangs on them; the sales stay."""
    old = model.objects.filter(finished_at__lt=Now() - RETENTION).order_by("finished_at")
    deleted = 0
    while pks := list(old.values_list("pk", flat=True)[:DELETED_AT_ONCE]):
        model.objects.filter(pk__in=pks).delete()
        deleted += len(pks)
    return deleted


@signals.task_revoked.connect
def note_revoked(*, sender: Task, request: Any, **_: object) -> None:
    """Do the same where somebody has revoked the task."""
    note_failure(sender=sender, task_id=request.id)


@signals.task_failure.connect
def note_failure(*, sender: Task, task_id: str, **_: object) -> None:
    """Let whoever waits see that a job has failed; who runs its task again lets it go on."""
    model = {import_csv.name: Upload, build.name: Report}.get(sender.name)
    if model is None:
        return
    try:
        # One that has been run again decides no longer, though a message of it may still come.
        last = FailedTask.objects.filter(pk=row_id(task_id), replayed_as=None).first()
        if last:
            fail(model.objects.filter(pk=last.args[0]))
    finally:
        close_connections()


@transaction.atomic
def fail(jobs: JobQuerySet[Any]) -> None:
    """Let a job fail without its user's fault, and tell them once; the staff see the task itself."""
    if jobs.end(Job.State.FAILED):
        job = jobs.select_related("user").get()
        if job.user:
            title = f"Your {job._meta.verbose_name} {job} has failed"
            notify(job.user, "reports", title, "Its page says more.", job.get_absolute_url())
