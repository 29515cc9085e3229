"""Functions for the pages: import a file, request a report, cancel."""

from datetime import date

from django.core.files.uploadedfile import UploadedFile
from django.db import transaction

from apps.reports.models import Job, Report, Upload
from apps.reports.records import save_chunks
from apps.reports.tasks import start_import, start_report
from apps.users.models import User


def import_file(user: User, file: UploadedFile) -> Upload:
    """Save a file and start its import, in one transaction."""
    with transaction.atomic():
        upload = Upload.objects.create(user=user, name=str(file.name), size=file.size or 0)
        save_chunks(upload, file)
        start_import(upload)
    return upload


def request_report(user: User, since: date, until: date) -> Report:
    """Save a report on the days from `since` to `until`, inclusive, and start building it."""
    with transaction.atomic():
        report = Report.objects.create(user=user, since=since, until=until)
        start_report(report)
    return report


def cancel(job: Job) -> bool:
    """Cancel a job; return False if it has ended already.

    Imported sales stay. A batch that is being saved is saved completely or not at all.
    """
    with transaction.atomic():
        canceled = type(job).objects.filter(pk=job.pk).finish(job.State.CANCELED)
        if canceled:
            job.delete_content()
    return canceled
