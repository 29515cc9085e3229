"""Reports the progress of jobs to open pages."""

from apps.reports.models import Report, Upload
from durable.api import save_progress


def report_progress(job: Upload | Report, message: str) -> None:
    """Send the progress of a job to its user. Without Redis, the page shows it a little later."""
    save_progress(str(job.pk), *job.measure(), message, user_id=job.user_id)
