"""What people ask for: an import, a report, and that it stops."""

from datetime import date

from django.core.files.uploadedfile import UploadedFile
from django.db import transaction

from apps.reports.models import Job, Report, Upload
from apps.reports.records import save_chunks
from apps.reports.tasks import start_import, start_report
from apps.users.models import User


def import_file(user: User, file: UploadedFile) -> Upload:
    """Save a file and have it imported, both or none."""
    with transaction.atomic():
        upload = Upload.objects.create(user=user, name=str(file.name), size=file.size or 0)
        save_chunks(upload, file)
        start_import(upload)
    return upload


def order_report(user: User, since: date, until: date) -> Report:
    """Have a report built on the days from `since` to `until`, both included."""
    with transaction.atomic():
        report = Report.objects.create(user=user, since=since, until=until)
        start_report(report)
    return report


def cancel(job: Job) -> bool:
    """Stop what waits or runs; return whether that came in time.

    What was imported stays. A step that is being saved is saved, or is not: nothing in between.
    """
    with transaction.atomic():
        canceled = type(job).objects.filter(pk=job.pk).end(job.State.CANCELED)
        if canceled:
            job.drop_pieces()
    return canceled
