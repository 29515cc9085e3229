"""Tells who waits how far a job is. The page reads the row, so nothing depends on it."""

from apps.reports.models import Report, Upload
from durable.api import save_progress


def tell(job: Upload | Report, message: str) -> None:
    """Tell who waits for a job how far it is; without Redis, they see it a little later."""
    save_progress(str(job.pk), *job.measure(), message, user_id=job.user_id)
